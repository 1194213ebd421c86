/**
 * Changing lists: many edits of many lists in one draft, with three reads however many they are.
 * Nodes are put below their parents' turn, and a parent says what its children hold and not what
 * changed in them, so that an edit that was cut short is completed by making it again.
 */
import * as Effect from "effect/Effect";
import type { Draft } from "./draft.ts";
import {
  branchLevel,
  branchOf,
  childrenIn,
  indexOf,
  leafLevel,
  maskOf,
  maxRootRows,
  nodeKey,
  rootKey,
  rowsIn,
} from "./life_list.ts";
import type { Page } from "./page.ts";

/** The code that a life is to have on a list, or nothing if it is to leave it. */
export type RowEdits = Map<number, number | undefined>;

interface TreeEdit {
  readonly list: string;
  /** Whether it was a single page until now: what lies in its nodes is left from a cut-short edit. */
  readonly isNew: boolean;
  readonly edits: ReadonlyMap<number, number | undefined>;
}

/** The entries with changes, or nothing if they change nothing. */
const changedBy = (
  entries: ReadonlyMap<number, number>,
  edits: ReadonlyMap<number, number | undefined>,
): ReadonlyMap<number, number> | undefined => {
  let changed: Map<number, number> | undefined;
  for (const [key, value] of edits) {
    if (entries.get(key) === value) continue;
    changed ??= new Map(entries);
    if (value === undefined) changed.delete(key);
    else changed.set(key, value);
  }
  return changed;
};

const groupBy = (
  entries: ReadonlyMap<number, number | undefined>,
  group: (key: number) => number,
): ReadonlyMap<number, ReadonlyMap<number, number | undefined>> => {
  const groups = new Map<number, RowEdits>();
  for (const [key, value] of entries) {
    const index = group(key);
    const members = groups.get(index);
    if (members === undefined) groups.set(index, new Map([[key, value]]));
    else members.set(key, value);
  }
  return groups;
};

const leavesOf = ({ edits }: TreeEdit) => groupBy(edits, (life) => indexOf(leafLevel, life));

const keysOf = (edit: TreeEdit): ReadonlyArray<string> => {
  const leaves = [...leavesOf(edit).keys()];
  return [
    ...leaves.map((leaf) => nodeKey(edit.list, leafLevel, leaf)),
    ...new Set(leaves.map((leaf) => nodeKey(edit.list, branchLevel, branchOf(leaf)))),
  ];
};

/** An entry for a parent: what is in the node, or nothing if nothing is. */
const entryOf = (page: Page | undefined): number | undefined => {
  const mask = page === undefined || page.kind === "cards" ? 0 : maskOf(page);
  return mask === 0 ? undefined : mask;
};

const editTree = (draft: Draft, { list, isNew, edits }: TreeEdit): void => {
  const before = (key: string) => isNew ? undefined : draft.get(key);
  const place = (key: string, page: Page | undefined): number | undefined => {
    if (page !== undefined) draft.put(key, page);
    return entryOf(page ?? before(key));
  };
  const leafEntries: RowEdits = new Map();
  for (const [leaf, rowEdits] of groupBy(edits, (life) => indexOf(leafLevel, life))) {
    const key = nodeKey(list, leafLevel, leaf);
    const rows = changedBy(rowsIn(before(key)), rowEdits);
    leafEntries.set(leaf, place(key, rows && { kind: "rows", rows }));
  }
  const branchEntries: RowEdits = new Map();
  for (const [branch, childEdits] of groupBy(leafEntries, branchOf)) {
    const key = nodeKey(list, branchLevel, branch);
    const children = changedBy(childrenIn(before(key)), childEdits);
    branchEntries.set(branch, place(key, children && { kind: "branch", children }));
  }
  const key = rootKey(list);
  const children = changedBy(childrenIn(before(key)), branchEntries);
  if (children !== undefined) draft.put(key, { kind: "branch", children });
};

/** Edits a list that is a single page; gives the tree that it becomes, if it is too long for that. */
const editRoot = (
  draft: Draft,
  list: string,
  edits: ReadonlyMap<number, number | undefined>,
): TreeEdit | undefined => {
  const rows = changedBy(rowsIn(draft.get(rootKey(list))), edits);
  if (rows === undefined) return undefined;
  if (rows.size > maxRootRows) return { list, isNew: true, edits: rows };
  draft.put(rootKey(list), { kind: "rows", rows });
  return undefined;
};

export const editLists = Effect.fnUntraced(
  function* (draft: Draft, edits: ReadonlyMap<string, RowEdits>) {
    yield* draft.load([...edits.keys()].map(rootKey));
    const trees: Array<TreeEdit> = [];
    for (const [list, rowEdits] of edits) {
      const tree: TreeEdit | undefined = draft.get(rootKey(list))?.kind === "branch"
        ? { list, isNew: false, edits: rowEdits }
        : editRoot(draft, list, rowEdits);
      if (tree !== undefined) trees.push(tree);
    }
    yield* draft.load(trees.flatMap(keysOf));
    for (const tree of trees) editTree(draft, tree);
  },
);
