/** Where in a list the part begins for which something holds: if for one, then for all behind it. */
export const firstWhere = <A>(items: ReadonlyArray<A>, holds: (item: A) => boolean): number => {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(items[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
};
