/** Budgets on a real server that several processes use, and which answers get lost on their way. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { BudgetKey, BudgetName } from "../../schema/budget.ts";
import { ExecutionId, type Tenant } from "../../schema/ids.ts";
import { Budgets, layer as layerBudgets } from "../../streams/budgets.ts";
import { budgetAddress } from "../../streams/budgets/places.ts";
import { Connection } from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import type { LogOptions } from "../../streams/log_jetstream.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { uniqueTenant } from "../conformance/subject_matter.ts";
import { type Client, openClient } from "../fixtures/log_client.ts";
import { openProxiedLog, type ProxiedLog } from "../fixtures/proxied_log.ts";
import type { Verdict } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const durability = "bounded";
const task = BudgetName.make("task:t-1");
const whole = BudgetName.make("tenant");
const one = ExecutionId.make("order/o-1");
const key = (text: string) => BudgetKey.make(text);

const layer = Layer.fresh(layerBudgets).pipe(Layer.provideMerge(ServerClock.layer));

type Act<A> = (budgets: Budgets["Service"]) => Effect.Effect<A, unknown>;

/** What a process does that knows nothing from before. */
const by = <A>(client: Client, act: Act<A>): Promise<A> =>
  client.runPromise(Effect.provide(Effect.flatMap(Budgets, act), layer));

const usedOf = async (client: Client, tenant: Tenant) => {
  const listed = await by(client, (budgets) => budgets.list(tenant));
  return Object.fromEntries(
    listed.map(({ name, dimensions }) => [name, dimensions["token"]!.used]),
  );
};

/** A task's budget and its tenant's, of which an execution has used 5. */
const prepare = (tenant: Tenant): Act<void> => (budgets) =>
  Effect.gen(function* () {
    yield* budgets.allocate(tenant, task, { token: 100 });
    yield* budgets.allocate(tenant, whole, { token: 1_000 });
    yield* budgets.consume(tenant, [task, whole], { token: 5 }, { execution: one });
  });

/** As many keys as a budget's own record holds: with the next one most of them move out. */
const fill = (tenant: Tenant): Act<void> => (budgets) =>
  Effect.forEach(
    Array.from({ length: 64 }, (_, n) => key(`k-${n}`)),
    (key) => budgets.consume(tenant, [task], { token: 1 }, { key }),
    { concurrency: "unbounded", discard: true },
  );

/** Each changes budgets, and what they are before and afterwards. */
const changes: Readonly<
  Record<string, {
    readonly act: (tenant: Tenant) => Act<{ readonly outcome: string }>;
    readonly setUp?: (tenant: Tenant) => Act<void>;
    readonly before: Readonly<Record<string, number>>;
    readonly after: Readonly<Record<string, number>>;
    readonly again: string;
  }>
> = {
  "a consumption": {
    act: (tenant) => (budgets) => budgets.consume(tenant, [task], { token: 7 }, { key: key("k") }),
    before: { [task]: 5, [whole]: 5 },
    after: { [task]: 12, [whole]: 5 },
    again: "alreadyApplied",
  },
  "a consumption from a stack": {
    act: (tenant) => (budgets) =>
      budgets.consume(tenant, [task, whole], { token: 7 }, { key: key("k"), execution: one }),
    before: { [task]: 5, [whole]: 5 },
    after: { [task]: 12, [whole]: 12 },
    again: "alreadyApplied",
  },
  "a replenishment": {
    act: (tenant) => (budgets) => budgets.replenish(tenant, task, { token: 9 }, { key: key("k") }),
    before: { [task]: 5, [whole]: 5 },
    after: { [task]: 0, [whole]: 5 },
    again: "alreadyApplied",
  },
  "a replenishment that moves keys": {
    setUp: fill,
    act: (tenant) => (budgets) => budgets.replenish(tenant, task, { token: 9 }, { key: key("k") }),
    before: { [task]: 69, [whole]: 5 },
    after: { [task]: 0, [whole]: 5 },
    again: "alreadyApplied",
  },
  "a release": {
    act: (tenant) => (budgets) => budgets.release(tenant, one),
    before: { [task]: 5, [whole]: 5 },
    after: { [task]: 0, [whole]: 0 },
    again: "nothingSpent",
  },
};

