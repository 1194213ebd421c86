import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { nextTurn, scheduler } from "../../../actors/engine/next_turn.ts";

const turn = () => new Promise<void>((resolve) => void nextTurn(resolve));

describe("the next turn", () => {
  it("comes to all who wait for it at once, in their order", async () => {
    const seen: Array<string> = [];
    nextTurn(() => {
      seen.push("first");
      queueMicrotask(() => seen.push("after all"));
    });
    nextTurn(() => seen.push("second"));
    assert.deepEqual(seen, []);
    await turn();
    assert.deepEqual(seen, ["first", "second", "after all"]);
  });

  it("is another one for who asks within it, with microtasks before it", async () => {
    const seen: Array<string> = [];
    nextTurn(() => {
      nextTurn(() => seen.push("next"));
      queueMicrotask(() => seen.push("between"));
    });
    await turn();
    await turn();
    assert.deepEqual(seen, ["between", "next"]);
  });

  it("does not come to who has taken that back", async () => {
    let called = false;
    nextTurn(() => called = true)();
    await turn();
    assert.equal(called, false);
  });

  it("is one for the fibers of many executions", async () => {
    const seen: Array<string> = [];
    const fiber = (name: string) =>
      Effect.runFork(
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => {
            seen.push(name);
            queueMicrotask(() => seen.push("after all"));
          }),
        ),
        { scheduler },
      );
    fiber("first");
    fiber("second");
    await turn();
    assert.deepEqual(seen.slice(0, 2), ["first", "second"]);
  });
});
