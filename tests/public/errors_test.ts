import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  actor,
  ChildFailed,
  ExecutionFailed,
  InvalidInput,
  NonRetryable,
  signal,
  type StandardSchema,
  StepFailed,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

class CardDeclined extends Error {
  readonly cents: number;
  readonly #secret = "1234";
  constructor(cents: number) {
    super(`no funds for ${cents}`);
    this.cents = cents;
  }
  get isLarge(): boolean {
    return this.cents > 1_000;
  }
  get secret(): string {
    return this.#secret;
  }
}

class Unnamed extends Error {}

const once = { retry: { attempts: 1 } };

describe("an error of an actor's own class", () => {
  it("reaches the awaiter of the result as what it is", async () => {
    const pay = actor("pay", { errors: [CardDeclined] }, () => {
      throw new CardDeclined(4_200);
    });
    await using weir = await inMemory();
    await weir.worker([pay]);
    const run = await weir.start(pay, undefined);
    for (const held of [run, weir.get(pay, run.id.slice("pay/".length))]) {
      await assert.rejects(held.result(), (error: unknown) => {
        assert.ok(error instanceof CardDeclined);
        assert.deepEqual([error.cents, error.isLarge, error.message, error.name], [
          4_200,
          true,
          "no funds for 4200",
          "CardDeclined",
        ]);
        assert.ok(error.cause instanceof ExecutionFailed);
        assert.match(String(error.stack), /CardDeclined: no funds/);
        assert.throws(() => error.secret, TypeError);
        return true;
      });
      const outcome = await held.outcome();
      assert.ok(outcome.type === "failure" && outcome.error instanceof CardDeclined);
    }
  });

  it("is told as a failure where it was not declared, by the name of its class", async () => {
    const pay = actor("pay", (ctx) =>
      ctx.run("charge", () => {
        throw new Unnamed("who?");
      }, once));
    await using weir = await inMemory();
    await weir.worker([pay]);
    const outcome = await (await weir.start(pay, undefined)).outcome();
    assert.ok(outcome.type === "failure" && outcome.error instanceof ExecutionFailed);
    assert.deepEqual(outcome.error.failure, { name: "Unnamed", message: "who?", step: "charge" });
  });

  it("keeps what it was when nobody handles it on its way, and where it came from", async () => {
    const errors = [CardDeclined];
    const charge = actor("charge", { errors }, (ctx) =>
      ctx.run("bank", () => {
        throw new CardDeclined(7);
      }, once));
    const order = actor("order", { errors }, (ctx) => ctx.call(charge, undefined, { id: "c-1" }));
    await using weir = await inMemory();
    await weir.worker([order, charge]);
    const run = await weir.start(order, undefined);
    await assert.rejects(run.result(), (error: unknown) => {
      assert.ok(error instanceof CardDeclined && error.cause instanceof ExecutionFailed);
      assert.equal(error.cents, 7);
      assert.equal(error.cause.failure.step, "bank");
      return true;
    });
  });

  it("of a step is the same in the first run and in a replay", async () => {
    const seen: Array<unknown> = [];
    const pay = actor("pay", { errors: [CardDeclined, NonRetryable] }, async (ctx) => {
      for (const error of [new CardDeclined(1), new NonRetryable({ reason: "stolen" })]) {
        await ctx.run("charge", () => {
          throw error;
        }, once).catch((error) => seen.push([error.constructor, { ...error }, error.message]));
      }
      await ctx.sleep("nap", "1 hour");
    });
    await using weir = await inMemory({ runsTwice: false });
    await weir.worker([pay], { residentGrace: "0 millis" });
    await (await weir.start(pay, undefined)).result();
    assert.equal(seen.length, 4);
    assert.deepEqual(seen.slice(2), seen.slice(0, 2));
    assert.deepEqual(seen[1], [
      NonRetryable,
      { _tag: "NonRetryable", reason: "stolen", code: "WEIR_NON_RETRYABLE" },
      "stolen. Correct the cause; it is not tried again.",
    ]);
  });

  it("is no reason to lose what reports a failure of another", async () => {
    const child = actor("child", () => {
      throw new RangeError("out of range");
    });
    const parent = actor("parent", { errors: [CardDeclined] }, async (ctx) => {
      const names: Array<string> = [];
      const name = (error: Error) => void names.push(error.constructor.name);
      await ctx.call(child, undefined).catch(name);
      await ctx.run("step", () => Promise.reject(new Unnamed("no")), once).catch(name);
      return names;
    });
    await using weir = await inMemory();
    await weir.worker([parent, child]);
    assert.deepEqual(await (await weir.start(parent, undefined)).result(), [
      ChildFailed.name,
      StepFailed.name,
    ]);
  });
});

describe("a signal's payload", () => {
  it("is checked where it is taken as well, whoever sent it", async () => {
    const positive: StandardSchema<unknown, number> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) =>
          typeof value === "number" && value > 0
            ? { value }
            : { issues: [{ message: "expected a positive number" }] },
      },
    };
    const amount = signal("amount", positive);
    const takes = actor("takes", async (ctx) => {
      try {
        return await ctx.wait(amount);
      } catch (error) {
        if (!(error instanceof InvalidInput)) throw error;
        return `${error.message} ${await ctx.wait(amount)}`;
      }
    });
    await using weir = await inMemory();
    await weir.worker([takes]);
    const run = await weir.start(takes, undefined);
    await assert.rejects(run.signal(amount, -1), /the payload of amount "-1".*positive/);
    await run.signal(signal<number>("amount"), -2);
    await run.signal(amount, 3);
    assert.match(String(await run.result()), /the payload of amount "-2".*positive number\. 3$/);
  });
});

describe("a value that a schema refuses", () => {
  const circle: Record<string, unknown> = {};
  circle["itself"] = circle;
  const unreadable = Object.create(null);
  const schema = (validate: StandardSchema["~standard"]["validate"]): StandardSchema => ({
    "~standard": { version: 1, vendor: "test", validate },
  });
  const strict = schema(() => ({ issues: [{ message: "expected a number", path: ["n"] }] }));
  const throws = schema(() => {
    throw unreadable;
  });

  for (
    const [what, input, value, says] of [
      ["holds a BigInt", strict, { n: 1n }, /the input of takes ".*1n.*" .*n: expected a number/],
      ["holds itself", strict, circle, /the input of takes ".*Circular.*" .*n: expected a number/],
      ["is shown by what throws", throws, 1, /the input of takes "1" /],
    ] as const
  ) {
    it(`is refused with what is wrong if it ${what}`, async () => {
      const takes = actor("takes", { input }, () => 1);
      await using weir = await inMemory();
      await weir.worker([takes]);
      await assert.rejects(weir.start(takes, value), (error: unknown) => {
        assert.ok(error instanceof InvalidInput, String(error));
        assert.match(error.message, says);
        return true;
      });
    });
  }
});
