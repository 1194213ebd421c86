/**
 * Fenced appends beside what the server and the plain client can do, in one run on one server:
 * raw publishes, `js.publish`, a bare request, and the log, at 1, 64 and 1,024 in flight.
 */
import { jetstream } from "@nats-io/jetstream";
import { headers } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { ExecutionId, Tenant } from "../schema/ids.ts";
import * as Connection from "../streams/connection.ts";
import { Fence } from "../streams/fence.ts";
import { Log } from "../streams/log.ts";
import { layerJetStream } from "../streams/log_jetstream.ts";
import type { Durability } from "../streams/server.ts";
import { executionAddress, subjectOf } from "../streams/subjects.ts";
import { scratchServer } from "../tests/fixtures/server.ts";
import { rawPublisher } from "./raw_publisher.ts";

/** Appends per second of each round. */
export interface Measured {
  readonly durability: Durability;
  readonly workload: "raw" | "js.publish" | "request" | "append";
  readonly inFlight: number;
  readonly perSecond: ReadonlyArray<number>;
}

export const concurrencies = [1, 64, 1024] as const;
const most = 1024;
const body = new TextEncoder().encode(
  JSON.stringify({ v: 1, kind: "step", name: "charge", result: "x".repeat(150) }),
);

type Work = (inFlight: number, milliseconds: number) => Promise<number>;

/** Repeats an asynchronous call in so many lanes for a while; gives how often it was done. */
const inLanes =
  (call: (lane: number) => Promise<unknown>): Work => async (inFlight, milliseconds) => {
    let open = true;
    let done = 0;
    setTimeout(() => open = false, milliseconds);
    await Promise.all(Array.from({ length: inFlight }, async (_, lane) => {
      while (open) {
        await call(lane);
        done++;
      }
    }));
    return done;
  };

export const measureAppends = async (
  durability: Durability,
  options: {
    readonly rounds: number;
    readonly milliseconds: number;
    readonly say: (line: string) => void;
  },
): Promise<ReadonlyArray<Measured>> => {
  const server = await scratchServer({ durability });
  const runtime = ManagedRuntime.make(
    layerJetStream({ namespace: "bench" }).pipe(
      Layer.provideMerge(Connection.layer({ servers: server.url, durability })),
    ),
  );
  const log = await runtime.runPromise(Log);
  const addresses = Array.from(
    { length: most },
    (_, i) => executionAddress(log.layout, Tenant.make("acme"), ExecutionId.make(`order/o-${i}`)),
  );
  const fences = await runtime.runPromise(Effect.forEach(addresses, (address) =>
    Effect.map(
      log.append(address, { kind: "lease", body, guard: { after: 0 } }),
      ({ sequence }) => new Fence(subjectOf(address, "lease"), `nonce${sequence}`, sequence),
    ), { concurrency: "unbounded" }));
  const subjects = addresses.map((address) => subjectOf(address, "log"));

  const plain = await connect({ servers: server.url });
  const js = jetstream(plain, { timeout: 30_000 });
  const raw = await rawPublisher(server.port, subjects[0]!, fences[0]!, body);
  const fenceHeaders = (lane: number) => {
    const fields = headers();
    fields.set("Nats-Expected-Last-Subject-Sequence", String(fences[lane]!.revision));
    fields.set("Nats-Expected-Last-Subject-Sequence-Subject", fences[lane]!.subject);
    return fields;
  };
  const works: Record<Measured["workload"], Work> = {
    raw: raw.run,
    "js.publish": inLanes((lane) =>
      js.publish(subjects[lane]!, body, { headers: fenceHeaders(lane) })
    ),
    request: inLanes((lane) =>
      plain.request(subjects[lane]!, body, { headers: fenceHeaders(lane), timeout: 30_000 })
    ),
    append: (inFlight, milliseconds) => {
      let open = true;
      let done = 0;
      setTimeout(() => open = false, milliseconds);
      const lane = (i: number) =>
        Effect.whileLoop({
          while: () => open,
          body: () => log.append(addresses[i]!, { kind: "log", body, guard: fences[i]! }),
          step: () => done++,
        });
      return runtime.runPromise(
        Effect.forEach(Array.from({ length: inFlight }, (_, i) => i), lane, {
          concurrency: "unbounded",
          discard: true,
        }).pipe(
          Effect.map(() => done),
        ),
      );
    },
  };

  const stored = async () => (await runtime.runPromise(log.tail(0))).sequence;
  const results = new Map<
    string,
    { readonly measured: Omit<Measured, "perSecond">; readonly perSecond: Array<number> }
  >();
  for (let round = 0; round <= options.rounds; round++) {
    for (const inFlight of concurrencies) {
      for (const [workload, work] of Object.entries(works) as Array<[Measured["workload"], Work]>) {
        const before = await stored();
        const start = performance.now();
        const done = await work(inFlight, options.milliseconds);
        const perSecond = done / (performance.now() - start) * 1_000;
        const grown = (await stored()) - before;
        if (grown !== done) throw new Error(`${workload}: ${done} acknowledged, ${grown} stored`);
        if (round === 0) continue; // Warm-up.
        const key = `${workload} ${inFlight}`;
        const measured = results.get(key) ??
          { measured: { durability, workload, inFlight }, perSecond: [] };
        measured.perSecond.push(perSecond);
        results.set(key, measured);
      }
    }
    options.say(`${durability}: round ${round} of ${options.rounds}`);
  }

  raw.close();
  await plain.close();
  await runtime.dispose();
  await server.stop();
  return [...results.values()].map(({ measured, perSecond }) => ({ ...measured, perSecond }));
};
