/**
 * The records of an execution as its state. Which of them count is said in `streams/journal.ts`; what
 * they change, in `core/evolve.ts`. It reads nothing by itself.
 */
import * as Effect from "effect/Effect";
import { Timestamp } from "../../schema/ids.ts";
import {
  after,
  beforeStart,
  type JournalError,
  type JournalPosition,
} from "../../streams/journal.ts";
import type { Entry } from "../../streams/log.ts";
import { kindOfSubject } from "../../streams/subjects.ts";
import { receive, record as evolve } from "../core/evolve.ts";
import { type ExecutionState, initial } from "../core/state.ts";

/** How far an execution has been read. */
export interface History {
  readonly state: ExecutionState;
  readonly position: JournalPosition;
  /** The sequence of the last mailbox message that was read. */
  readonly mail: number;
  /** The sequence of the last numbered record of an owner. */
  readonly journal: number;
}

export const unread: History = { state: initial, position: beforeStart, mail: 0, journal: 0 };

/** What the next record, in the order of the stream, changes. */
export const readOne = (history: History, entry: Entry): Effect.Effect<History, JournalError> =>
  Effect.map(after(history.position, entry), ({ position, counted }) => {
    const { sequence } = entry;
    const at = Timestamp.make(entry.at);
    const mail = kindOfSubject(entry.subject) === "mail" ? sequence : history.mail;
    if (counted === undefined) return { ...history, position, mail };
    const isNumbered = counted.type === "journal" && counted.record.kind !== "claimed";
    const state = counted.type === "mail"
      ? receive(history.state, { sequence, at, record: counted.record })
      : evolve(history.state, counted.record, at);
    return { state, position, mail, journal: isNumbered ? sequence : history.journal };
  });

/** The history behind further records. */
export const readAll = (
  history: History,
  entries: ReadonlyArray<Entry>,
): Effect.Effect<History, JournalError> => Effect.reduce(entries, () => history, readOne);
