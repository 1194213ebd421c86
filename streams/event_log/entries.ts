/** Entries that the server can read, as a store keeps them, and what they are about. */
import { createHash } from "node:crypto";
import { Entry, RemoteEntry } from "effect/eventlog/EventJournal";
import {
  type EventLogEntriesRecord,
  eventLogEntriesRecord,
} from "../../schema/event_log_record.ts";
import { base64, bytesOf, idOf, idText } from "./bytes.ts";
import type { Format } from "./store_log.ts";

/** Those of one topic may be in conflict with each other. */
export const topicOf = ({ event, primaryKey }: Pick<Entry, "event" | "primaryKey">): string =>
  createHash("sha256").update(JSON.stringify([event, primaryKey])).digest("base64url").slice(0, 22);

export const format: Format<EventLogEntriesRecord> = {
  codec: eventLogEntriesRecord,
  ids: ({ entries }) => entries.map(({ id }) => id),
  topics: ({ entries }) => entries.map(topicOf),
};

export const numbered = (remoteSequence: number, entry: Entry): RemoteEntry =>
  new RemoteEntry({ remoteSequence, entry }, { disableChecks: true });

export const recordOf = (first: number, entries: ReadonlyArray<Entry>): Uint8Array =>
  eventLogEntriesRecord.encode({
    kind: "entries",
    first,
    entries: entries.map(({ id, event, primaryKey, payload }) => ({
      id: idText(id),
      event,
      primaryKey,
      payload: base64(payload),
    })),
  });

export const entriesOf = ({ first, entries }: EventLogEntriesRecord): ReadonlyArray<RemoteEntry> =>
  entries.map(({ id, event, primaryKey, payload }, i) =>
    numbered(
      first + i,
      new Entry(
        { id: idOf(id), event, primaryKey, payload: bytesOf(payload) },
        { disableChecks: true },
      ),
    )
  );
