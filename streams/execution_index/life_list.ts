/**
 * A list: the lives of executions that have something in common, newest first, each with its status.
 * A short one is a single page. A longer one is a tree whose nodes stand for fixed ranges of
 * sequences, so that a node's key follows from a life, and each branch says which statuses occur
 * below, so that a search goes only where it finds. Reading and changing lists is done elsewhere.
 */
import type { Branch, Page, Rows } from "./page.ts";

/** Lists with more rows than this become trees. */
export const maxRootRows = 256;

/** How many sequences a node of each level stands for; the root stands for all. */
const widths = [2 ** 13, 2 ** 21] as const;

export type Level = 0 | 1;
export const leafLevel: Level = 0;
export const branchLevel: Level = 1;

export const rootKey = (list: string): string => `list.${list}`;
export const nodeKey = (list: string, level: Level, index: number): string =>
  `list.${list}.${level}.${index}`;

/** The node of a level that a life belongs to. */
export const indexOf = (level: Level, life: number): number => Math.floor(life / widths[level]);

/** The branch that a leaf hangs on. */
export const branchOf = (leaf: number): number => Math.floor(leaf * widths[0] / widths[1]);

/** The first life that a node can hold. */
export const startOf = (level: Level, index: number): number => index * widths[level];

export const bitOf = (code: number): number => 1 << code;

/** The statuses in a node, as its parent holds them. */
export const maskOf = (node: Rows | Branch): number => {
  let mask = 0;
  if (node.kind === "rows") { for (const code of node.rows.values()) mask |= bitOf(code); }
  else for (const child of node.children.values()) mask |= child;
  return mask;
};

export const isEmpty = (page: Page): boolean => {
  switch (page.kind) {
    case "cards":
      return page.cards.size === 0;
    case "rows":
      return page.rows.size === 0;
    case "branch":
      return page.children.size === 0;
  }
};

/** The rows of a page that is a leaf, a short list, or not there. */
export const rowsIn = (page: Page | undefined): ReadonlyMap<number, number> =>
  page?.kind === "rows" ? page.rows : new Map();

export const childrenIn = (page: Page | undefined): ReadonlyMap<number, number> =>
  page?.kind === "branch" ? page.children : new Map();
