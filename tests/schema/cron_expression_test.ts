import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import {
  CronExpression,
  type CronFields,
  parseCronExpression,
} from "../../schema/cron_expression.ts";
import { parse } from "../../schema/ids.ts";

const fields = (text: string): CronFields => Result.getOrThrow(parseCronExpression(text));
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("a cron expression", () => {
  it("has five, six or seven fields", () => {
    const whole = {
      days: range(1, 31),
      lastDay: false,
      months: range(1, 12),
      weekdays: range(0, 6),
    };
    const five = { seconds: [0], minutes: [5], hours: [4], ...whole };
    assert.deepEqual(fields("5 4 * * *"), five);
    assert.deepEqual(fields("  5\t4 * *   * "), five);
    assert.deepEqual(fields("0 5 4 ? * ?"), five);
    assert.deepEqual(fields("0 5 4 * * * *"), five);
    assert.deepEqual(fields("0 5 4 * * * 2030,2028"), { ...five, years: [2028, 2030] });
  });

  it("lists values, names, ranges and steps", () => {
    assert.deepEqual(fields("5,1-3,20/15 * * * *").minutes, [1, 2, 3, 5, 20, 35, 50]);
    assert.deepEqual(fields("*/20 9-17/4 * * *").minutes, [0, 20, 40]);
    assert.deepEqual(fields("*/20 9-17/4 * * *").hours, [9, 13, 17]);
    assert.deepEqual(fields("0 0 * jan,OCT-DEC *").months, [1, 10, 11, 12]);
    assert.deepEqual(fields("0 0 L,15 * *").days, [15]);
    assert.equal(fields("0 0 15,l * *").lastDay, true);
    assert.deepEqual(fields("0 0 0 1 1 * 2026-2032/3").years, [2026, 2029, 2032]);
  });

  it("begins and ends its week with Sunday", () => {
    const weekdays = (text: string) => fields(`0 0 * * ${text}`).weekdays;
    assert.deepEqual(weekdays("0"), [0]);
    assert.deepEqual(weekdays("7"), [0]);
    assert.deepEqual(weekdays("SUN"), [0]);
    assert.deepEqual(weekdays("5-7"), [0, 5, 6]);
    assert.deepEqual(weekdays("FRI-SUN"), [0, 5, 6]);
    assert.deepEqual(weekdays("MON-SUN"), range(0, 6));
    assert.deepEqual(weekdays("*/2"), [0, 2, 4, 6]);
    assert.deepEqual(weekdays("1/2"), [1, 3, 5]);
  });

  it("has names for common schedules", () => {
    assert.deepEqual(fields("@hourly"), fields("0 * * * *"));
    assert.deepEqual(fields("@daily"), fields("0 0 * * *"));
    assert.deepEqual(fields("@weekly"), fields("0 0 * * 0"));
    assert.deepEqual(fields("@monthly"), fields("0 0 1 * *"));
    assert.deepEqual(fields("@Yearly"), fields("0 0 1 1 *"));
  });

  const wrong: ReadonlyArray<[field: string, expressions: ReadonlyArray<string>]> = [
    ["5 fields", ["", " ", "* * * *", "* * * * * * * *", "@reboot", "@", "daily"]],
    ["minute", [
      "60 * * * *",
      "-1 * * * *",
      "1.5 * * * *",
      "x * * * *",
      "1e1 * * * *",
      "0x1 * * * *",
    ]],
    ["minute", ["5-1 * * * *", "1-2-3 * * * *", "1- * * * *", "-5 * * * *", "*-5 * * * *"]],
    ["minute", ["*/0 * * * *", "*/ * * * *", "*/60 * * * *", "1/2/3 * * * *", "/5 * * * *"]],
    ["minute", [
      ", * * * *",
      "1,,2 * * * *",
      "1, * * * *",
      "L * * * *",
      "** * * * *",
      "00001 * * * *",
    ]],
    ["second", ["60 * * * * *", "MON * * * * *"]],
    ["hour", ["0 24 * * *", "0 22-2 * * *", "0 JAN * * *"]],
    ["day of month", [
      "0 0 0 * *",
      "0 0 32 * *",
      "0 0 L-3 * *",
      "0 0 15W * *",
      "0 0 L/2 * *",
      "0 0 1-L * *",
    ]],
    ["month", ["0 0 * 0 *", "0 0 * 13 *", "0 0 * JANUARY *", "0 0 * MON *", "0 0 * NOV-FEB *"]],
    ["day of week", ["0 0 * * 8", "0 0 * * L", "0 0 * * 5L", "0 0 * * 1#2", "0 0 * * SAT-MON"]],
    ["year", ["0 0 0 1 1 * 1969", "0 0 0 1 1 * 10000", "0 0 0 1 1 * 2027-2026"]],
  ];

  it("is refused otherwise, with what was expected", () => {
    for (const [field, expressions] of wrong) {
      for (const text of expressions) {
        const error = Effect.runSync(Effect.flip(parse(CronExpression, "cron expression", text)));
        assert.equal(error.value, text);
        assert.match(error.rule, new RegExp(`^expected .*${field}`), text);
      }
    }
    const long = Effect.runSync(
      Effect.flip(parse(CronExpression, "cron expression", `${"1,".repeat(100)}1 * * * *`)),
    );
    assert.match(long.rule, /at most 200 characters/);
  });
});
