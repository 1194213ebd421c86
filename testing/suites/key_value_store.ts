/** What is asked of Effect's `KeyValueStore`, whoever implements it. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";
import { KeyValueStore } from "effect/persistence/KeyValueStore";
import { hostileTexts } from "./hostile_texts.ts";
import { cases, type SuiteOptions } from "./suite.ts";

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i);

export const keyValueStoreSuite = (
  name: string,
  makeLayer: () => Layer.Layer<KeyValueStore, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases(name, makeLayer, options);

  test(
    "text is there as it was set, until it is set anew",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      assert.equal(yield* store.get("a"), undefined);
      assert.equal(yield* store.has("a"), false);
      for (const text of ["one", "", "zwei 🎉", "\ud800 alone", "x".repeat(100_000)]) {
        yield* store.set("a", text);
        assert.equal(yield* store.get("a"), text);
        assert.equal(yield* store.has("a"), true);
      }
      assert.equal(yield* store.size, 1);
    }),
  );

  test(
    "bytes are there as they were set, and their base64 for who asks for text",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      for (const bytes of [everyByte, new Uint8Array(), Uint8Array.of(0)]) {
        yield* store.set("a", bytes);
        assert.deepEqual(new Uint8Array((yield* store.getUint8Array("a"))!), bytes);
        assert.equal(yield* store.get("a"), btoa(String.fromCharCode(...bytes)));
      }
      assert.equal(yield* store.getUint8Array("b"), undefined);
    }),
  );

  test(
    "text that looks like base64 stays text, also for who asks for its bytes",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      for (const text of ["aGVsbG8=", "abcd", "plain"]) {
        yield* store.set("a", text);
        assert.equal(yield* store.get("a"), text);
        const bytes = yield* store.getUint8Array("a");
        assert.equal(new TextDecoder().decode(bytes), text);
      }
    }),
  );

  test(
    "what is removed is gone, and what was never there can be removed",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      yield* store.remove("a");
      yield* store.set("a", "1");
      yield* store.set("b", "2");
      yield* store.remove("a");
      assert.equal(yield* store.get("a"), undefined);
      assert.deepEqual(yield* store.keys, ["b"]);
      yield* store.set("a", "3");
      assert.equal(yield* store.get("a"), "3");
      assert.equal(yield* store.isEmpty, false);
      yield* store.clear;
      assert.deepEqual([yield* store.size, yield* store.isEmpty], [0, true]);
      assert.equal(yield* store.get("b"), undefined);
      yield* store.set("b", "4");
      assert.equal(yield* store.get("b"), "4");
    }),
  );

  test(
    "a prefix is cleared, and what only resembles it is not",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      for (const key of ["user.1", "user.2", "user", "users", "other"]) yield* store.set(key, key);
      yield* store.clearPrefix("user.");
      assert.deepEqual([...yield* store.keys].sort(), ["other", "user", "users"]);
      yield* store.clearPrefix("");
      assert.deepEqual(yield* store.keys, []);
    }),
  );

  test(
    "any text is a key, and no two are one",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      for (const [i, key] of hostileTexts.entries()) yield* store.set(key, `${i}`);
      for (const [i, key] of hostileTexts.entries()) {
        assert.equal(yield* store.get(key), `${i}`, JSON.stringify(key));
      }
      assert.deepEqual([...yield* store.keys].sort(), [...hostileTexts].sort());
      for (const key of hostileTexts) yield* store.remove(key);
      assert.equal(yield* store.size, 0);
    }),
  );

  test(
    "what is not there is not modified",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      const never = () => assert.fail("asked for what is not there");
      assert.equal(yield* store.modify("a", never), undefined);
      assert.equal(yield* store.modifyUint8Array("a", never), undefined);
      assert.equal(yield* store.has("a"), false);
    }),
  );

  test(
    "of many who modify at once nobody's change is lost",
    Effect.gen(function* () {
      const store = yield* KeyValueStore;
      yield* store.set("text", "0");
      yield* store.set("bytes", Uint8Array.of(0));
      const found = yield* Effect.forEach(Array.from({ length: 20 }), () =>
        Effect.zipWith(
          store.modify("text", (count) => `${Number(count) + 1}`),
          store.modifyUint8Array("bytes", ([count]) => Uint8Array.of(count! + 1)),
          (text, bytes) => [text, bytes?.[0]] as const,
          { concurrent: true },
        ), { concurrency: "unbounded" });
      assert.equal(yield* store.get("text"), "20");
      assert.deepEqual([...(yield* store.getUint8Array("bytes"))!], [20]);
      const all = Array.from({ length: 20 }, (_, i) => i + 1);
      const byValue = (a: number, b: number) => a - b;
      assert.deepEqual(found.map(([text]) => Number(text)).sort(byValue), all);
      assert.deepEqual(found.map(([, byte]) => byte!).sort(byValue), all);
    }),
  );
};
