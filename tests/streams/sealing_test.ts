import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { InvalidInput } from "../../schema/errors.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { aes256gcm, ciphersIn, sealingOf } from "../../streams/sealing.ts";
import { bucketKinds, subjectKinds } from "../../streams/subjects.ts";

const secretOf = (id: string) => `${id}-`.padEnd(40, "0123456789");
const keyOf = (id: string) => aes256gcm({ id, secret: secretOf(id) });
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array) => new TextDecoder().decode(body);
const record = bytes('{"v":1,"kind":"signal","name":"pay","payload":"4111"}');

describe("a cipher", () => {
  it("gives back what it sealed, of any length, and never seals alike", () => {
    const cipher = keyOf("a");
    for (const length of [0, 1, 15, 16, 17, 100_000]) {
      const plain = new Uint8Array(length).map((_, i) => i * 7);
      const [one, two] = [cipher.seal(plain), cipher.seal(plain)];
      assert.deepEqual(new Uint8Array(cipher.open(one)), plain);
      assert.deepEqual(new Uint8Array(keyOf("a").open(two)), plain);
      assert.notDeepEqual(one, two);
    }
  });

  it("opens nothing that was changed in any of its bytes, cut short, or sealed by another", () => {
    const cipher = keyOf("a");
    const sealed = cipher.seal(bytes("4111"));
    for (let at = 0; at < sealed.length; at++) {
      const changed = new Uint8Array(sealed);
      changed[at]! ^= 1;
      assert.throws(() => cipher.open(changed), `byte ${at}`);
      assert.throws(() => cipher.open(sealed.subarray(0, at)), `up to ${at}`);
    }
    assert.throws(() => keyOf("b").open(sealed));
  });

  it("does not take a secret that is none, and does not tell it", () => {
    for (const secret of ["", "short", `${secretOf("a")} `]) {
      assert.throws(
        () => aes256gcm({ id: "a", secret }),
        (error) =>
          error instanceof InvalidInput && (secret === "" || !error.message.includes(secret)),
      );
    }
  });
});

describe("sealing", () => {
  it("without ciphers leaves everything as it is", () => {
    const { seal, open, roomIn } = sealingOf([]);
    assert.equal(seal("mail", record), record);
    assert.equal(open(record), record);
    assert.equal(roomIn(100), 100);
  });

  it("says what a record is and with whose key it was sealed, and nothing else", () => {
    const { seal, open } = sealingOf([keyOf("2026-11"), keyOf("old")]);
    const sealed = seal("mail", record);
    const shown = JSON.parse(text(sealed));
    assert.deepEqual(Object.keys(shown), ["v", "kind", "key", "sealed"]);
    assert.deepEqual([shown.v, shown.kind, shown.key], [1_000, "signal", "2026-11"]);
    assert.equal(text(open(sealed)), text(record));
  });

  it("opens what any of its ciphers has sealed, and what nobody has", () => {
    const { open } = sealingOf([keyOf("new"), keyOf("old")]);
    assert.equal(text(open(sealingOf([keyOf("old")]).seal("log", record))), text(record));
    assert.equal(text(open(record)), text(record));
  });

  it("leaves what none of its ciphers has sealed, which is read as of a version that is not known", async () => {
    const sealed = sealingOf([keyOf("theirs")]).seal("mail", record);
    const body = sealingOf([keyOf("ours")]).open(sealed);
    assert.equal(text(body), text(sealed));
    const error = await Effect.runPromise(
      Effect.flip(mailRecord.decode(body, { subject: "s", sequence: 1 })),
    );
    assert.equal(error._tag, "UnsupportedRecordVersion");
    assert.match(error.message, /signal record is sealed with the key theirs/);
  });

  it("leaves what was changed, or sealed with another secret of that name", () => {
    const { seal, open } = sealingOf([keyOf("a")]);
    const other = sealingOf([{ ...keyOf("b"), id: "a" }]).seal("mail", record);
    const cut = bytes(`${text(seal("mail", record)).slice(0, -20)}"}`);
    for (const body of [other, cut]) assert.equal(text(open(body)), text(body));
  });

  it("seals nothing twice, whoever sealed it", () => {
    const sealed = sealingOf([keyOf("theirs")]).seal("mail", record);
    assert.equal(sealingOf([keyOf("ours")]).seal("mail", sealed), sealed);
  });

  it("knows a word that it sealed from that of another secret", () => {
    const { mark, isProof } = sealingOf([keyOf("a"), keyOf("b")]);
    assert.equal(mark!.id, "a");
    assert.ok(isProof("a", mark!.proof));
    assert.ok(sealingOf([keyOf("c"), keyOf("a")]).isProof("a", mark!.proof));
    assert.ok(!isProof("b", mark!.proof));
    for (const [id, proof] of [["a", ""], ["a", "AAAA"], ["c", mark!.proof]] as const) {
      assert.ok(!isProof(id, proof), `${id} ${proof}`);
    }
    assert.equal(sealingOf([]).mark, undefined);
    assert.ok(!sealingOf([]).isProof("a", mark!.proof));
  });

  it("seals each kind that has a payload, and no other", () => {
    const { seal } = sealingOf([keyOf("a")]);
    const sealed = [...bucketKinds, ...subjectKinds].filter((kind) =>
      seal(kind, record) !== record
    );
    assert.deepEqual(sealed.sort(), [
      "call",
      "dead",
      "done",
      "emitted",
      "entries",
      "errand",
      "event",
      "ids",
      "ledger",
      "log",
      "mail",
      "out",
      "outbox",
      "queue",
      "reply",
      "signal",
      "snap",
      "store",
      "timer",
      "trigger",
      "try",
    ]);
    assert.equal(seal("mail", new Uint8Array()).length, 0);
  });

  it("knows how much can be stored", () => {
    const { roomIn, seal } = sealingOf([keyOf("a".repeat(32))]);
    for (const most of [1_000, 1_001, 4_096, 1_000_000]) {
      const plain = new Uint8Array(roomIn(most)).fill(7);
      assert.ok(seal("store", plain).length <= most, `${most}`);
    }
  });

  it("does not take ids that are none, nor one id twice", () => {
    for (const ids of [[""], ["a b"], ["x".repeat(33)], ["a", "a"]]) {
      assert.throws(() => sealingOf(ids.map(keyOf)), InvalidInput, ids.join());
    }
  });

  it("takes keys as they stand in an environment, and tells no secret of what is none", () => {
    const given = ` new=${secretOf("new")}, old=${secretOf("old")}=`;
    assert.deepEqual(ciphersIn(given).map(({ id }) => id), ["new", "old"]);
    assert.deepEqual(ciphersIn(""), []);
    const naked = secretOf("naked");
    for (const wrong of [naked, `${naked}=`, `a=${naked},${naked}=`, `${naked}=a`]) {
      assert.throws(
        () => ciphersIn(wrong),
        (error) => error instanceof InvalidInput && !error.message.includes(naked),
        wrong,
      );
    }
  });
});
