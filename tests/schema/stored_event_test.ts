import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as fc from "fast-check";
import { ExecutionEvent } from "../../schema/execution_event.ts";
import { eventRecord, StoredEvent } from "../../schema/stored_event.ts";
import {
  cursor,
  eventId,
  executionEvent,
  executionId,
  fields,
  natural,
  reread,
  tenant,
  timestamp,
  unknownObject,
} from "./arbitraries.ts";

const location = { subject: "weir.event.0.order.acme.o-1", sequence: 7 };
const sequence = natural.filter((sequence) => sequence > 0);
const read = (value: unknown) =>
  Effect.runSync(Effect.result(
    eventRecord.decode(new TextEncoder().encode(JSON.stringify(value)), location),
  ));
const unknown = unknownObject(ExecutionEvent.discriminants);

describe("event records", () => {
  it("round-trip for every kind of event", () => {
    const record = fields(
      { kind: fc.constant("event" as const), sequence, event: executionEvent },
      { eventId },
    );
    fc.assert(fc.property(record, (record) => {
      const body = eventRecord.encode(record);
      assert.deepEqual(Effect.runSync(eventRecord.decode(body, location)), record);
    }));
  });

  it("keep an event of a later release whole", () => {
    fc.assert(fc.property(unknown, (event) => {
      const body = new TextEncoder().encode(
        JSON.stringify({ v: 1, kind: "event", sequence: 1, event }),
      );
      const record = Effect.runSync(eventRecord.decode(body, location));
      assert.deepEqual(record.event, { type: "other", raw: event });
    }));
  });

  it("of a future version fail loudly", () => {
    const result = read({ v: 2, kind: "event", sequence: 1, event: { type: "executionResumed" } });
    assert.ok(result._tag === "Failure" && result.failure._tag === "UnsupportedRecordVersion");
  });

  it("that break the rules are corrupt", () => {
    const good = { v: 1, kind: "event", sequence: 1, event: { type: "executionResumed" } };
    assert.equal(read(good)._tag, "Success");
    for (
      const broken of [
        { kind: "acquired" },
        { sequence: 0 },
        { sequence: 1.5 },
        { event: undefined },
        { event: "executionResumed" },
        { event: { type: "stepStarted" } },
        { eventId: "" },
      ]
    ) {
      const result = read({ ...good, ...broken });
      assert.ok(result._tag === "Failure" && result.failure._tag === "CorruptRecord");
    }
  });
});

describe("stored events", () => {
  const { decode, encode } = reread(StoredEvent);

  it("round-trip, unknown events included", () => {
    const stored = fields({
      sequence,
      executionId,
      tenant,
      event: fc.oneof(
        executionEvent,
        unknown.map((raw) => ({ type: "other" as const, raw })),
      ),
      timestamp,
      cursor,
    }, { eventId });
    fc.assert(fc.property(stored, (stored) => assert.deepEqual(decode(encode(stored)), stored)));
  });
});
