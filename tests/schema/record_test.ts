import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as fc from "fast-check";
import { record } from "../../schema/record.ts";
import { sessionRecord } from "../../schema/session_record.ts";
import { fields, json, natural, worker } from "./arbitraries.ts";

const Note = Schema.Struct({
  kind: Schema.Literal("note"),
  text: Schema.String,
  data: Schema.optionalKey(Schema.Json),
});
const Mark = Schema.Struct({ kind: Schema.Literal("mark"), count: Schema.Int });
const codec = record(2, Schema.Union([Note, Mark]));

const location = { subject: "weir.log.0.order.acme.o-1", sequence: 7 };
const bytes = (text: string) => new TextEncoder().encode(text);
const decode = (text: string) => Effect.runSync(codec.decode(bytes(text), location));
const failure = (body: Uint8Array) => Effect.runSync(Effect.flip(codec.decode(body, location)));

describe("records", () => {
  it("begin with version and kind, whatever the order of the fields", () => {
    const body = codec.encode({ text: "a", kind: "note", data: [1] });
    assert.equal(new TextDecoder().decode(body), '{"v":2,"kind":"note","text":"a","data":[1]}');
  });

  it("give back what was put in, for every kind", () => {
    const value = fc.oneof(
      fields({ text: fc.string({ unit: "binary" }) }, { data: json }).map((fields) => ({
        kind: "note" as const,
        ...fields,
      })),
      natural.map((count) => ({ kind: "mark" as const, count })),
    );
    fc.assert(fc.property(value, (value) => {
      assert.deepEqual(Effect.runSync(codec.decode(codec.encode(value), location)), value);
    }));
  });

  it("of an earlier version and with unknown fields are read", () => {
    assert.deepEqual(decode('{"v":1,"kind":"mark","count":3,"new":{"a":1}}'), {
      kind: "mark",
      count: 3,
    });
  });

  it("of a future version fail loudly, known kind or not", () => {
    for (const kind of ["mark", "sigil"]) {
      const error = failure(bytes(`{"v":3,"kind":"${kind}"}`));
      assert.ok(error._tag === "UnsupportedRecordVersion");
      assert.deepEqual([error.kind, error.version, error.supported], [kind, 3, 2]);
    }
  });

  it("that are not what their subject says are corrupt, and the error says where and why", () => {
    const bodies = [
      "",
      "not json",
      "null",
      "7",
      "[]",
      '"note"',
      "{}",
      '{"kind":"mark","count":1}',
      '{"v":0,"kind":"mark","count":1}',
      '{"v":1.5,"kind":"mark","count":1}',
      '{"v":"1","kind":"mark","count":1}',
      '{"v":1,"kind":7,"count":1}',
      '{"v":1,"kind":"sigil","count":1}',
      '{"v":1,"kind":"mark"}',
      '{"v":1,"kind":"mark","count":"1"}',
      '{"v":1,"kind":"mark","count":1} ,',
      '\ufeff{"v":1,"kind":"mark","count":1}',
    ].map(bytes);
    const notUtf8 = Uint8Array.of(...bytes('{"v":1,"kind":"note","text":"'), 0xff, 0x22, 0x7d);
    for (const body of [...bodies, notUtf8]) {
      const error = failure(body);
      assert.ok(error._tag === "CorruptRecord", new TextDecoder().decode(body));
      assert.equal(error.subject, location.subject);
      assert.equal(error.sequence, location.sequence);
      assert.notEqual(error.reason, "");
    }
  });

  it("never throw on arbitrary bytes", () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array(), fc.json().map(bytes)), (body) => {
      assert.equal(failure(body)._tag, "CorruptRecord");
    }));
  });
});

describe("records that are far too deep", () => {
  it("are refused before they are looked at, which would take as long as they are deep", () => {
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    const error = failure(bytes(`{"v":1,"kind":"session","worker":${deep}}`));
    assert.ok(error._tag === "CorruptRecord");
    assert.match(error.reason, /more than 500 levels/);
  });
});

describe("session records", () => {
  it("round-trip", () => {
    const value = fc.tuple(worker, natural).map(([worker, ttlMs]) => ({
      kind: "session" as const,
      worker,
      ttlMs,
    }));
    fc.assert(fc.property(value, (value) => {
      const body = sessionRecord.encode(value);
      assert.deepEqual(Effect.runSync(sessionRecord.decode(body, location)), value);
    }));
  });
});
