/**
 * What a record of the log changes on the card of its execution. Only what a listing shows is looked
 * at: starts, claims and releases, pauses, ends, replays and tags; most records are told by the
 * beginning of their body and cost no more. What cannot be read is passed over, as the engine does.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import type { CorruptRecord, UnsupportedRecordVersion } from "../../schema/errors.ts";
import { type JournalRecord, journalRecord } from "../../schema/journal_record.ts";
import { type MailRecord, mailRecord, type StartRecord } from "../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import { nonceOfId } from "../fence.ts";
import type { Place } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import {
  type Address,
  kindOfSubject,
  type Layout,
  type Placed,
  placedBySubject,
  tailOfSubject,
} from "../subjects.ts";
import { type Card, isLive, type Phase, withoutTag, withTag } from "./card.ts";
import type { Fact } from "./feed.ts";

/** What becomes of a card; nothing stands for none. */
export type Apply = (card: Card | undefined) => Card | undefined;

/** A change of one execution's card. */
export interface Change extends Place {
  readonly address: Address;
  /** The sequence of the start of its life, unless it means the life that is current. */
  readonly life: number | undefined;
  readonly begins: boolean;
  readonly apply: Apply;
}

type DecodeError = CorruptRecord | UnsupportedRecordVersion;

/** Records that matter here, by the kind of their subject. */
const watched: Readonly<Record<string, ReadonlySet<string>>> = {
  mail: new Set(["start", "pause", "resume", "promote", "timer"]),
  lease: new Set(["acquired", "reclaimed", "released"]),
  log: new Set(["sleeping", "waiting", "calling", "attemptFailed", "replayed"]),
  tag: new Set(["tag"]),
  done: new Set(["done"]),
};

const encoder = new TextEncoder();
const beforeVersion = encoder.encode('{"v":');
const beforeKind = encoder.encode(',"kind":"');
const [digit0, digit9, quote] = encoder.encode('09"');
const longestKind = 32;

const holds = (body: Uint8Array, at: number, text: Uint8Array): boolean => {
  for (let i = 0; i < text.length; i++) if (body[at + i] !== text[i]) return false;
  return true;
};

/**
 * The kind of a record that was written by us; nothing for what has another form. Asked of every
 * record that there is, most of which are looked at no further, so it decodes nothing.
 */
const kindOfBody = (body: Uint8Array): string | undefined => {
  if (!holds(body, 0, beforeVersion)) return undefined;
  let at = beforeVersion.length;
  while (body[at]! >= digit0! && body[at]! <= digit9!) at++;
  if (!holds(body, at, beforeKind)) return undefined;
  const start = at + beforeKind.length;
  const end = body.indexOf(quote!, start);
  return end === -1 || end - start > longestKind
    ? undefined
    : String.fromCharCode(...body.subarray(start, end));
};

/** A change of a card that is there. */
const ofCard = (change: (card: Card) => Card): Apply => (card) => card && change(card);
const ofLive = (change: (card: Card) => Card): Apply =>
  ofCard((card) => isLive(card) ? change(card) : card);

const phases: Readonly<Record<OutcomeRecord["type"], Phase>> = {
  success: "completed",
  failure: "failed",
  cancelled: "cancelled",
  expired: "expired",
  skipped: "skipped",
};

/** Whose record it is, as a valid subject says. */
type Owner = Pick<Placed, "tenant" | "execution">;

const begin = (fact: Fact, record: StartRecord, { tenant, execution }: Owner): Apply => (card) => {
  if (card !== undefined) return card;
  const deferred = record.notBefore !== undefined && record.notBefore > fact.at;
  return {
    tenant,
    execution,
    life: fact.sequence,
    phase: deferred ? "delayed" : "waiting",
    paused: false,
    deferred,
    startedAt: fact.at,
    endedAt: undefined,
    tags: Object.entries(record.tags ?? {}).reduce(
      (tags, [name, value]) => withTag(tags, name, value),
      {},
    ),
  };
};

/** The time has come, so somebody may take it up. */
const due = ofLive((card) =>
  card.deferred
    ? { ...card, deferred: false, phase: card.phase === "delayed" ? "waiting" : card.phase }
    : card
);

const ofMail = (fact: Fact, record: MailRecord, owner: Owner): Apply | undefined => {
  switch (record.kind) {
    case "start":
      return begin(fact, record, owner);
    case "pause":
      return ofLive((card) => ({ ...card, paused: true }));
    case "resume":
      return ofLive((card) => ({ ...card, paused: false }));
    case "timer":
    case "promote":
      return due;
    default:
      return undefined;
  }
};

