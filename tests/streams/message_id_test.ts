import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import { Fence, nonceOfId } from "../../streams/fence.ts";
import { clientMessageId, randomMessageId } from "../../streams/message_id.ts";
import { utf16 } from "../schema/arbitraries.ts";

const scope = fc.record({ subject: utf16, life: fc.nat(), verb: utf16 });

describe("a client's message id", () => {
  it("is the same for the same key in the same scope", () => {
    fc.assert(fc.property(scope, utf16, (scope, key) => {
      assert.equal(clientMessageId(scope, key), clientMessageId({ ...scope }, key));
    }));
  });

  it("attack 5: differs by subject, by life, by verb and by key", () => {
    const parts = fc.record({ subject: utf16, life: fc.nat(), verb: utf16, key: utf16 });
    const changes = fc.record(
      { subject: utf16, life: fc.nat(), verb: utf16, key: utf16 },
      { requiredKeys: [] },
    );
    fc.assert(fc.property(parts, changes, (parts, changes) => {
      const changed = { ...parts, ...changes };
      const [one, two] = [parts, changed].map(({ key, ...scope }) => clientMessageId(scope, key));
      assert.equal(one === two, isDeepStrictEqual({ ...parts }, changed));
    }));
  });

  it("does not confuse the end of one part with the beginning of the next", () => {
    const parts = [["ab", "c", "d"], ["a", "bc", "d"], ["a", "b", "cd"], ['a","b', "c", "d"]];
    const ids = parts.map(([subject, verb, key]) =>
      clientMessageId({ subject: subject!, verb: verb! }, key!)
    );
    assert.equal(new Set(ids).size, parts.length);
  });

  it("fits a header, whatever the key holds, and is never mistaken for an owner's", () => {
    fc.assert(fc.property(scope, utf16, (scope, key) => {
      const id = clientMessageId(scope, key);
      assert.match(id, /^[A-Za-z0-9_-]{43}$/);
      assert.equal(nonceOfId(id), undefined);
    }));
  });

  it("of no life is that of life 0", () => {
    const scope = { subject: "weir.mail.0.order.acme.o-1", verb: "start" };
    assert.equal(clientMessageId(scope, "key"), clientMessageId({ ...scope, life: 0 }, "key"));
  });

  it("stays what it is from release to release, or a retry would be stored twice", () => {
    assert.equal(
      clientMessageId({ subject: "weir.mail.0.order.acme.o-1", life: 7, verb: "signal" }, "key"),
      "yvu-_52__Crpugxil8y1riK6lIgapPNy8C0G05t4Fmw",
    );
    assert.equal(
      clientMessageId(
        { subject: "weir.event.0.order.acme.o-1", verb: "event" },
        "a key\n with\u0000 everything 🙂",
      ),
      "KCFgnqn4t3_Bx1u9VwiNo69uvbQ-8qFLwMGE0qlveTs",
    );
  });
});

describe("other message ids", () => {
  it("of the log itself never repeat, and name no owner", () => {
    const ids = Array.from({ length: 1_000 }, randomMessageId);
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids) assert.equal(nonceOfId(id), undefined);
  });

  it("of owners never repeat, and name their nonce", () => {
    const fences = ["nonce-1", "nonce-2"].map((nonce) => new Fence("$KV.weir.lease.x", nonce, 1));
    const ids = fences.flatMap((fence) => Array.from({ length: 100 }, () => fence.nextId()));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(new Set(ids.map(nonceOfId)), new Set(["nonce-1", "nonce-2"]));
  });
});
