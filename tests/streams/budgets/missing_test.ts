/**
 * Who begins to wait for a budget and who gives it room, in every order in which their reads and
 * writes can come, and with the death of either: nobody waits for room that is there.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { layerMemory } from "../../../actors/layer.ts";
import { BudgetName } from "../../../schema/budget.ts";
import { ExecutionId, Tenant } from "../../../schema/ids.ts";
import { Budgets, makeBudgets } from "../../../streams/budgets.ts";
import { make as makeClerk } from "../../../streams/budgets/clerk.ts";
import { bellAddress } from "../../../streams/budgets/places.ts";
import { makeWaiting } from "../../../streams/budgets/waiting.ts";
import { Log } from "../../../streams/log.ts";
import { dueOf } from "../../../streams/retention.ts";
import { ServerClock } from "../../../streams/server_clock.ts";
import { executionFilter } from "../../../streams/subjects.ts";

const tenant = Tenant.make("acme");
const name = BudgetName.make("flow");
const waiter = { execution: ExecutionId.make("order/o-1"), life: 1, turn: "0.1" };

/** A process whose first write is held back until it is let go, or never comes, or is its last. */
const processWith = Effect.fnUntraced(function* (end?: "before" | "after") {
  const log = yield* Log;
  const clock = yield* ServerClock;
  const reached = yield* Deferred.make<void>();
  const go = yield* Deferred.make<void>();
  const dead = yield* Deferred.make<void>();
  const die = Effect.andThen(Deferred.succeed(dead, undefined), Effect.never);
  const held = <A, E>(write: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.gen(function* () {
      const isFirst = yield* Deferred.succeed(reached, undefined);
      if (!isFirst) return yield* write;
      yield* Deferred.await(go);
      if (end === "before") return yield* die;
      const written = yield* write;
      return end === "after" ? yield* die : written;
    });
  const own: Log["Service"] = {
    ...log,
    append: (to, message) => held(log.append(to, message)),
    appendBatch: (to, messages) => held(log.appendBatch(to, messages)),
  };
  const clerk = yield* makeClerk(own, clock);
  return {
    budgets: makeBudgets(own, clock, clerk),
    ...makeWaiting(own, clock, clerk),
    reached: Deferred.await(reached),
    go: Deferred.succeed(go, undefined),
    dead: Deferred.await(dead),
  };
});

/** Who is called by the bells that were rung. */
const called = Effect.gen(function* () {
  const log = yield* Log;
  const { calledBy } = makeWaiting(
    log,
    yield* ServerClock,
    yield* makeClerk(log, yield* ServerClock),
  );
  const bells = yield* Stream.runCollect(
    log.read(executionFilter(bellAddress(log.layout, tenant, name), "gc")),
  );
  const found = [];
  for (const entry of bells) {
    const bell = yield* dueOf(log.layout, entry);
    assert.ok(bell?.kind === "bell");
    found.push(...(yield* calledBy(bell)).map(({ waiter }) => waiter.turn));
  }
  return found;
});

const play = <A>(effect: Effect.Effect<A, unknown, Budgets | Log | ServerClock | Scope.Scope>) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const budgets = yield* Budgets;
      yield* budgets.allocate(tenant, name, { token: 1 });
      yield* budgets.consume(tenant, [name], { token: 1 });
      return yield* effect;
    }).pipe(Effect.scoped, Effect.provide(layerMemory())) as Effect.Effect<A, unknown>,
  );

describe("who begins to wait, and who gives room", () => {
  it("do not miss each other if room comes between a look and its record", () =>
    play(Effect.gen(function* () {
      const [waits, frees] = [yield* processWith(), yield* processWith()];
      const waiting = yield* Effect.forkChild(waits.wait(tenant, [name], waiter));
      yield* waits.reached; // it has found nothing left
      yield* frees.go;
      yield* frees.budgets.reset(tenant, name);
      yield* waits.go;
      assert.deepEqual(yield* Fiber.join(waiting), { outcome: "open" });
      assert.deepEqual(yield* called, []);
    })));

  it("do not miss each other if somebody begins to wait between a look and the room", () =>
    play(Effect.gen(function* () {
      const [waits, frees] = [yield* processWith(), yield* processWith()];
      const freeing = yield* Effect.forkChild(frees.budgets.reset(tenant, name));
      yield* frees.reached; // it has found nobody who waits
      yield* waits.go;
      const found = yield* waits.wait(tenant, [name], waiter);
      assert.equal(found.outcome, "waits");
      yield* frees.go;
      yield* Fiber.join(freeing);
      assert.deepEqual(yield* called, ["0.1"]);
    })));

  for (const end of ["before", "after"] as const) {
    it(`the one who gives room dies ${end} it is written: nobody is told of what is not there`, () =>
      play(Effect.gen(function* () {
        const [waits, frees, next] = [
          yield* processWith(),
          yield* processWith(end),
          yield* processWith(),
        ];
        yield* waits.go;
        yield* waits.wait(tenant, [name], waiter);
        yield* Effect.forkChild(frees.budgets.reset(tenant, name));
        yield* frees.reached;
        yield* frees.go;
        yield* frees.dead;
        assert.deepEqual(yield* called, end === "before" ? [] : ["0.1"]);
        yield* next.go;
        yield* next.budgets.reset(tenant, name);
        assert.deepEqual(yield* called, ["0.1"]);
      })));

    it(`the one who waits dies ${end} that is written: whoever goes on for him waits once`, () =>
      play(Effect.gen(function* () {
        const [waits, next] = [yield* processWith(end), yield* processWith()];
        yield* Effect.forkChild(waits.wait(tenant, [name], waiter));
        yield* waits.reached;
        yield* waits.go;
        yield* waits.dead;
        yield* next.go;
        assert.equal((yield* next.wait(tenant, [name], waiter)).outcome, "waits");
        yield* next.budgets.reset(tenant, name);
        assert.deepEqual(yield* called, ["0.1"]);
      })));
  }
});