/** Who claims a finished execution only looks at it, until it is replayed. */
const ofLease = (kind: string): Apply =>
  ofLive((card) => {
    if (kind !== "released") return { ...card, phase: "active" };
    if (card.phase !== "active") return card;
    return { ...card, phase: card.deferred ? "delayed" : "suspended" };
  });

const ofJournal = (record: JournalRecord, at: number): Apply | undefined => {
  switch (record.kind) {
    case "sleeping":
    case "waiting":
    case "calling":
      return ofLive((card) => card.deferred ? { ...card, deferred: false } : card);
    case "attemptFailed":
      return ofLive((card) => ({ ...card, deferred: true }));
    case "replayed":
      return ofCard((card) => ({ ...card, phase: "active", deferred: false, endedAt: undefined }));
    case "tag":
      return ofCard((card) => ({
        ...card,
        tags: record.change === "attached"
          ? withTag(card.tags, record.name, record.value ?? "")
          : withoutTag(card.tags, record.name),
      }));
    case "done":
      return ofCard((card) => ({
        ...card,
        phase: phases[record.outcome.type],
        paused: false,
        deferred: false,
        endedAt: at,
      }));
    default:
      return undefined;
  }
};

const read = Effect.fnUntraced(function* (fact: Fact, owner: Owner) {
  const kind = kindOfSubject(fact.subject);
  const begins = { begins: false, life: undefined as number | undefined };
  if (kind === "mail") {
    const record = yield* mailRecord.decode(fact.body, fact);
    const apply = ofMail(fact, record, owner);
    if (record.kind === "start") return { life: fact.sequence, begins: true, apply };
    return { ...begins, life: record.life, apply };
  }
  if (kind === "lease") return { ...begins, apply: ofLease(kindOfBody(fact.body)!) };
  const record = yield* journalRecord.decode(fact.body, fact);
  const life = "life" in record ? record.life : undefined;
  return { ...begins, life, apply: ofJournal(record, fact.at) };
});

const passOver = (error: DecodeError) =>
  error._tag === "CorruptRecord"
    ? Effect.as(Metric.update(skippedRecords, 1), undefined)
    : Effect.fail(error);

/** Whether a record that lies elsewhere may change a card, by the kind that its headers name, if any. */
export const mayBeWatched = (subject: string, recordKind: string | undefined): boolean => {
  const kind = kindOfSubject(subject);
  const kinds = kind === undefined ? undefined : watched[kind];
  if (kinds === undefined) return false;
  // Anybody may write mail, and name what it is not.
  return kind === "mail" || recordKind === undefined || kinds.has(recordKind);
};

/**
 * Whether a record may change a card; most do not. Mail may be written by anybody and in any form of
 * JSON, the rest only by owners.
 */
const isWatched = (fact: Fact): boolean => {
  const kind = kindOfSubject(fact.subject);
  const kinds = kind === undefined ? undefined : watched[kind];
  if (kinds === undefined || fact.body.length === 0) return false;
  const found = kindOfBody(fact.body);
  if (kind === "mail") return found === undefined || kinds.has(found);
  if (found === undefined || !kinds.has(found)) return false;
  return kind === "lease" || (fact.id !== undefined && nonceOfId(fact.id) !== undefined);
};

const changeOf = Effect.fnUntraced(function* (fact: Fact, { address, tenant, execution }: Placed) {
  const found = yield* Effect.catch(read(fact, { tenant, execution }), passOver);
  if (found?.apply === undefined) return undefined;
  const { life, begins, apply } = found;
  const change: Change = {
    sequence: fact.sequence,
    at: fact.at,
    address,
    life,
    begins,
    // A record that names a life of another execution speaks of none.
    apply: (card) =>
      card === undefined || (card.tenant === tenant && card.execution === execution)
        ? apply(card)
        : card,
  };
  return change;
});

/** What records change, in their order; most change nothing. */
export const changesOf = Effect.fnUntraced(function* (layout: Layout, facts: ReadonlyArray<Fact>) {
  const changes: Array<Change> = [];
  // Most executions have several records among them.
  const places = new Map<string, Placed | undefined>();
  for (const fact of facts) {
    if (!isWatched(fact)) continue;
    const tail = tailOfSubject(fact.subject);
    let place = places.get(tail);
    if (place === undefined && !places.has(tail)) {
      place = placedBySubject(layout, fact.shard, fact.subject);
      places.set(tail, place);
    }
    const change = place === undefined ? undefined : yield* changeOf(fact, place);
    if (change !== undefined) changes.push(change);
  }
  return changes;
});
