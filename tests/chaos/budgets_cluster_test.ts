/** Budgets on three replicas, while the server that leads them is killed. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Schedule from "effect/Schedule";
import { BudgetKey, BudgetName } from "../../schema/budget.ts";
import { ExecutionId } from "../../schema/ids.ts";
import { Budgets, layer as layerBudgets } from "../../streams/budgets.ts";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { uniqueTenant } from "../conformance/subject_matter.ts";
import {
  eventually,
  leftovers,
  type ScratchCluster,
  scratchCluster,
  withConnection,
} from "../fixtures/server.ts";

const stream = "KV_weir";
const flow = BudgetName.make("flow");
const whole = BudgetName.make("tenant");
const [processes, eachAsks, rounds] = [4, 6, 2];

describe("on three replicas whose leader is killed", () => {
  let cluster: ScratchCluster;
  const open = () =>
    ManagedRuntime.make(
      layerBudgets.pipe(
        Layer.provideMerge(ServerClock.layer),
        Layer.provideMerge(layerJetStream({ replicas: 3 })),
        Layer.provideMerge(Connection.layer({ servers: cluster.urls, durability: "bounded" })),
      ),
    );
  let clients: ReadonlyArray<ReturnType<typeof open>> = [];

  const by = <A>(client: number, act: (budgets: Budgets["Service"]) => Effect.Effect<A, unknown>) =>
    clients[client]!.runPromise(Effect.flatMap(Budgets, act));

  /** The server that leads the stream. */
  const leader = () =>
    eventually("somebody leads", async () => {
      const alive = cluster.servers.find(({ pid }) => pid !== undefined)!;
      const info = await withConnection(
        alive.url,
        async (nats) =>
          (await nats.request(`$JS.API.STREAM.INFO.${stream}`)).json<
            { readonly cluster?: { readonly leader?: string } }
          >(),
      );
      const name = info?.cluster?.leader;
      return name === undefined ? undefined : cluster.servers[Number(name.split("-").at(-1)) - 1];
    }, 30_000);

  before(async () => {
    cluster = await scratchCluster({ durability: "bounded" });
    clients = Array.from({ length: processes }, open);
    await by(0, (budgets) => budgets.list(uniqueTenant()));
  });
  after(async () => {
    await Promise.all(clients.map((client) => client.dispose()));
    await cluster.stop();
    assert.deepEqual(await leftovers(), []);
  });

  it("of all who want the last one, exactly one has it, and all that was counted is still there", async () => {
    for (let round = 0; round < rounds; round++) {
      const tenant = uniqueTenant();
      await by(0, (budgets) =>
        Effect.gen(function* () {
          yield* budgets.allocate(tenant, flow, { token: 100 });
          yield* budgets.allocate(tenant, whole, { token: 1_000 });
          yield* budgets.consume(tenant, [flow, whole], { token: 99 });
        }));
      const victim = await leader();
      let killed: Promise<void> | undefined;
      const asks = clients.flatMap((_, client) =>
        Array.from({ length: eachAsks }, (_, n) => {
          const who = {
            key: BudgetKey.make(`${client} ${n}`),
            execution: ExecutionId.make(`ask/${client}-${n}`),
          };
          return by(client, (budgets) =>
            budgets.consume(tenant, [flow, whole], { token: 1 }, who).pipe(
              // Under its key it is asked again until there is an answer.
              Effect.retry({
                while: (error) =>
                  error.retryable,
                schedule: Schedule.spaced("50 millis"),
              }),
              Effect.tap(() => Effect.sync(() => killed ??= victim.kill())),
              Effect.map(({ outcome }) => ({ outcome, ...who })),
            ));
        })
      );
      // Half of the time it is dead before anybody has been answered.
      if (round % 2 === 0) killed = victim.kill();
      const answers = await Promise.all(asks);
      await killed;
      const counted = answers.filter(({ outcome }) => outcome !== "hardBreach");
      assert.equal(counted.length, 1, JSON.stringify(answers.map(({ outcome }) => outcome)));
      await victim.restart();
      await cluster.ready();
      const used = await by(1, (budgets) =>
        Effect.map(
          Effect.forEach([flow, whole], (name) => budgets.describe(tenant, name)),
          (found) => found.map(({ dimensions }) => dimensions["token"]?.used),
        ));
      assert.deepEqual(used, [100, 100]);
      const released = await by(2, (budgets) => budgets.release(tenant, counted[0]!.execution));
      assert.deepEqual(released.amounts, { [flow]: { token: 1 }, [whole]: { token: 1 } });
    }
  });
});
