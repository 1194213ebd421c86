import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as fc from "fast-check";
import {
  ActorName,
  EventId,
  ExecutionId,
  executionIdentity,
  executionText,
  Lane,
  LeaseId,
  Namespace,
  parse,
  SignalId,
  Tenant,
  Timestamp,
  WaitpointId,
  WorkerInstanceId,
} from "../../schema/ids.ts";
import { byteLength, text, timestamp, utf16 } from "./arbitraries.ts";

const bounded = [
  { name: "ExecutionId", schema: ExecutionId, maxBytes: 200 },
  { name: "Tenant", schema: Tenant, maxBytes: 64 },
  { name: "LeaseId", schema: LeaseId, maxBytes: 128 },
  { name: "WorkerInstanceId", schema: WorkerInstanceId, maxBytes: 128 },
  { name: "SignalId", schema: SignalId, maxBytes: 128 },
  { name: "WaitpointId", schema: WaitpointId, maxBytes: 128 },
  { name: "EventId", schema: EventId, maxBytes: 200 },
];

const hostile = [
  "a.b",
  "*",
  ">",
  "a b",
  " ",
  "a/b",
  "\u0000",
  "\n",
  "é漢🙂",
  "=",
  "%2E",
  "__proto__",
];

describe("text ids", () => {
  for (const { name, schema, maxBytes } of bounded) {
    const accepts = Schema.is(schema);

    it(`${name} takes any well-formed text of up to ${maxBytes} bytes and nothing else`, () => {
      fc.assert(fc.property(fc.oneof(text(maxBytes + 8), utf16), (id) => {
        const legal = id !== "" && id.isWellFormed() && byteLength(id) <= maxBytes;
        assert.equal(accepts(id), legal);
      }));
      for (const id of hostile) assert.ok(accepts(id), id);
      for (const character of ["x", "é", "漢", "🙂"]) {
        const count = Math.floor(maxBytes / byteLength(character));
        const longest = character.repeat(count).padEnd(
          count * character.length + maxBytes - count * byteLength(character),
          "x",
        );
        assert.equal(byteLength(longest), maxBytes);
        assert.ok(accepts(longest));
        assert.ok(!accepts(`${longest}x`), `${maxBytes + 1} bytes`);
      }
      for (const id of ["", "\ud800", "a\udc00b", 7, null, undefined, {}, ["a"]]) {
        assert.ok(!accepts(id), String(id));
      }
    });

    it(`${name} round-trips`, () => {
      const codec = Schema.toCodecJson(schema);
      const [encode, decode] = [Schema.encodeSync(codec), Schema.decodeUnknownSync(codec)];
      fc.assert(fc.property(text(maxBytes), (id) => {
        assert.equal(decode(JSON.parse(JSON.stringify(encode(schema.make(id))))), id);
      }));
    });
  }
});

describe("names", () => {
  const cases = [
    {
      name: "ActorName",
      accepts: Schema.is(ActorName),
      legal: ["a", "Order", "order-line_2", `a${"b".repeat(63)}`],
      illegal: ["", "1a", "_a", "-a", "a.b", "a/b", "a b", "é", `a${"b".repeat(64)}`, "a\n"],
    },
    {
      name: "Namespace",
      accepts: Schema.is(Namespace),
      legal: ["weir", "W_1", `a${"b".repeat(31)}`],
      illegal: ["", "1a", "_a", "a-1", "a.b", "$KV", "é", `a${"b".repeat(32)}`, "a\n"],
    },
    {
      name: "Lane",
      accepts: Schema.is(Lane),
      legal: ["a", "gpu:a100", "!", "~", "x".repeat(64)],
      illegal: ["", "a b", "\t", "\u007f", "é", "x".repeat(65), "a\n"],
    },
  ];
  for (const { name, accepts, legal, illegal } of cases) {
    it(`${name} keeps to its alphabet and length`, () => {
      for (const value of legal) assert.ok(accepts(value), value);
      for (const value of illegal) assert.ok(!accepts(value), JSON.stringify(value));
    });
  }
});

describe("timestamps", () => {
  it("are whole milliseconds that a Date can show", () => {
    const accepts = Schema.is(Timestamp);
    fc.assert(fc.property(timestamp, (at) => {
      assert.ok(accepts(at));
      new Date(at).toISOString();
    }));
    for (const at of [-1, 0.5, NaN, Infinity, 8_640_000_000_000_001, "0", new Date(0)]) {
      assert.ok(!accepts(at), String(at));
    }
  });
});

describe("parse", () => {
  const refusal = (value: unknown) =>
    Effect.runSync(Effect.flip(parse(ExecutionId, "execution id", value)));

  it("answers with the value itself", () => {
    assert.equal(Effect.runSync(parse(ExecutionId, "execution id", "order/o-1")), "order/o-1");
  });

  it("names what is refused, the value and the rule", () => {
    const error = refusal("");
    assert.equal(error._tag, "InvalidInput");
    assert.equal(error.what, "execution id");
    assert.equal(error.value, "");
    assert.match(error.rule, /^expected a non-empty string of at most 200 UTF-8 bytes/);
  });

  it("shows no more than the beginning of a long value", () => {
    assert.equal(refusal("x".repeat(5_000)).value, `${"x".repeat(100)}…`);
    assert.equal(refusal(Array.from({ length: 5_000 }, () => 1)).value.length, 101);
  });

  it("shows values that are not text", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    for (const value of [undefined, null, 1n, Symbol("s"), () => 1, cyclic, new Date(NaN)]) {
      assert.equal(refusal(value)._tag, "InvalidInput");
    }
  });
});

describe("the textual identity of an execution", () => {
  it("names the actor before the first slash, if that is an actor's name", () => {
    const split = (id: string) => executionIdentity(ExecutionId.make(id));
    assert.deepEqual(split("order/o-1"), { actor: "order", name: "o-1" });
    assert.deepEqual(split("order/a/b"), { actor: "order", name: "a/b" });
    assert.deepEqual(split("order//"), { actor: "order", name: "/" });
    for (
      const id of ["o-1", "order/", "/o-1", "/", "1a/b", "a.b/c", " /x", `${"a".repeat(65)}/b`]
    ) {
      assert.deepEqual(split(id), { actor: undefined, name: id });
    }
  });

  it("is taken apart and put together without loss, and no two ids share one", () => {
    const ids = fc.oneof(
      text(200),
      fc.tuple(fc.constantFrom("order", "1a", "a.b", "", "A-_9"), text(190)).map(([a, b]) =>
        `${a}/${b}`
      ),
    ).map((id) => ExecutionId.make(id));
    fc.assert(fc.property(ids, ids, (one, two) => {
      const [first, second] = [executionIdentity(one), executionIdentity(two)];
      assert.equal(executionText(first.actor, first.name), one);
      assert.notEqual(first.name, "");
      assert.equal(
        first.actor === second.actor && first.name === second.name,
        one === two,
      );
    }));
  });
});
