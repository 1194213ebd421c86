/**
 * What the log says of every execution of a world, each record decoded once: which of them count,
 * and what state they make, up to the end or up to where somebody has read. It knows no owner.
 */
import { receive, record as evolve } from "../../actors/core/evolve.ts";
import { type ExecutionState, initial } from "../../actors/core/state.ts";
import { Timestamp } from "../../schema/ids.ts";
import { after, beforeStart, type Counted, type JournalPosition } from "../../streams/journal.ts";
import type { Entry } from "../../streams/log.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import type { World } from "./world.ts";

/** One record, and what it is, if it counts. */
export interface Line {
  readonly entry: Entry;
  readonly counted: Counted | undefined;
  /** Whether the execution had been started before. */
  readonly isOfLife: boolean;
}

interface Chapter {
  position: JournalPosition;
  readonly lines: Array<Line>;
}

export class Book {
  readonly #world: World;
  readonly #chapters = new Map<string, Chapter>();

  constructor(world: World) {
    this.#world = world;
  }

  linesOf(address: Address): ReadonlyArray<Line> {
    const chapter = this.#chapters.get(address.tail) ?? { position: beforeStart, lines: [] };
    this.#chapters.set(address.tail, chapter);
    const { log } = this.#world;
    const read = chapter.lines.at(-1)?.entry.sequence ?? 0;
    const filter = executionFilter(address);
    for (const entry of this.#world.run(log.readThrough(filter, { after: read, through: 0 }))) {
      const isOfLife = chapter.position.life !== 0;
      const { position, counted } = this.#world.run(after(chapter.position, entry));
      chapter.position = position;
      chapter.lines.push({ entry, counted, isOfLife });
    }
    return chapter.lines;
  }

  /** The state that the records make, or those of them that somebody knows. */
  stateOf(address: Address, isKnown: (line: Line) => boolean = () => true): ExecutionState {
    return this.linesOf(address).reduce((state, line) => {
      const { counted, entry: { sequence, at } } = line;
      if (counted === undefined || !isKnown(line)) return state;
      const time = Timestamp.make(at);
      return counted.type === "mail"
        ? receive(state, { sequence, at: time, record: counted.record })
        : evolve(state, counted.record, time);
    }, initial);
  }
}
