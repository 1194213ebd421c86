/**
 * Turns at things that only one may write at a time. What is asked of a thing while it is written
 * waits, and has the next turn together with everything else that waits for it; what has nothing in
 * common goes on side by side. The order in which it was asked is kept wherever it matters.
 */

/** Something that is to be done with one thing or several. */
export interface Task {
  readonly things: ReadonlyArray<string>;
  /** Whether nobody waits for it any more. */
  isAbandoned: boolean;
}

/** Tasks that are connected by what they are about. */
interface Turn<T> {
  readonly tasks: Array<T>;
  readonly things: Set<string>;
}

export class Turns<T extends Task> {
  readonly #take: (tasks: ReadonlyArray<T>, done: () => void) => void;
  readonly #mostTasks: number;
  readonly #mostThings: number;
  readonly #taken = new Set<string>();
  #waiting: Array<T> = [];
  #isAwake = false;
  #isClosed = false;

  /** `take` does what all of the tasks ask for, and says when their things are free again. */
  constructor(
    take: (tasks: ReadonlyArray<T>, done: () => void) => void,
    { mostTasks, mostThings }: { readonly mostTasks: number; readonly mostThings: number },
  ) {
    this.#take = take;
    this.#mostTasks = mostTasks;
    this.#mostThings = mostThings;
  }

  /** Says whether it will have a turn. */
  submit(task: T): boolean {
    if (this.#isClosed) return false;
    this.#waiting.push(task);
    this.#wake();
    return true;
  }

  /** Gives back what has not had its turn; nothing has one any more. */
  close(): ReadonlyArray<T> {
    this.#isClosed = true;
    return this.#waiting.splice(0);
  }

  /** What is asked in one go is looked at together. */
  #wake(): void {
    if (this.#isAwake || this.#waiting.length === 0) return;
    this.#isAwake = true;
    queueMicrotask(() => {
      this.#isAwake = false;
      for (const turn of this.#next()) this.#begin(turn);
    });
  }

  #begin({ tasks, things }: Turn<T>): void {
    for (const thing of things) this.#taken.add(thing);
    this.#take(tasks, () => {
      for (const thing of things) this.#taken.delete(thing);
      this.#wake();
    });
  }

  #next(): Iterable<Turn<T>> {
    /** What is being written, or is to be written first for somebody who came earlier. */
    const closed = new Set(this.#taken);
    const turns = new Map<string, Turn<T>>();
    const rest: Array<T> = [];
    for (const task of this.#waiting) {
      if (task.isAbandoned) continue;
      const met = new Set(task.things.flatMap((thing) => turns.get(thing) ?? []));
      const isClosed = task.things.some((thing) => closed.has(thing)) || !this.#fits(met, task);
      if (isClosed) {
        for (const thing of task.things) closed.add(thing);
        rest.push(task);
        continue;
      }
      const turn = joined(met);
      turn.tasks.push(task);
      for (const thing of task.things) turn.things.add(thing);
      for (const thing of met.size > 1 ? turn.things : task.things) turns.set(thing, turn);
    }
    this.#waiting = rest;
    return new Set(turns.values());
  }

  #fits(met: ReadonlySet<Turn<T>>, task: T): boolean {
    let tasks = 1;
    let things = task.things.length;
    for (const turn of met) {
      tasks += turn.tasks.length;
      things += turn.things.size;
    }
    return met.size === 0 || (tasks <= this.#mostTasks && things <= this.#mostThings);
  }
}

/** Turns that a task connects. Those had nothing in common, so that their order does not matter. */
const joined = <T>(turns: ReadonlySet<Turn<T>>): Turn<T> => {
  const [first, ...rest] = turns;
  if (first === undefined) return { tasks: [], things: new Set() };
  for (const { tasks, things } of rest) {
    first.tasks.push(...tasks);
    for (const thing of things) first.things.add(thing);
  }
  return first;
};
