/**
 * Which ciphers a namespace has been sealed with, as marks in its bucket: a process that lacks one, or
 * has another secret by its name, is refused when it connects, and not when it meets what it cannot
 * read. The mark of a cipher stands before anything that it seals; who has dropped a key for good
 * removes its mark.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { cipherRecord } from "../schema/cipher_record.ts";
import { CipherMissing, type ServerRefused, type Unavailable } from "../schema/errors.ts";
import type { Entry, Log } from "./log.ts";
import type { Sealing } from "./sealing.ts";
import { cipherAddress, cipherFilter, subjectOf } from "./subjects.ts";

type Means = Pick<Log["Service"], "layout" | "read" | "append">;

/** The last word on each cipher. */
const marksOf = Effect.fnUntraced(function* ({ layout, read }: Means) {
  const last = new Map<string, Entry>();
  yield* Stream.runForEach(
    read(cipherFilter(layout)),
    (entry) => Effect.sync(() => last.set(entry.subject, entry)),
  );
  const marks = yield* Effect.forEach(
    [...last.values()].filter(({ removed }) => !removed),
    (entry) => cipherRecord.decode(entry.body, entry),
  );
  return { last, marks };
});

/** Refuses ciphers that cannot open what others have sealed, and leaves a mark of one that is new. */
export const heedCiphers = Effect.fn("Ciphers.heed")(
  function* (log: Means, sealing: Sealing) {
    const { layout } = log;
    const { mark } = sealing;
    for (;;) {
      const { last, marks } = yield* marksOf(log);
      const unknown = marks.find(({ id, proof }) => !sealing.isProof(id, proof));
      if (unknown !== undefined) {
        const { namespace } = layout;
        return yield* new CipherMissing({ namespace, key: unknown.id });
      }
      if (mark === undefined || marks.some(({ id }) => id === mark.id)) return;
      const address = cipherAddress(layout, mark.id);
      const after = last.get(subjectOf(address, "cipher"))?.sequence ?? 0;
      yield* log.append(address, {
        kind: "cipher",
        body: cipherRecord.encode({ kind: "cipher", ...mark }),
        guard: { after },
        replaces: true,
      }).pipe(
        // Somebody else was quicker, with the same secret or another: what he left is read above.
        Effect.catchTag(["AlreadyExists", "SequenceConflict"], () => Effect.void),
      );
    }
  },
  Effect.catch((error): Effect.Effect<never, CipherMissing | Unavailable | ServerRefused> => {
    switch (error._tag) {
      case "CipherMissing":
      case "Unavailable":
      case "ServerRefused":
        return Effect.fail(error);
      default:
        // Nothing is asked for here that could break, and only Weir writes to its bucket.
        return Effect.die(error);
    }
  }),
);
