/** Writes what the engine writes of one execution, by hand: its mailbox, and an owner's journal. */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import { type JournalRecord, journalRecord } from "../../../schema/journal_record.ts";
import { type MailRecord, mailRecord } from "../../../schema/mail_record.ts";
import type { Log } from "../../../streams/log.ts";
import type { Address } from "../../../streams/subjects.ts";

type Without<Record, Fields extends string> = Record extends unknown ? Omit<Record, Fields> : never;
type Unplaced = Without<JournalRecord, "life" | "index" | "mail">;

/** An owner of the execution: its records bear its nonce. */
export interface Owner {
  /** Writes one record, behind the mail up to a sequence; gives its own. */
  readonly write: (record: Unplaced, mail?: number) => Effect.Effect<number, unknown>;
  /** The same as it stands, whatever is in it. */
  readonly writeAsIs: (record: JournalRecord, id?: string) => Effect.Effect<number, unknown>;
}

const kindOf = ({ kind }: { readonly kind: JournalRecord["kind"] }) =>
  kind === "signal" || kind === "tag" || kind === "done" ? kind : "log";

/** An execution as the engine writes it. */
export const engineOn = (log: Log["Service"], address: Address) => {
  let life = 0;
  let index = 0;

  const post = (mail: MailRecord): Effect.Effect<number, unknown> =>
    Effect.map(
      log.append(address, { kind: "mail", body: mailRecord.encode(mail) }),
      ({ sequence }) => {
        if (mail.kind === "start") {
          life = sequence;
          index = 0;
        }
        return sequence;
      },
    );

  const owner = (): Owner => {
    const nonce = randomUUID();
    let written = 0;
    const writeAsIs: Owner["writeAsIs"] = (record, id = `${nonce}.${written++}`) =>
      Effect.map(
        log.append(address, { kind: kindOf(record), body: journalRecord.encode(record), id }),
        ({ sequence }) => sequence,
      );
    return {
      writeAsIs,
      write: (record, mail = life) =>
        Effect.suspend(() =>
          writeAsIs(
            record.kind === "claimed"
              ? record
              : { ...record, life, index: ++index, mail } as JournalRecord,
          )
        ),
    };
  };

  const start = (fields: Partial<Extract<MailRecord, { readonly kind: "start" }>> = {}) =>
    post({ kind: "start", seed: "seed", ...fields });

  return { post, start, owner };
};