describe("budgets of several processes", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability }));
  after(() => server.stop());

  const withClients = async (
    count: number,
    test: (clients: ReadonlyArray<Client>) => Promise<void>,
    options: LogOptions = {},
  ) => {
    const clients = Array.from(
      { length: count },
      () => openClient({ servers: server.url, durability }, options),
    );
    try {
      await test(clients);
    } finally {
      await Promise.all(clients.map((client) => client.dispose()));
    }
  };

  it("of 1,000 who want the last one on connections of their own, exactly one has it", () =>
    withClients(5, async (clients) => {
      const tenant = uniqueTenant();
      await by(clients[0]!, prepare(tenant));
      await by(clients[0]!, (budgets) => budgets.consume(tenant, [task], { token: 94 }));
      const outcomes = await Promise.all(
        clients.map((client) =>
          by(client, (budgets) =>
            Effect.forEach(
              Array.from({ length: 200 }),
              () => budgets.consume(tenant, [task, whole], { token: 1 }),
              { concurrency: "unbounded" },
            ))
        ),
      );
      const applied = outcomes.flat().filter(({ outcome }) => outcome === "ok");
      assert.equal(applied.length, 1);
      assert.deepEqual(await usedOf(clients[1]!, tenant), { [task]: 100, [whole]: 6 });
      const { hardBreaches } = await by(clients[2]!, (budgets) => budgets.describe(tenant, task));
      assert.equal(hardBreaches?.count, 999);
    }));

  it("are readable JSON for whoever looks into the bucket, however large they are", () =>
    withClients(1, async ([client]) => {
      const tenant = uniqueTenant();
      await by(client!, prepare(tenant));
      await by(client!, fill(tenant));
      const { layout } = await client!.runPromise(Log);
      const { nats } = await client!.runPromise(Connection);
      const { root, tail } = budgetAddress(layout, tenant, task);
      const bucket = await new Kvm(jetstream(nats)).open(root);
      const entry = await bucket.get(`budget.${tail}`);
      assert.ok(entry!.value.length > 1_024);
      const { kind, dimensions } = entry!.json<{
        readonly kind: string;
        readonly dimensions: { readonly token: { readonly used: number } };
      }>();
      assert.deepEqual([kind, dimensions.token.used], ["budget", 69]);
      assert.deepEqual(await usedOf(client!, tenant), { [task]: 69, [whole]: 5 });
    }, { spillThresholdBytes: 1_024, namespace: "small" }));

  describe("whose messages get lost", () => {
    let log: ProxiedLog;
    const open = async () => log = await openProxiedLog(server, durability);
    const cutFrom = (count: number) => {
      let seen = 0;
      return (): Verdict => {
        if (seen++ < count) return "pass";
        log.proxy.isShut = true;
        return "cut";
      };
    };

    for (const [name, { act, setUp, before, after, again }] of Object.entries(changes)) {
      const prepared = async () => {
        const tenant = uniqueTenant();
        await by(log.witness, prepare(tenant));
        if (setUp !== undefined) await by(log.witness, setUp(tenant));
        assert.deepEqual(await usedOf(log.witness, tenant), before);
        return tenant;
      };

      for (const lost of ["answer", "request"] as const) {
        it(`${name} happens once, when its ${lost} is lost with the connection`, async () => {
          await open();
          try {
            const tenant = await prepared();
            let isSpent = false;
            const once = (): Verdict => {
              if (isSpent) return "pass";
              isSpent = true;
              return "cut";
            };
            const sent = log.appends.sent.length;
            if (lost === "answer") log.appends.onAnswer = once;
            else log.appends.onAppend = once;
            const { outcome } = await by(log.client, act(tenant));
            assert.notEqual(outcome, again);
            assert.ok(log.appends.sent.length > sent + 1, "nothing was sent again");
            assert.deepEqual(await usedOf(log.witness, tenant), after);
            assert.equal((await by(log.witness, act(tenant))).outcome, again);
            assert.deepEqual(await usedOf(log.witness, tenant), after);
          } finally {
            await log.close();
          }
        });
      }

      it(`${name} happened or did not, wherever its process dies, and is exact when repeated`, async () => {
        let isWhole = false;
        for (let messages = 0; !isWhole; messages++) {
          await open();
          try {
            const tenant = await prepared();
            log.appends.onAppend = cutFrom(messages);
            log.appends.onAnswer = () => {
              isWhole = true;
              log.proxy.isShut = true;
              return "cut";
            };
            const died = by(log.client, act(tenant)).then(() => "done", () => "died");
            await eventually("it is cut off", () => log.proxy.isShut || undefined);
            await log.client.dispose();
            assert.equal(await died, "died");
            const used = await usedOf(log.witness, tenant);
            assert.deepEqual(used, isWhole ? after : before);
            const { outcome } = await by(log.witness, act(tenant));
            assert.equal(outcome === again, isWhole);
            assert.deepEqual(await usedOf(log.witness, tenant), after);
          } finally {
            await log.close();
          }
        }
      });
    }
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
