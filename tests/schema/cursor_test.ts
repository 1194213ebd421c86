import * as assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as fc from "fast-check";
import {
  type CursorPosition,
  decodeCursor,
  encodeCursor,
  parseCursorInput,
} from "../../schema/cursor.ts";
import { position, text } from "./arbitraries.ts";

const bytesOf = (cursor: string): Buffer => Buffer.from(cursor, "base64url");
const cursorOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
const reasonOf = (cursor: string): string | undefined =>
  Result.match(Effect.runSync(Effect.result(decodeCursor(cursor))), {
    onSuccess: () => undefined,
    onFailure: ({ reason }) => reason,
  });

const sample: CursorPosition = {
  incarnation: "0123456789abcdef",
  shards: [{ sequence: 258, at: 1_700_000_000_000 }, { sequence: 0, at: 0 }],
};

describe("cursors", () => {
  it("have the layout that the architecture fixes", () => {
    assert.equal(
      bytesOf(encodeCursor(sample)).toString("hex"),
      "0301" + "0123456789abcdef" + "0002" + "0000000000000102" + "0000018bcfe56800" +
        "0".repeat(32),
    );
  });

  it("give their position back", () => {
    fc.assert(fc.property(position, (position) => {
      assert.deepEqual(Effect.runSync(decodeCursor(encodeCursor(position))), position);
    }));
  });

  it("are equal exactly when their positions are", () => {
    fc.assert(fc.property(position, position, fc.boolean(), (one, other, same) => {
      const two = same ? structuredClone(one) : other;
      const [a, b] = [encodeCursor(one), encodeCursor(two)];
      assert.equal(a === b, JSON.stringify(one) === JSON.stringify(two));
    }));
  });

  it("of another product are refused as foreign", () => {
    fc.assert(
      fc.property(position, fc.nat(255).filter((byte) => byte !== 3), (position, prefix) => {
        const bytes = bytesOf(encodeCursor(position));
        bytes[0] = prefix;
        assert.equal(reasonOf(cursorOf(bytes)), "foreign");
      }),
    );
  });

  it("of a later layout are refused as such, whatever they hold", () => {
    fc.assert(fc.property(
      fc.integer({ min: 2, max: 255 }),
      fc.uint8Array(),
      (version, rest) => {
        assert.equal(reasonOf(cursorOf(Uint8Array.of(3, version, ...rest))), "newer-layout");
      },
    ));
  });

  it("of the wrong length are refused as malformed", () => {
    fc.assert(fc.property(position, fc.nat(40), fc.nat(), (position, extra, cut) => {
      const bytes = bytesOf(encodeCursor(position));
      const shorter = bytes.subarray(0, cut % (bytes.length - 1) + 1);
      assert.equal(reasonOf(cursorOf(shorter)), "malformed");
      const longer = Buffer.concat([bytes, Buffer.alloc(extra + 1)]);
      assert.equal(reasonOf(cursorOf(longer)), "malformed");
    }));
  });

  it("that name an impossible position are refused as malformed", () => {
    const none = bytesOf(encodeCursor({ ...sample, shards: [] }));
    assert.equal(reasonOf(cursorOf(none)), "malformed");
    for (const offset of [12, 20]) {
      const bytes = bytesOf(encodeCursor(sample));
      bytes[offset] = 0xff;
      assert.equal(reasonOf(cursorOf(bytes)), "malformed");
    }
    const version0 = bytesOf(encodeCursor(sample));
    version0[1] = 0;
    assert.equal(reasonOf(cursorOf(version0)), "malformed");
  });

  it("have one spelling", () => {
    const cursor = encodeCursor({ ...sample, shards: sample.shards.slice(0, 1) });
    assert.equal(cursor.length % 4, 2, "two bits of the last character are free");
    const last = cursor.at(-1)!;
    const respelt = cursor.slice(0, -1) + String.fromCharCode(last.charCodeAt(0) + 1);
    assert.deepEqual(bytesOf(respelt), bytesOf(cursor));
    for (
      const spelling of [respelt, `${cursor}==`, `${cursor}\n`, ` ${cursor}`, `${cursor}.`]
    ) {
      assert.equal(reasonOf(spelling), "malformed", JSON.stringify(spelling));
    }
  });

  it("that are anything else are refused and never throw", () => {
    fc.assert(fc.property(fc.oneof(text(60), fc.uint8Array().map(cursorOf)), (text) => {
      assert.ok(["malformed", "foreign", "newer-layout"].includes(reasonOf(text) ?? ""));
    }));
    for (const text of ["", "1-0", "42", "$", "0", "a.b"]) {
      assert.notEqual(reasonOf(text), undefined);
    }
  });
});

describe("where to start", () => {
  const start = (text: string) => Effect.runSync(parseCursorInput(text));

  it("is explicit at both ends, and an empty cursor means now", () => {
    assert.equal(start("earliest"), "earliest");
    assert.equal(start("now"), "now");
    assert.equal(start(""), "now");
  });

  it("is otherwise a cursor", () => {
    assert.deepEqual(start(encodeCursor(sample)), sample);
    const error = Effect.runSync(Effect.flip(parseCursorInput("latest")));
    assert.equal(error._tag, "InvalidCursor");
  });
});
