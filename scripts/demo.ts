/**
 * `deno task demo`: a minute with the event store on a real JetStream. Two workers share one
 * execution; the one that fell behind is refused by the server, whatever it believes. With `--keep`
 * the server stays up, to be looked at with the NATS CLI.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import { connect, SequenceConflict, type Weir } from "@weir/weir";
import { executionAddress, layer, Leases, Log } from "@weir/weir/effect";
import { ExecutionId, StaleFence, Tenant, WorkerInstanceId } from "@weir/weir/schema";

const namespace = "demo";
const tenant = "acme";
const id = `order/o-${Date.now().toString(36)}`;

const say = (line = "") => console.log(line);
const paid = (cents: number) => ({ type: "custom", eventType: "paid", data: { cents } }) as const;

const events = async (ana: Weir, ben: Weir) => {
  say(`\n1. Ana and Ben append to ${id}. A resolved append is on the disk.`);
  await ana.events.append(id, tenant, { type: "executionStarted", metadata: { by: "ana" } });
  const seen = await ana.events.append(id, tenant, paid(4200));
  const bens = await ben.events.append(id, tenant, paid(100));
  say(`   Ana has appended up to event ${seen}. Ben went on and appended event ${bens}.`);

  say("\n2. Ana does not know. She appends on the last event that she knows of:");
  try {
    await ana.events.append(id, tenant, paid(4200), { expectedSequence: seen });
    throw new Error("a stale writer got through");
  } catch (error) {
    if (!(error instanceof SequenceConflict)) throw error;
    say(`   REFUSED  ${error.code}: ${error.message}`);
  }
  say("   The log holds what was acknowledged, once, in order:");
  for await (const { sequence, event } of ana.events.iterate(id, { tenant })) {
    say(`   ${sequence}  ${JSON.stringify(event)}`);
  }
};

const leases = (servers: string) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const leases = yield* Leases;
    const execution = executionAddress(log.layout, Tenant.make(tenant), ExecutionId.make(id));
    const step = (name: string) =>
      new TextEncoder().encode(JSON.stringify({ v: 1, kind: "step", name }));
    const claim = (worker: string) =>
      leases.acquire(execution, { worker: WorkerInstanceId.make(worker), ttl: "30 seconds" });

    say(`\n3. Worker one claims ${id}. The revision of the lease key is its fence.`);
    const one = yield* claim("worker-one");
    yield* log.append(execution, { kind: "log", body: step("charge"), guard: one.fence });
    say(`   charge is in the log, fenced on revision ${one.fence.revision}.`);

    say("\n4. Worker one freezes. An operator revokes its lease, and worker two claims it.");
    yield* leases.revoke(execution, { by: "operator", reason: "frozen" });
    const two = yield* claim("worker-two");
    yield* log.append(execution, { kind: "log", body: step("ship"), guard: two.fence });
    say(`   ship is in the log, fenced on revision ${two.fence.revision}.`);

    say("\n5. Worker one wakes up and ships, too:");
    const refusal = yield* Effect.flip(
      log.append(execution, { kind: "log", body: step("ship"), guard: one.fence }),
    );
    if (!(refusal instanceof StaleFence)) return yield* Effect.die(refusal);
    say(`   REFUSED  ${refusal.code}: ${refusal.message}`);
  }).pipe(Effect.provide(layer({ servers, namespace })));

const look = (url: string) => {
  say("\nSee the same with the NATS CLI, while the server runs (deno task demo --keep):");
  say(`   nats --server ${url} kv ls ${namespace}`);
  say(`   nats --server ${url} stream view KV_${namespace}`);
  say(
    `   nats --server ${url} sub '${namespace}.*.*.order.${tenant}.${id.slice("order/".length)}'`,
  );
};

const store = fileURLToPath(new URL("../.cache/demo", import.meta.url));
const embedded = { store, onProgress: (message: string) => say(`   ${message}`) };
say("Starting the embedded nats-server (it is fetched on the first run) …");
await using ana = await connect({ namespace, embedded });
await using ben = await connect({ namespace, embedded });
const url = ana.server?.url ?? process.env["NATS_URL"] ?? "";
say(`JetStream listens at ${new URL(url).host}.`);
await events(ana, ben);
await Effect.runPromise(leases(url));
look(url);
if (process.argv.includes("--keep")) {
  say("\nThe server stays up until you press Ctrl-C.");
  await new Promise((resolve) => process.once("SIGINT", resolve));
}
