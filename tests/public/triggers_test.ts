import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Schema from "effect/Schema";
import {
  actor,
  type CreateTriggerOptions,
  ExecutionEnded,
  Forbidden,
  InvalidInput,
  NobodyKeepsTriggers,
  type Run,
  signal,
  TriggerNotFound,
  type TriggerSubmitOptions,
  UnknownActor,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const go = signal<unknown>("go");
const waits = actor("waits", (ctx) => ctx.wait(go));
const echo = actor("echo", (_, input: unknown) => input);
const kept = { triggers: true } as const;

const namesOf = async (run: Pick<Run, "describe">) =>
  (await run.describe()).buffered.map(({ name }) => name);

describe("promote", () => {
  it("has what waits for its time begin, and what waits to be tried again", async () => {
    await using weir = await inMemory();
    let tries = 0;
    const flaky = actor("flaky", (ctx) =>
      ctx.run("try", () => {
        if (++tries === 1) throw new Error("not yet");
        return "done";
      }, { retry: { attempts: 1 } }));
    await weir.worker([echo, flaky]);
    const late = await weir.start(echo, 1, { delay: "30 days" });
    const retry = { attempts: 2, delay: "30 days", jitter: false } as const;
    const failed = await weir.submit(flaky, undefined, { retry });
    await weir.advance("1 minute");
    assert.deepEqual([(await late.describe()).reason, (await failed.describe()).reason], [
      "delay",
      "retry",
    ]);
    const before = weir.now.getTime();
    for (const run of [late, failed]) await run.promote();
    assert.deepEqual([await late.result(), await failed.result()], [1, "done"]);
    assert.ok(weir.now.getTime() - before < 60_000);
    await assert.rejects(late.promote(), ExecutionEnded);
  });

  it("leaves nothing of the delay: what fails then is tried again when its pause is over", async () => {
    for (const residentGrace of ["1 minute", "0 millis"] as const) {
      await using weir = await inMemory();
      let tries = 0;
      const flaky = actor("flaky", (ctx) =>
        ctx.run("try", () => {
          if (++tries === 1) throw new Error("not yet");
        }, { retry: { attempts: 1 } }));
      await weir.worker([flaky], { residentGrace });
      const retry = { attempts: 2, delay: "10 seconds", jitter: false } as const;
      const late = await weir.submit(flaky, undefined, { delay: "30 days", retry });
      await weir.advance("1 minute");
      await late.promote();
      await weir.advance("1 minute");
      assert.equal((await late.describe()).status, "completed", residentGrace);
    }
  });
});

describe("a trigger", () => {
  it("that submits while the tenant drains has it begin when that goes on", async () => {
    await using weir = await inMemory();
    await weir.worker([echo], kept);
    await weir.triggers.create({
      when: { event: "paid" },
      then: { submit: echo, options: { id: "after" } },
    });
    await weir.engine.drain();
    await weir.emit("paid", 7);
    await weir.advance("1 hour");
    const run = weir.get(echo, "after");
    assert.equal((await run.describe()).status, "waiting");
    await weir.engine.resume();
    await weir.advance("1 minute");
    assert.equal((await run.describe()).status, "completed");
  });

  it("fires once for an event, and each time if it stands, until it is cancelled", async () => {
    await using weir = await inMemory();
    await weir.worker([waits], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    const when = { event: "paid" } as const;
    const once = await weir.triggers.create({
      id: "once",
      when,
      then: { signal: told, name: "once", payload: { n: 1 } },
    });
    assert.deepEqual([once.created, once.state, once.fired], [true, "active", 0]);
    await weir.triggers.create({
      id: "each",
      when,
      then: { signal: told, name: "each" },
      standing: true,
    });
    for (let i = 0; i < 3; i++) await weir.emit("paid", i);
    await weir.advance("1 second");
    assert.deepEqual((await namesOf(told)).sort(), ["each", "each", "each", "once"]);
    const cancelled = await weir.triggers.cancel("each");
    assert.deepEqual([cancelled.state, cancelled.fired], ["cancelled", 3]);
    await weir.emit("paid", 4);
    await weir.advance("1 minute");
    assert.equal((await namesOf(told)).length, 4);
    assert.deepEqual(
      (await weir.triggers.list()).map(({ id, state, fired }) => [id, state, fired]),
      [["each", "cancelled", 3], ["once", "over", 1]],
    );
  });

  it("fires for an end, a state and a budget, and hands on what has happened", async () => {
    await using weir = await inMemory();
    await weir.worker([waits, echo], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    await weir.budgets.allocate("tokens", { token: 10 });
    const create = (id: string, when: CreateTriggerOptions["when"]) =>
      weir.triggers.create({ id, when, then: { submit: echo, options: { id } } });
    await create("end", { completed: told });
    await create("state", { state: told, is: "running" });
    await create("budget", { budget: "tokens", dimension: "token", percent: 80 });
    await weir.budgets.consume("tokens", { token: 8 });
    await told.signal(go, "done");
    await told.result();
    const given = (id: string) => weir.get(echo, id).result();
    assert.deepEqual(await given("end"), { execution: "waits/t", outcome: "success" });
    assert.deepEqual(await given("state"), { execution: "waits/t", state: "running" });
    assert.deepEqual(await given("budget"), {
      budget: "tokens",
      dimension: "token",
      percent: 80,
      used: 8,
      limit: 10,
    });
  });

  it("fires for a budget each time that usage comes there, not while it is there", async () => {
    await using weir = await inMemory();
    await weir.worker([waits], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    const spend = (token: number, execution?: string) =>
      weir.budgets.consume("b", { token }, execution === undefined ? {} : { execution });
    await weir.budgets.allocate("b", { token: 10 }, { resetEvery: "5 minutes" });
    await spend(9);
    await weir.triggers.create({
      id: "t",
      when: { budget: "b", dimension: "token", percent: 80 },
      then: { signal: told, name: "most" },
      standing: true,
    });
    const fired = async () => {
      await weir.advance("1 second");
      return (await weir.triggers.describe("t")).fired;
    };
    await spend(1);
    assert.equal(await fired(), 0); // it was there already
    await weir.advance("5 minutes"); // the interval is over, and nobody writes that
    await spend(8, "waits/t");
    assert.equal(await fired(), 1);
    await weir.budgets.release("waits/t");
    await spend(7);
    assert.equal(await fired(), 1);
    await spend(1);
    assert.equal(await fired(), 2);
    await weir.budgets.replenish("b", { token: 20 });
    await spend(15);
    assert.equal(await fired(), 2);
    await spend(2);
    assert.equal(await fired(), 3);
    await weir.budgets.delete("b");
    await weir.budgets.allocate("b", { token: 10 });
    await spend(8);
    assert.equal(await fired(), 4);
  });

  it("fires once although its keeper dies right after it has decided to", async () => {
    await using weir = await inMemory();
    await weir.worker([waits]);
    const keeper = await weir.worker([], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    await weir.triggers.create({ id: "t", when: { event: "e" }, then: { signal: told, name: go } });
    await weir.advance("1 second");
    const crashed = keeper.crashAt({ append: keeper.appends + 1 }, "after");
    await weir.emit("e", 7);
    await crashed;
    const { state, acting } = await weir.triggers.describe("t");
    assert.deepEqual([state, acting?.what], ["over", 7]);
    await weir.worker([], kept);
    assert.equal(await told.result(), 7);
    await weir.advance("1 minute");
    const { acting: rest, fired, last } = await weir.triggers.describe("t");
    assert.deepEqual([rest, fired, last?.failure], [undefined, 1, undefined]);
  });

  it("has failed at nothing that its keeper had done before it died", async () => {
    await using weir = await inMemory();
    await weir.worker([waits]);
    const keeper = await weir.worker([], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    await weir.triggers.create({ id: "t", when: { event: "e" }, then: { signal: told, name: go } });
    await weir.advance("1 second");
    const crashed = keeper.crashAt({ append: keeper.appends + 2 }, "after");
    await weir.emit("e", 7);
    await crashed;
    assert.equal(await told.result(), 7);
    await weir.worker([], kept);
    await weir.advance("1 minute");
    const { acting, fired, last } = await weir.triggers.describe("t");
    assert.deepEqual([acting, fired, last?.failure], [undefined, 1, undefined]);
  });

  it("leads to fifty others at most", async () => {
    await using weir = await inMemory();
    await weir.worker([echo], kept);
    await weir.triggers.create({
      id: "again",
      when: { completed: { actor: echo } },
      then: { submit: echo },
      standing: true,
    });
    await (await weir.start(echo, 0)).result();
    await weir.advance("1 minute");
    const { fired, state, refused } = await weir.triggers.describe("again");
    assert.deepEqual([fired, state], [50, "active"]);
    assert.ok(refused !== undefined);
  });

  it("is refused if it makes no sense, if nobody would keep it, and if it is not there", async () => {
    await using weir = await inMemory();
    const good = { when: { event: "e" }, then: { promote: "waits/t" } } as const;
    await assert.rejects(weir.triggers.create(good), NobodyKeepsTriggers);
    const waiting = await weir.triggers.create({ ...good, id: "waiting", unserved: true });
    assert.equal(waiting.created, true);
    await weir.worker([waits], kept);
    await assert.rejects(
      weir.triggers.create({ ...good, then: { submit: "nobody" } }),
      UnknownActor,
    );
    for (
      const bad of [
        { ...good, when: { event: "e", percent: 3 } },
        { ...good, when: { event: 1n } },
        { ...good, then: { promote: "weir-queue/q" } },
        { ...good, then: "promote" },
        { ...good, then: { submit: waits, options: { parent: "waits/t" } } },
      ]
    ) {
      await assert.rejects(
        weir.triggers.create(bad as unknown as CreateTriggerOptions),
        InvalidInput,
      );
    }
    await assert.rejects(weir.triggers.describe("none"), TriggerNotFound);
    await assert.rejects(weir.triggers.cancel("none"), TriggerNotFound);
    assert.deepEqual((await weir.triggers.list()).map(({ id }) => id), ["waiting"]);
  });

  it("submits with the options of a task that has no time of its own, and with no others", async () => {
    await using weir = await inMemory();
    await weir.worker([waits, echo], { ...kept, queues: true });
    const before = await weir.start(echo, undefined, { id: "before" });
    const of = (options: unknown) =>
      weir.triggers.create(
        { id: "t", when: { event: "e" }, then: { submit: waits, options } } as CreateTriggerOptions,
      );
    for (
      const bad of [
        ...["deadline", "delay"].map((name) => ({ [name]: "1 hour" })),
        ...["nonsense", "signals", "parent", "policy", "grace", "unserved"].map((name) => ({
          [name]: name,
        })),
        { after: "echo/before" },
        { after: [3] },
        { tags: { "paid.by": 1 } },
        { tags: ["card"] },
        { lane: "no such lane" },
        { requires: "gpu" },
        { priority: "high" },
        { retry: 3 },
        { retry: { attempts: 3, retryIf: () => true } },
        { timeout: "soon" },
        { queue: 5 },
        { queue: { name: "cards", until: "noon" } },
        { budgets: "team" },
        { budgets: [{ name: "team", onExhausted: "explode" }] },
        { safety: "none" },
        { description: 1 },
        { id: 1 },
        [],
        null,
        "none",
      ]
    ) {
      await assert.rejects(of(bad), InvalidInput, JSON.stringify(bad));
    }
    assert.deepEqual(await weir.triggers.list(), []);
    const all: TriggerSubmitOptions = {
      id: "w",
      after: ["echo/before", before],
      retry: { attempts: 2, backoff: "fixed", delay: "1 second", jitter: false },
      timeout: "1 day",
      queue: { name: "cards", key: "k" },
      budgets: ["team", { name: "all", onExhausted: "warn" }],
      tags: { "paid.by": "card" },
      lane: "default",
      requires: [],
      priority: 3,
      safety: "pure",
      description: "what is paid",
    };
    const { then } = await of(all);
    assert.deepEqual(then["tags"], all.tags);
    assert.deepEqual(then["task"], {
      after: ["echo/before"],
      retry: { attempts: 2, backoff: "fixed", delayMs: 1_000, jitter: false },
      timeoutMs: 86_400_000,
      queue: { name: "cards", key: "k", hold: "through-retries" },
      budgets: [{ name: "team", onExhausted: "suspend" }, { name: "all", onExhausted: "warn" }],
      safety: "pure",
      description: "what is paid",
    });
    await weir.emit("e", 7);
    await weir.advance("1 second");
    const { fired, last } = await weir.triggers.describe("t");
    assert.deepEqual([fired, last?.failure], [1, undefined]);
    assert.equal((await weir.get(waits, "w").describe()).execution, "waits/w");
  });

  it("is created, and events are emitted, by who may submit", async () => {
    await using weir = await inMemory();
    await weir.worker([waits], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    await weir.tenants.create("default", { name: "Default" });
    await weir.grants.assign("olga", "operator");
    await weir.grants.assign("audrey", "auditor");
    const of = { id: "t", when: { event: "e" }, then: { signal: told, name: go } } as const;
    await assert.rejects(weir.as("audrey").triggers.create(of), Forbidden);
    await assert.rejects(weir.as("audrey").emit("e"), Forbidden);
    await weir.as("olga").triggers.create(of);
    assert.equal((await weir.as("audrey").triggers.describe("t")).by, "olga");
    await assert.rejects(weir.as("audrey").triggers.cancel("t"), Forbidden);
    await weir.as("olga").emit("e", "for you");
    assert.equal(await told.result(), "for you");
  });

  it("is created only by who may do what it does", async () => {
    await using weir = await inMemory();
    const approve = signal<unknown>("approve", undefined, { needs: "approve" });
    await weir.worker([waits, echo], kept);
    const told = await weir.start(waits, undefined, { id: "t" });
    await weir.tenants.create("default", { name: "Default" });
    await weir.grants.assign("olga", "operator");
    await weir.grants.assign("greta", "gatekeeper");
    for (const each of ["submit", "approve"]) await weir.grants.grant("both", each);
    const create = (principal: string, then: CreateTriggerOptions["then"]) =>
      weir.as(principal).triggers.create({ when: { event: "e" }, then });
    await assert.rejects(create("olga", { signal: told, name: approve }), {
      code: "WEIR_FORBIDDEN",
      verb: "run.signal",
      capabilities: ["approve"],
    });
    await assert.rejects(create("greta", { signal: told, name: approve }), {
      verb: "triggers.create",
      capabilities: ["submit"],
    });
    await assert.rejects(create("olga", 3 as never), InvalidInput);
    assert.deepEqual(await weir.triggers.list(), []);
    await create("both", { signal: told, name: approve });
    for (const then of [{ promote: told }, { signal: told, name: go }, { submit: echo }]) {
      await create("olga", then);
    }
    assert.equal((await weir.triggers.list()).length, 4);
  });

  it("submits what the schema of its actor lets through", async () => {
    await using weir = await inMemory();
    const paid = Schema.Struct({ cents: Schema.Int });
    const order = actor("order", { input: paid }, (_, { cents }) => cents);
    await weir.worker([order], kept);
    const create = (input: unknown) =>
      weir.triggers.create({ when: { event: "e" }, then: { submit: order, input } });
    await assert.rejects(create({ cents: "many" }), InvalidInput);
    assert.equal((await create({ cents: 5 })).created, true);
  });
});

describe("an event", () => {
  it("is what its schema says, and is there once for its id", async () => {
    await using weir = await inMemory();
    await weir.worker([waits], kept);
    const paid = signal("paid", Schema.Struct({ cents: Schema.Int }));
    await assert.rejects(
      weir.emit(paid, { cents: "many" } as unknown as { cents: number }),
      InvalidInput,
    );
    await assert.rejects(weir.emit("paid", "y".repeat(70_000)), InvalidInput);
    await assert.rejects(weir.emit(""), InvalidInput);
    const first = await weir.emit(paid, { cents: 1 }, { id: "p-1" });
    await weir.advance("1 day");
    assert.deepEqual(await weir.emit(paid, { cents: 1 }, { id: "p-1" }), {
      ...first,
      emitted: false,
    });
    const other = await weir.emit(paid, { cents: 1 }, { id: "p-1", tenant: "other" });
    assert.equal(other.emitted, true);
  });
});
