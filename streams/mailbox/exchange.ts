/**
 * All workers and all mail of one process: each message is with one worker at a time, the first in
 * rank who has not declined it, and comes back when that one is silent for too long or gone. It does
 * for the log in memory what consumers do on JetStream, in the same order. It knows no log and no
 * clock of its own.
 */
import { type Route, servesRoute } from "../../schema/route.ts";
import type { Entry } from "../log.ts";
import { ackWaitMs, type Delivery, type Fate, type ServeOptions } from "../mailbox.ts";
import { kindOfSubject } from "../subjects.ts";
import type { Offer } from "./offer.ts";
import { priorityOf, rankOf, type Standing } from "./rank.ts";

/** A worker that is offered mail. */
export interface Attendant {
  readonly options: ServeOptions;
  readonly handle: (delivery: Delivery) => void;
  isFull: boolean;
}

/** What a consumer is on JetStream: a partition of an actor's mailbox, or the lane of a route. */
interface Place {
  readonly name: string;
  readonly route: Route | undefined;
  readonly actor: string;
  /** Who serves it; worked out anew when workers have come or gone. */
  ranked: ReadonlyArray<{ readonly attendant: Attendant; readonly rank: number }> | undefined;
  /** What nobody has taken. */
  readonly left: Set<Item>;
}

/** One message, until it is acknowledged. */
interface Item {
  readonly place: Place;
  readonly offer: Offer;
  readonly declinedBy: Set<Attendant>;
  offers: number;
  /** With whom it is, and by which delivery. */
  at: { readonly attendant: Attendant; readonly delivery: Delivery } | undefined;
}

export interface ExchangeOptions {
  readonly now: () => number;
  /** Has `ring` called at a time, in place of what was asked for before. */
  readonly setAlarm: (at: number) => void;
}

/** What everyone has declined is offered to everyone again, all of it together. */
const askAgainEveryMs = 1_000;

const placeName = ({ actor, route, address: { shard, tail } }: Offer): string =>
  `${shard} ${actor} ${route ?? tail.slice(0, tail.indexOf("."))}`;

const forwards = ({ options }: Attendant, { route }: Place): boolean =>
  route === undefined && !servesRoute(undefined, options);

