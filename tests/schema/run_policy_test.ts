import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../../schema/errors.ts";
import { parseRunPolicy, RunPolicy, type RunPolicyInput } from "../../schema/run_policy.ts";

const base = Date.UTC(2026, 0, 1);
const lastInstant = 8_640_000_000_000_000;
const parsed = (input: RunPolicyInput, from = base) => Effect.runSync(parseRunPolicy(input, from));
const refused = (input: unknown, from = base): InvalidInput => {
  const error = Effect.runSync(Effect.flip(parseRunPolicy(input as RunPolicyInput, from)));
  assert.ok(error instanceof InvalidInput);
  return error;
};

describe("a run policy", () => {
  it("is stored with its defaults, and read back from JSON", () => {
    const policies: ReadonlyArray<[RunPolicyInput, RunPolicy]> = [
      [{ type: "once" }, { type: "once" }],
      [{ type: "repeat", count: 3, interval: "5 minutes" }, {
        type: "repeat",
        count: 3,
        intervalMs: 300_000,
      }],
      [{ type: "repeat", count: 1, interval: 1 }, { type: "repeat", count: 1, intervalMs: 1 }],
      [{ type: "cron", expression: "0 9 * * MON-FRI" }, {
        type: "cron",
        expression: "0 9 * * MON-FRI",
        timeZone: "UTC",
      }],
      [
        { type: "cron", expression: "@daily", timeZone: "Europe/Berlin", maxOccurrences: 5 },
        { type: "cron", expression: "@daily", timeZone: "Europe/Berlin", maxOccurrences: 5 },
      ],
    ];
    const decode = Schema.decodeUnknownSync(RunPolicy);
    for (const [input, stored] of policies) {
      assert.deepEqual(parsed(input), stored);
      assert.deepEqual(decode(JSON.parse(JSON.stringify(parsed(input)))), stored);
    }
  });

  it("has a positive number of runs and an interval of whole milliseconds", () => {
    for (const count of [0, -1, 1.5, NaN, Infinity, "3", undefined]) {
      const error = refused({ type: "repeat", count, interval: "1 second" });
      assert.equal(error.what, "repeat count");
      assert.match(error.rule, typeof count === "number" ? /at least 1$/ : /number/);
    }
    const intervals = [
      0,
      -5,
      0.5,
      1.5,
      NaN,
      Infinity,
      "Infinity",
      "soon",
      "0 seconds",
      "",
      undefined,
    ];
    for (const interval of intervals) {
      const error = refused({ type: "repeat", count: 2, interval });
      assert.deepEqual([error.what, error.value], ["interval", String(interval)]);
      assert.match(error.rule, /expected a duration of whole milliseconds/);
    }
  });

  it("ends within what a Date can show, exactly", () => {
    const repeat = (count: number, interval: number) =>
      ({ type: "repeat", count, interval }) as const;
    const room = lastInstant - base;
    assert.deepEqual(parsed(repeat(2, room)).type, "repeat");
    assert.match(refused(repeat(2, room + 1)).message, /2 times every \d+ ms.*275760/);
    assert.deepEqual(parsed(repeat(room + 1, 1)).type, "repeat");
    assert.equal(refused(repeat(room + 2, 1)).what, "repeat");
    assert.deepEqual(parsed(repeat(room / 1000 + 1, 1000)).type, "repeat");
    assert.equal(refused(repeat(room / 1000 + 2, 1000)).what, "repeat");
    assert.equal(refused(repeat(3, lastInstant)).what, "repeat");
    assert.deepEqual(parsed(repeat(1, lastInstant)).type, "repeat");
  });

  it("names a time zone that exists", () => {
    for (const timeZone of ["Mars/Olympus", "", "+01:00", "UTC+1", "Europe/ Berlin", 3, null]) {
      const error = refused({ type: "cron", expression: "@daily", timeZone });
      assert.deepEqual([error.what, error.value], ["time zone", String(timeZone)]);
    }
  });

  it("has a positive number of occurrences, if it has one", () => {
    for (const maxOccurrences of [0, 1.5, -1, "3"]) {
      const error = refused({ type: "cron", expression: "@daily", maxOccurrences });
      assert.equal(error.what, "maxOccurrences");
    }
  });

  it("is refused if it is none", () => {
    for (const input of [{ type: "twice" }, {}, null, undefined, "once"]) {
      const error = refused(input);
      assert.deepEqual([error.what, error.rule], [
        "run policy",
        "expected the type once, repeat or cron",
      ]);
    }
  });

  it("is not read from a record that no parser wrote", () => {
    const decode = Schema.decodeUnknownResult(RunPolicy);
    const foreign = [
      { type: "cron", expression: "61 * * * *", timeZone: "UTC" },
      { type: "cron", expression: "@daily", timeZone: "Nowhere" },
      { type: "cron", expression: "@daily" },
      { type: "repeat", count: 0, intervalMs: 1 },
      { type: "repeat", count: 1, interval: "1 second" },
      { type: "other" },
    ];
    for (const value of foreign) assert.equal(decode(value)._tag, "Failure", JSON.stringify(value));
  });
});
