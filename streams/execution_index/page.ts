/**
 * The pages that the index consists of, and how they are stored: cards by the range of sequences in
 * which their executions started, and the nodes of lists. Everything is numbers counted from the one
 * before, so that an execution costs a few bytes in each list that it is on.
 */
import * as Effect from "effect/Effect";
import { CorruptRecord, UnsupportedRecordVersion } from "../../schema/errors.ts";
import type { ExecutionId, Tenant } from "../../schema/ids.ts";
import type { Card, Phase, Tags } from "./card.ts";
import type { StoredPage } from "./page_store.ts";
import { codeOf, statuses } from "./status.ts";

/** The cards of the executions that started in one range, by life. */
export interface CardPage {
  readonly kind: "cards";
  readonly cards: ReadonlyMap<number, Card>;
}

/** Lives, each with the code of its status. */
export interface Rows {
  readonly kind: "rows";
  readonly rows: ReadonlyMap<number, number>;
}

/** The nodes below, each with the set of the codes that occur in it, one bit each. */
export interface Branch {
  readonly kind: "branch";
  readonly children: ReadonlyMap<number, number>;
}

export type Page = CardPage | Rows | Branch;

const version = 1;
/** A row is the distance from the row before, and the code in the last four bits. */
const codes = 16;
/** A card's state is its phase, and a bit each for what else is so. */
const pausedBit = 16;
const deferredBit = 32;
/** The duration of what has not ended. */
const unended = -1;

type CardRow = [
  distance: number,
  tenant: number,
  execution: string,
  state: number,
  startedAfter: number,
  durationMs?: number,
  tags?: Tags,
];

const ascending = <A>(map: ReadonlyMap<number, A>) => [...map].sort(([a], [b]) => a - b);

const cardRows = (page: CardPage) => {
  const tenants: Array<string> = [];
  let life = 0;
  let at = 0;
  const rows = ascending(page.cards).map(([, card]): CardRow => {
    let tenant = tenants.indexOf(card.tenant);
    if (tenant === -1) tenant = tenants.push(card.tenant) - 1;
    const state = codeOf(card.phase) + (card.paused ? pausedBit : 0) +
      (card.deferred ? deferredBit : 0);
    const row: CardRow = [
      card.life - life,
      tenant,
      card.execution,
      state,
      card.startedAt - at,
    ];
    life = card.life;
    at = card.startedAt;
    const hasTags = Object.keys(card.tags).length > 0;
    if (card.endedAt !== undefined) row.push(card.endedAt - card.startedAt);
    else if (hasTags) row.push(unended);
    if (hasTags) row.push(card.tags);
    return row;
  });
  return { tenants, rows };
};

const cardsOf = (tenants: ReadonlyArray<string>, rows: ReadonlyArray<CardRow>): CardPage => {
  const cards = new Map<number, Card>();
  let life = 0;
  let at = 0;
  for (const [distance, tenant, execution, state, startedAfter, duration, tags = {}] of rows) {
    life += distance;
    at += startedAfter;
    cards.set(life, {
      life,
      tenant: tenants[tenant] as Tenant,
      execution: execution as ExecutionId,
      phase: statuses[state % codes] as Phase,
      paused: (state & pausedBit) !== 0,
      deferred: (state & deferredBit) !== 0,
      startedAt: at,
      endedAt: duration === undefined || duration === unended ? undefined : at + duration,
      tags,
    });
  }
  return { kind: "cards", cards };
};

const numbersOf = ({ rows }: Rows): ReadonlyArray<number> => {
  let before = 0;
  return ascending(rows).map(([life, code]) => {
    const row = (life - before) * codes + code;
    before = life;
    return row;
  });
};

const rowsOf = (numbers: ReadonlyArray<number>): Rows => {
  const rows = new Map<number, number>();
  let life = 0;
  for (const row of numbers) {
    life += Math.floor(row / codes);
    rows.set(life, row % codes);
  }
  return { kind: "rows", rows };
};

const content = (page: Page) => {
  switch (page.kind) {
    case "cards":
      return cardRows(page);
    case "rows":
      return { rows: numbersOf(page) };
    case "branch":
      return { children: ascending(page.children) };
  }
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const encodePage = (page: Page): Uint8Array =>
  encoder.encode(JSON.stringify({ v: version, kind: page.kind, ...content(page) }));

const parsePage = (json: {
  readonly kind: string;
  readonly tenants: ReadonlyArray<string>;
  readonly rows: ReadonlyArray<unknown>;
  readonly children: ReadonlyArray<readonly [number, number]>;
}): Page => {
  switch (json.kind) {
    case "cards":
      return cardsOf(json.tenants, json.rows as ReadonlyArray<CardRow>);
    case "rows":
      return rowsOf(json.rows as ReadonlyArray<number>);
    case "branch":
      return { kind: "branch", children: new Map(json.children) };
    default:
      throw new Error(`no page is of the kind ${json.kind}`);
  }
};

/** The index can be built anew, so a page is only checked as far as reading it does. */
export const decodePage = (
  key: string,
  { body, revision }: StoredPage,
): Effect.Effect<Page | undefined, CorruptRecord | UnsupportedRecordVersion> =>
  Effect.suspend((): Effect.Effect<
    Page | undefined,
    CorruptRecord | UnsupportedRecordVersion
  > => {
    if (body.length === 0) return Effect.undefined;
    try {
      const json = JSON.parse(decoder.decode(body));
      return typeof json.v === "number" && json.v > version
        ? Effect.fail(
          new UnsupportedRecordVersion({ kind: json.kind, version: json.v, supported: version }),
        )
        : Effect.succeed(parsePage(json));
    } catch (error) {
      const reason = String(error);
      return Effect.fail(new CorruptRecord({ subject: key, sequence: revision, reason }));
    }
  });
