/**
 * The least that an execution can be on this log: start, offer, claim, three fenced steps, done and
 * release, as bare appends without state, code or replay. What the engine adds is measured against it.
 */
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { randomUUID } from "node:crypto";
import { ExecutionId, Tenant } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { Fence } from "../../streams/fence.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import { type Address, executionAddress, streamName, subjectOf } from "../../streams/subjects.ts";

export interface Spike {
  /** Runs one execution from its start until its result is known. */
  readonly execute: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const json = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const start = json({ v: 1, kind: "start", seed: randomUUID(), input: 3 });
const claim = json({ v: 1, kind: "acquired", worker: randomUUID(), epoch: 1, ttlMs: 30_000 });
const steps = [1, 2, 3].map((i) =>
  json({ v: 1, kind: "step", index: i, key: `step-${i}`, result: { type: "value", value: i } })
);
const done = json({ v: 1, kind: "done", outcome: { type: "success", value: 3 } });
const release = json({ v: 1, kind: "released", worker: randomUUID(), epoch: 1 });

export const startSpike = async (
  url: string,
  durability: Durability,
  namespace: string,
): Promise<Spike> => {
  const runtime = ManagedRuntime.make(
    layerJetStream({ namespace }).pipe(
      Layer.provideMerge(Connection.layer({ servers: url, durability })),
    ),
  );
  const log = await runtime.runPromise(Log);
  const tenant = Tenant.make("default");
  const context = await runtime.context();
  const runFork = Effect.runForkWith(context);
  const waiting = new Map<string, { readonly address: Address; readonly ended: () => void }>();

  const own = Effect.fnUntraced(function* (subject: string, acked: () => void) {
    const { address, ended } = waiting.get(subject)!;
    const fence = new Fence(subjectOf(address, "lease"), randomUUID(), 0);
    yield* log.append(address, {
      kind: "lease",
      body: claim,
      guard: { after: 0 },
      id: fence.nextId(),
      onStored: (sequence) => fence.advance(sequence),
    });
    for (const body of steps) yield* log.append(address, { kind: "log", body, guard: fence });
    yield* log.append(address, { kind: "done", body: done, guard: fence });
    waiting.delete(subject);
    ended();
    yield* log.append(address, { kind: "lease", body: release, guard: fence });
    acked();
  });
  const nats = await connect({ servers: url });
  const consumer = await offersOf(nats, streamName(log.layout, 0), namespace);
  const offers = await consumer.consume({
    max_messages: 1_024,
    callback: (message) => void runFork(own(message.subject, () => message.ack())),
  });

  return {
    execute: () => {
      const address = executionAddress(
        log.layout,
        tenant,
        ExecutionId.make(`spike/${randomUUID()}`),
      );
      const subject = subjectOf(address, "mail");
      const ending = new Promise<void>((resolve) => {
        waiting.set(subject, { address, ended: resolve });
      });
      runFork(log.append(address, { kind: "mail", body: start, guard: { after: 0 } }));
      return ending;
    },
    close: async () => {
      await offers.close();
      await nats.close();
      await runtime.dispose();
    },
  };
};

const offersOf = async (nats: NatsConnection, stream: string, namespace: string) => {
  const manager = await jetstreamManager(nats);
  await manager.consumers.add(stream, {
    durable_name: "spike",
    filter_subject: `${namespace}.mail.>`,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
  return await jetstream(nats).consumers.get(stream, "spike");
};
