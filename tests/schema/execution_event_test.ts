import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as fc from "fast-check";
import {
  ExecutionEvent,
  type ExecutionEventInput,
  parseExecutionEvent,
  RecordedEvent,
} from "../../schema/execution_event.ts";
import { executionEvent, reread, unknownObject } from "./arbitraries.ts";

const accepted = (event: unknown) => Effect.runSync(parseExecutionEvent(event));
const refused = (event: unknown) => Effect.runSync(Effect.flip(parseExecutionEvent(event)));
const { decode, encode } = reread(RecordedEvent);

describe("execution events", () => {
  it("are sixteen", () => {
    assert.deepEqual([...ExecutionEvent.discriminants].sort(), [
      "artifactStored",
      "checkpointSaved",
      "custom",
      "executionCancelled",
      "executionCompleted",
      "executionFailed",
      "executionPaused",
      "executionResumed",
      "executionStarted",
      "goalEvaluated",
      "stepCompleted",
      "stepDiscovered",
      "stepFailed",
      "stepStarted",
      "toolCallCompleted",
      "toolCallStarted",
    ]);
    const drawn = new Set(fc.sample(executionEvent, 2_000).map(({ type }) => type));
    assert.equal(drawn.size, 16, "the tests below see every kind");
  });

  it("are accepted as they are, and round-trip", () => {
    fc.assert(fc.property(executionEvent, (event) => {
      assert.deepEqual(accepted(event), event);
      assert.deepEqual(encode(event), event);
      assert.deepEqual(decode(encode(event)), event);
    }));
  });

  it("may leave optional fields undefined, and drop fields that their type does not have", () => {
    const input: ExecutionEventInput = {
      type: "stepCompleted",
      stepId: "charge",
      output: undefined,
      durationMs: 3,
    };
    assert.equal(
      JSON.stringify(accepted({ ...input, big: 1n })),
      '{"type":"stepCompleted","stepId":"charge","durationMs":3}',
    );
  });

  it("take an error with a category and a message alone, of any category", () => {
    const failed = (error: object) => ({ type: "executionFailed", error });
    accepted(failed({ category: "toolError", message: "no" }));
    accepted(failed({ category: "ourOwn", message: "no" }));
    assert.match(refused(failed({ category: "toolError" })).rule, /message/);
    assert.match(refused(failed({ category: "x", message: "", attempt: 0 })).rule, /attempt/);
  });

  it("of an unknown type cannot be appended, nor what was read as other", () => {
    for (
      const event of [
        { type: "stepSkipped", stepId: "a" },
        { type: "other", raw: { type: "stepSkipped" } },
        { type: 7 },
        {},
        [],
        "stepStarted",
        null,
        undefined,
      ]
    ) {
      assert.match(
        refused(event).rule,
        /^expected an event with a type, one of executionStarted, /,
      );
    }
  });

  it("that would not survive as JSON are refused", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = { cyclic };
    for (
      const data of [
        undefined,
        NaN,
        Infinity,
        1n,
        Symbol("s"),
        () => 1,
        new Date(0),
        new Map(),
        new Uint8Array(1),
        { a: undefined },
        [undefined],
        new Array(1),
        cyclic,
        { toJSON: () => 1 },
      ]
    ) {
      const error = refused({ type: "custom", eventType: "e", data });
      assert.equal(error._tag, "InvalidInput");
      assert.match(error.rule, /data/);
    }
  });

  it("nested deeper than every runtime can write are refused", () => {
    const nested = (levels: number) => {
      let data: unknown = 1;
      for (let level = 0; level < levels; level++) data = level % 2 === 0 ? [data] : { data };
      return { type: "custom", eventType: "e", data };
    };
    JSON.stringify(accepted(nested(500)));
    for (const levels of [501, 100_000]) {
      assert.match(refused(nested(levels)).rule, /at most 500 levels/);
    }
  });

  it("with a missing or broken field are refused by its name", () => {
    assert.match(refused({ type: "stepStarted", stepId: "a", name: "b" }).rule, /stepType/);
    assert.match(
      refused({ type: "stepCompleted", stepId: "a", durationMs: -1 }).rule,
      /durationMs/,
    );
    assert.match(
      refused({ type: "executionStarted", parent: { executionId: "\ud800" } }).rule,
      /"parent"\]\["executionId/,
    );
    assert.match(refused({ type: "custom", eventType: "", data: 1 }).rule, /eventType/);
  });

  it("of unknown types are read, kept whole and written back unchanged", () => {
    fc.assert(fc.property(unknownObject(ExecutionEvent.discriminants), (wire) => {
      const event = decode(wire);
      assert.deepEqual(event, { type: "other", raw: wire });
      assert.deepEqual(encode(event), wire);
    }));
  });

  it("of a known type with broken fields are not read as other", () => {
    assert.throws(() => decode({ type: "stepCompleted", stepId: "a" }), /durationMs/);
    assert.throws(() => encode({ type: "other", raw: { type: "stepCompleted" } }));
  });
});
