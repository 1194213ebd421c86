/**
 * Which lists an execution is on: one for each way to ask for it. Any combination of actor and tag
 * has a list of its own, so that no query has to look through executions that it does not want; the
 * status is in the list. Tags are in a list each by name, and by name and value.
 */
import { createHash } from "node:crypto";
import { executionIdentity, type Tenant } from "../../schema/ids.ts";
import type { Card } from "./card.ts";

export interface TagQuery {
  readonly name: string;
  /** Left out, any value. */
  readonly value?: string;
}

/** What the executions of a list have in common. */
export interface Facet {
  readonly tenant: Tenant;
  readonly actor?: string;
  readonly tag?: TagQuery;
}

const keyOf = ({ tenant, actor, tag }: Facet): string =>
  JSON.stringify([tenant, actor ?? null, tag?.name ?? null, tag?.value ?? null]);

/** The name of a list, as a token; 128 bits keep strangers apart. */
const nameOf = (key: string): string =>
  createHash("sha256").update(key).digest("base64url").slice(0, 22);

export const listOf = (facet: Facet): string => nameOf(keyOf(facet));

const tagFacets = ({ tenant, tags }: Card): ReadonlyArray<Facet> => [
  { tenant },
  ...Object.entries(tags).flatMap(([name, value]) => [
    { tenant, tag: { name } },
    { tenant, tag: { name, value } },
  ]),
];

/** Gives everything that a card can be asked for by; names are long in the making, and remembered. */
export const listsOfCards = (): (card: Card) => ReadonlyArray<string> => {
  const lists = new Map<string, string>();
  const remembered = (facet: Facet): string => {
    const key = keyOf(facet);
    let list = lists.get(key);
    if (list === undefined) lists.set(key, list = nameOf(key));
    return list;
  };
  return (card) => {
    const { actor } = executionIdentity(card.execution);
    return tagFacets(card).flatMap((facet) =>
      actor === undefined
        ? [remembered(facet)]
        : [remembered(facet), remembered({ ...facet, actor })]
    );
  };
};

/** Whether a card is what was asked for. */
export const belongsTo = ({ tenant, actor, tag }: Facet, card: Card): boolean =>
  card.tenant === tenant &&
  (actor === undefined || executionIdentity(card.execution).actor === actor) &&
  (tag === undefined ||
    (tag.value === undefined
      ? Object.hasOwn(card.tags, tag.name)
      : card.tags[tag.name] === tag.value));
