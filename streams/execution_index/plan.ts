/**
 * What a run of changes makes of the pages: cards first, then the lists that they come onto, leave,
 * or stand on with another status. It reads pages in bulk and writes nothing.
 */
import * as Effect from "effect/Effect";
import { type Card, statusOf } from "./card.ts";
import * as Draft from "./draft.ts";
import { listsOfCards } from "./facet.ts";
import type { Apply } from "./fold.ts";
import { editLists, type RowEdits } from "./list_edit.ts";
import type { Page } from "./page.ts";
import type { PageStore, PageWrite } from "./page_store.ts";
import { codeOf } from "./status.ts";

/** A change whose execution is known. */
export interface CardChange {
  readonly life: number;
  readonly apply: Apply;
}

/** The pages to write; lists before cards, where they do not fit into one. */
export interface Plan {
  readonly lists: ReadonlyArray<PageWrite>;
  readonly cards: ReadonlyArray<PageWrite>;
}

/** How many sequences a page of cards stands for. */
const cardPageWidth = 2 ** 8;

const cardPrefix = "card.";

/** The page that holds the card of a life. */
export const cardKey = (life: number): string => `${cardPrefix}${Math.floor(life / cardPageWidth)}`;

export const cardsIn = (page: Page | undefined): ReadonlyMap<number, Card> =>
  page?.kind === "cards" ? page.cards : new Map();

interface Touched {
  readonly before: Card | undefined;
  readonly after: Card | undefined;
}

const touch = (draft: Draft.Draft, changes: ReadonlyArray<CardChange>) => {
  const pages = new Map<string, Map<number, Card>>();
  const touched = new Map<number, Touched>();
  for (const { life, apply } of changes) {
    const key = cardKey(life);
    const cards = pages.get(key) ?? cardsIn(draft.get(key));
    const card = cards.get(life);
    const after = apply(card);
    if (after === card) continue;
    const changed = pages.get(key) ?? new Map(cards);
    if (after === undefined) changed.delete(life);
    else changed.set(life, after);
    pages.set(key, changed);
    const before = touched.get(life);
    touched.set(life, { before: before === undefined ? card : before.before, after });
  }
  return { pages, touched };
};

const listEdits = (touched: ReadonlyMap<number, Touched>): ReadonlyMap<string, RowEdits> => {
  const edits = new Map<string, RowEdits>();
  const listsOf = listsOfCards();
  for (const [life, { before, after }] of touched) {
    const left = before === undefined ? [] : listsOf(before);
    for (const list of left) editsOf(edits, list).set(life, undefined);
    if (after === undefined) continue;
    const code = codeOf(statusOf(after));
    for (const list of listsOf(after)) editsOf(edits, list).set(life, code);
  }
  return edits;
};

const editsOf = (edits: Map<string, RowEdits>, list: string): RowEdits => {
  let found = edits.get(list);
  if (found === undefined) edits.set(list, found = new Map());
  return found;
};

export const make = Effect.fnUntraced(
  function* (store: PageStore["Service"], shard: number, changes: ReadonlyArray<CardChange>) {
    const draft = Draft.make(store, shard);
    yield* draft.load(changes.map(({ life }) => cardKey(life)));
    const { pages, touched } = touch(draft, changes);
    for (const [key, cards] of pages) draft.put(key, { kind: "cards", cards });
    yield* editLists(draft, listEdits(touched));
    const writes = draft.writes();
    const isCard = ({ key }: PageWrite) => key.startsWith(cardPrefix);
    return {
      lists: writes.filter((write) => !isCard(write)),
      cards: writes.filter(isCard),
    } satisfies Plan;
  },
);
