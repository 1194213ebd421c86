import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Latch from "effect/Latch";
import { CipherMissing } from "../../schema/errors.ts";
import { Namespace } from "../../schema/ids.ts";
import { heedCiphers } from "../../streams/cipher_marks.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { aes256gcm, sealingOf } from "../../streams/sealing.ts";
import { cipherAddress } from "../../streams/subjects.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const withSecret = (letter: string) =>
  sealingOf([aes256gcm({ id: "k", secret: letter.repeat(40) })]);

/** As for so many who connect at once: none leaves a mark before all have found none. */
const atOnce = (log: Log["Service"], count: number): Log["Service"] => {
  const latch = Latch.makeUnsafe();
  let waiting = 0;
  return {
    ...log,
    append: (...of) =>
      Effect.suspend(() => {
        if (++waiting === count) Latch.openUnsafe(latch);
        return Latch.whenOpen(latch, log.append(...of));
      }),
  };
};

const heed = (log: Log["Service"], letter: string) =>
  Effect.match(heedCiphers(log, withSecret(letter)), {
    onSuccess: () => "let in",
    onFailure: (error) => error instanceof CipherMissing ? "refused" : error,
  });

const test = (title: string, effect: Effect.Effect<void, unknown, Log>) =>
  it(title, () => Effect.runPromise(Effect.provide(effect, layerMemory({ layout }))));

describe("the mark of a cipher", () => {
  test(
    "is one secret's, also if two come at once with one id",
    Effect.gen(function* () {
      const log = yield* Log;
      const both = (letters: ReadonlyArray<string>, log: Log["Service"]) =>
        Effect.forEach(letters, (letter) => heed(log, letter), { concurrency: 2 });
      const first = yield* both(["a", "b"], atOnce(log, 2));
      assert.deepEqual([...first].sort(), ["let in", "refused"]);
      assert.deepEqual(yield* both(["a", "b"], log), first);
    }),
  );

  test(
    "lets in all who come at once with the same secret, and again after it was removed",
    Effect.gen(function* () {
      const log = yield* Log;
      for (let round = 0; round < 2; round++) {
        const contended = atOnce(log, 2);
        const both = yield* Effect.all([heed(contended, "a"), heed(contended, "a")], {
          concurrency: 2,
        });
        assert.deepEqual(both, ["let in", "let in"]);
        assert.equal(yield* heed(log, "b"), "refused");
        yield* log.append(cipherAddress(layout, "k"), {
          kind: "cipher",
          body: new Uint8Array(),
          removes: true,
        });
      }
      assert.equal(yield* heed(log, "b"), "let in");
    }),
  );
});
