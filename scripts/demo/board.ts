/** What is known of each order, as it comes: the rows of the timeline. */
import type { Phase, Row, Style } from "./timeline.ts";

interface Order {
  owner: string;
  readonly phases: Array<Phase>;
}

/** A worker keeps its colour. */
const styles: readonly [Style, Style] = ["cyan", "magenta"];

export const makeBoard = (workers: readonly [string, string]) => {
  const orders = new Map<string, Order>();
  let began: number | undefined;
  /** Since the first order. */
  const now = () => performance.now() - (began ?? performance.now());
  const note = (name: string, kind: Phase["kind"], text: string, style?: Style) =>
    orders.get(name)?.phases.push({
      at: now(),
      kind,
      text,
      ...(style === undefined ? {} : { style }),
    });
  return {
    now,
    add: (name: string) => {
      began ??= performance.now();
      orders.set(name, { owner: "", phases: [] });
      note(name, "waiting", "");
    },
    /** A worker has begun a step of the order, and so has it. */
    works: (name: string, worker: string, step: string) => {
      const order = orders.get(name);
      if (order !== undefined) order.owner = worker;
      note(name, "working", step, styles[workers.indexOf(worker)]);
    },
    waits: (name: string, what: string) => note(name, "waiting", what),
    /** The worker is dead, and with it what it was doing. */
    dies: (worker: string) => {
      for (const [name, order] of orders) {
        if (order.owner === worker) {
          order.owner = "nobody";
          note(name, "lost", "✗ kill -9 ");
        }
      }
    },
    ends: (name: string) => note(name, "done", "✓"),
    ownedBy: (worker: string): ReadonlyArray<string> =>
      [...orders].filter(([, { owner }]) => owner === worker).map(([name]) => name),
    rows: (): ReadonlyArray<Row> =>
      [...orders].map(([name, { owner, phases }]) => ({ name, owner, phases })),
  };
};

export type Board = ReturnType<typeof makeBoard>;
