/**
 * What a full worker was offered because nobody had room, and declined. A little of it stays at hand;
 * the rest goes back to the server for a while, so that whatever lies behind it in the stream, a
 * signal for a resident execution perhaps, can come through. The worker takes it up when it has room
 * again, or hands it to others who do (`room.ts`).
 */
import { ackWaitMs } from "../mailbox.ts";
import type { Handed } from "./handed.ts";

/** One message, not settled. */
export interface Declined {
  /** Offers it to the handler again. */
  readonly offer: () => void;
  /** Takes it from here, for another worker. */
  readonly hand: () => Handed;
  /** Lets the server offer it to anyone, now or after a while. */
  readonly giveBack: (afterMs?: number) => void;
}

/** What was declined of one place, each with until when it is there. */
interface Backlog {
  readonly held: Map<Declined, number>;
  /** These come back by themselves. */
  readonly away: Map<Declined, number>;
}

const heldAtMost = 64;
/** Before the server offers it to another. */
const heldForMs = ackWaitMs / 2;
/** So many a second come back by themselves at most, or declining them would be all that is done. */
const returnsPerMs = 1;
/** Beyond this the worker fetches no more than it is made to. */
const manyAway = 10_000;

const any = () => true;

type Backlogs<Place> = Map<Place, Backlog>;

/**
 * Of each place, what came first is next; and each place in turn, so that none waits for another. What
 * only few can do does not wait behind what everybody can: lanes and mailboxes take turns as well.
 */
export class Overflow<Place> {
  readonly #ofLanes: Backlogs<Place> = new Map();
  readonly #ofMailboxes: Backlogs<Place> = new Map();
  /** Whose turn it is first. */
  #inTurn = [this.#ofLanes, this.#ofMailboxes];
  #away = 0;

  get isEmpty(): boolean {
    return this.#inTurn.every(({ size }) => size === 0);
  }

  get isLarge(): boolean {
    return this.#away >= manyAway;
  }

  take(place: Place, isLane: boolean, declined: Declined, now: number): void {
    const backlogs = isLane ? this.#ofLanes : this.#ofMailboxes;
    const backlog = backlogs.get(place) ?? { held: new Map(), away: new Map() };
    backlogs.set(place, backlog);
    if (backlog.held.size < heldAtMost) backlog.held.set(declined, now + heldForMs);
    else this.#sendAway(backlog, declined, now);
  }

  /** Offers again what is here, while there is room. */
  offer(hasRoom: () => boolean): void {
    let remaining = this.#away;
    for (const backlogs of this.#inTurn) {
      for (const { held } of backlogs.values()) remaining += held.size;
    }
    // What is declined once more goes to the end.
    while (remaining-- > 0 && hasRoom()) this.#takeOut(any)?.offer();
  }

  /** Hands up to so many of those places over. */
  give(count: number, suits: (place: Place) => boolean): ReadonlyArray<Handed> {
    const given: Array<Handed> = [];
    while (given.length < count) {
      const declined = this.#takeOut(suits);
      if (declined === undefined) break;
      given.push(declined.hand());
    }
    return given;
  }

  /** Sees to what has been here, or away, for long enough. */
  sweep(now: number): void {
    for (const backlogs of this.#inTurn) {
      for (const [place, backlog] of backlogs) {
        for (const [declined, until] of backlog.held) {
          if (until > now) break;
          backlog.held.delete(declined);
          this.#sendAway(backlog, declined, now);
        }
        for (const [declined, until] of backlog.away) {
          if (until > now) break;
          backlog.away.delete(declined);
          this.#away--;
        }
        if (isNone(backlog)) backlogs.delete(place);
      }
    }
  }

  /** Leaves everything to others. */
  clear(): void {
    while (!this.isEmpty) this.#takeOut(any)?.giveBack();
  }

  #sendAway({ away }: Backlog, declined: Declined, now: number): void {
    const afterMs = Math.max(ackWaitMs, Math.ceil(this.#away / returnsPerMs));
    declined.giveBack(afterMs);
    away.set(declined, now + afterMs);
    this.#away++;
  }

  /** Takes out whose turn it is; who had one is the last to have the next. */
  #takeOut(suits: (place: Place) => boolean): Declined | undefined {
    for (const backlogs of this.#inTurn) {
      for (const [place, backlog] of backlogs) {
        if (!suits(place)) continue;
        const { held, away } = backlog;
        const from = held.size > 0 ? held : away;
        const [declined] = from.keys();
        if (declined === undefined) continue;
        from.delete(declined);
        if (from === away) this.#away--;
        backlogs.delete(place);
        if (!isNone(backlog)) backlogs.set(place, backlog);
        this.#inTurn = [...this.#inTurn.filter((other) => other !== backlogs), backlogs];
        return declined;
      }
    }
    return undefined;
  }
}

const isNone = ({ held, away }: Backlog): boolean => held.size === 0 && away.size === 0;