const standingAt = (place: Place, attendant: Attendant): Standing =>
  forwards(attendant, place) ? "forwarding" : attendant.isFull ? "full" : "free";

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #attendants = new Set<Attendant>();
  readonly #places = new Map<string, Place>();
  /** When an item is offered again, if nothing happens before. */
  readonly #due = new Map<Item, number>();
  /** What is not acknowledged, by shard and sequence, and the last that was heard of by shard and kind. */
  readonly #unacked = new Set<string>();
  readonly #heard = new Map<string, number>();
  #alarmAt = Infinity;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** Takes in a message. */
  post(offer: Offer): void {
    const { shard, subject, sequence } = offer.entry;
    this.#unacked.add(`${shard} ${sequence}`);
    this.#heard.set(`${shard} ${kindOfSubject(subject)}`, sequence);
    const name = placeName(offer);
    let place = this.#places.get(name);
    if (place === undefined) {
      const { actor, route } = offer;
      this.#places.set(name, place = { name, actor, route, ranked: undefined, left: new Set() });
    }
    this.#offer({ place, offer, declinedBy: new Set(), offers: 0, at: undefined });
  }

  /** Whether a message will be offered again. */
  fate({ shard, subject, sequence }: Pick<Entry, "shard" | "subject" | "sequence">): Fate {
    const isKnown = sequence <= (this.#heard.get(`${shard} ${kindOfSubject(subject)}`) ?? 0);
    return isKnown && !this.#unacked.has(`${shard} ${sequence}`) ? "acked" : "unacked";
  }

  join(attendant: Attendant): void {
    this.#attendants.add(attendant);
    this.#rankAnew();
    this.#offerLeft(attendant);
  }

  /** Offers it nothing more; what it has stays with it. */
  stop(attendant: Attendant): void {
    if (this.#attendants.delete(attendant)) this.#rankAnew();
  }

  /** Offers all that it has to others. */
  leave(attendant: Attendant): void {
    this.stop(attendant);
    for (const item of [...this.#due.keys()]) {
      if (item.at?.attendant === attendant) this.#offer(item);
    }
  }

  setFull(attendant: Attendant, isFull: boolean): void {
    if (isFull === attendant.isFull) return;
    attendant.isFull = isFull;
    if (!isFull && this.#attendants.has(attendant)) this.#offerLeft(attendant);
  }

  /** Offers it something again that was declined, and it the first. */
  offerOne(attendant: Attendant): void {
    if (!this.#attendants.has(attendant)) return;
    for (const place of this.#places.values()) {
      if (!this.#serves(attendant, place)) continue;
      const [item] = place.left;
      if (item === undefined) continue;
      item.declinedBy.delete(attendant);
      return this.#offer(item);
    }
  }

  /** Offers what lies on lanes that are open to it now. */
  lookAgain(attendant: Attendant): void {
    if (this.#attendants.has(attendant)) this.#offerLeft(attendant);
  }

  /** Offers again what is due. */
  ring(): void {
    this.#alarmAt = Infinity;
    const now = this.#options.now();
    for (const [item, at] of [...this.#due]) {
      if (at > now) continue;
      item.declinedBy.clear();
      this.#offer(item);
    }
    let next = Infinity;
    for (const at of this.#due.values()) next = Math.min(next, at);
    this.#awaitAlarm(next);
  }

  #remind(item: Item, at: number): void {
    this.#due.set(item, at);
    this.#awaitAlarm(at);
  }

  #awaitAlarm(at: number): void {
    if (at >= this.#alarmAt) return;
    this.#alarmAt = at;
    this.#options.setAlarm(at);
  }

  #rankAnew(): void {
    for (const place of this.#places.values()) place.ranked = undefined;
  }

  #serves({ options }: Attendant, { actor, route }: Place): boolean {
    return (options.actors as ReadonlyArray<string>).includes(actor) &&
      (route === undefined || servesRoute(route, options));
  }

  #rank(place: Place): NonNullable<Place["ranked"]> {
    const { name } = place;
    const serving = [...this.#attendants].filter((attendant) => this.#serves(attendant, place));
    return serving.map((attendant) => {
      const rivals = serving.filter((other) =>
        forwards(other, place) === forwards(attendant, place)
      );
      const names = rivals.map(({ options }) => options.worker);
      return { attendant, rank: rankOf(name, attendant.options.worker, names) };
    });
  }

  /** The first who has not declined an item. */
  #first({ place, declinedBy }: Item): Attendant | undefined {
    place.ranked ??= this.#rank(place);
    let first: Attendant | undefined;
    let lowest = Infinity;
    for (const { attendant, rank } of place.ranked) {
      const order = priorityOf(standingAt(place, attendant), 0) + rank / 1e6;
      if (order >= lowest || declinedBy.has(attendant)) continue;
      if (place.route !== undefined && attendant.options.isOpen?.(place.route) === false) continue;
      first = attendant;
      lowest = order;
    }
    return first;
  }

  #offer(item: Item): void {
    item.place.left.delete(item);
    const attendant = this.#first(item);
    if (attendant === undefined) return this.#leave(item);
    const isCurrent = () => item.at?.delivery === delivery;
    const delivery: Delivery = {
      ...item.offer,
      offers: ++item.offers,
      spilled: false,
      // Valid from whoever had it, as on JetStream.
      ack: () => {
        const { shard, sequence } = item.offer.entry;
        this.#unacked.delete(`${shard} ${sequence}`);
        item.at = undefined;
        item.place.left.delete(item);
        this.#due.delete(item);
      },
      retry: (afterMs) => {
        if (!isCurrent()) return;
        item.at = undefined;
        this.#remind(item, this.#options.now() + afterMs);
      },
      decline: () => {
        if (!isCurrent()) return;
        item.declinedBy.add(attendant);
        this.#offer(item);
      },
      working: () => {
        if (isCurrent()) this.#remind(item, this.#options.now() + ackWaitMs);
      },
      // Whoever has it settles it by this very delivery.
      handedOver: () => {},
      reply: undefined,
    };
    item.at = { attendant, delivery };
    this.#remind(item, this.#options.now() + ackWaitMs);
    attendant.handle(delivery);
  }

  /** Keeps what nobody takes for whoever comes, or has room again. */
  #leave(item: Item): void {
    item.at = undefined;
    item.place.left.add(item);
    if (item.declinedBy.size === 0) this.#due.delete(item);
    else {
      const round = Math.floor(this.#options.now() / askAgainEveryMs);
      this.#remind(item, (round + 2) * askAgainEveryMs);
    }
  }

  /** One of each place in turn: no place is full of what comes before what lies at another. */
  #offerLeft(attendant: Attendant): void {
    let turns = [...this.#places.values()].filter((place) => this.#serves(attendant, place)).map(
      // What is declined once more goes to the end.
      (place) => ({ place, items: place.left.values(), remaining: place.left.size }),
    );
    while (turns.length > 0) {
      turns = turns.filter((turn) => turn.remaining-- > 0);
      for (const { place, items } of turns) {
        if (attendant.isFull) return;
        const { value: item } = items.next();
        if (item === undefined) continue;
        item.declinedBy.delete(attendant);
        // Who had a turn is the last to have the next.
        this.#places.delete(place.name);
        this.#places.set(place.name, place);
        this.#offer(item);
      }
    }
  }
}
