/**
 * The order in which things come that come after each other, or the circle that keeps them from it.
 * What is named and is not among them is taken for done.
 */

export interface Placed<Id> {
  readonly id: Id;
  /** What comes before it. */
  readonly after: ReadonlyArray<Id>;
}

/** Each behind those that it comes after, or some that come after each other. */
export const inOrder = <Id>(
  all: ReadonlyArray<Placed<Id>>,
): { readonly ids: ReadonlyArray<Id> } | { readonly cycle: ReadonlyArray<Id> } => {
  const byId = new Map(all.map((each) => [each.id, each]));
  const ids: Array<Id> = [];
  const entered = new Set<Id>();
  const done = new Set<Id>();
  for (const root of all) {
    /** The way here, each with those before it that are still to be looked at. */
    const way: Array<{ readonly id: Id; readonly before: Array<Id> }> = [];
    const enter = ({ id, after }: Placed<Id>) => {
      entered.add(id);
      way.push({ id, before: [...after] });
    };
    if (!entered.has(root.id)) enter(root);
    for (let last = way.at(-1); last !== undefined; last = way.at(-1)) {
      const before = last.before.pop();
      const next = before === undefined ? undefined : byId.get(before);
      if (next !== undefined && !entered.has(next.id)) enter(next);
      else if (next !== undefined && !done.has(next.id)) {
        const circle = way.map(({ id }) => id);
        return { cycle: circle.slice(circle.indexOf(next.id)) };
      } else if (before === undefined) {
        done.add(last.id);
        ids.push(last.id);
        way.pop();
      }
    }
  }
  return { ids };
};
