/**
 * The mail that is offered to simulated workers: with one of them at a time, again when that one has
 * been silent for too long, and again when the server has not heard that it is done.
 */
import * as Effect from "effect/Effect";
import { ackWaitMs, type Delivery, Mailboxes } from "../../streams/mailbox.ts";
import { offerOf } from "../../streams/mailbox/offer.ts";
import { executionFilter } from "../../streams/subjects.ts";
import type { Process } from "./process.ts";
import type { Item, World } from "./world.ts";

interface Place {
  offers: number;
  /** With whom it is, and since when that one was last heard of. */
  at: { readonly process: Process; since: number } | undefined;
  /** When it may be offered again. */
  due: number;
}

const askAgainEveryMs = 1_000;

export class PostOffice {
  readonly #world: World;
  readonly #places = new WeakMap<Item, Place>();
  readonly #handlers = new Map<Process, (delivery: Delivery) => void>();
  readonly #handOvers = new WeakMap<Delivery, (process: Process) => Delivery>();
  /** Whether what a process says of its mail gets lost. */
  readonly #isLost: () => boolean;

  constructor(world: World, isLost: () => boolean) {
    this.#world = world;
    this.#isLost = isLost;
  }

  mailboxesOf(process: Process): Mailboxes["Service"] {
    return Mailboxes.of({
      serve: (_, handle) =>
        Effect.sync(() => {
          this.#handlers.set(process, handle);
          return { setFull: () => {}, lookAgain: () => {}, offerOne: () => {}, stop: Effect.void };
        }),
      forward: () => Effect.die("nothing here has a route"),
      isServed: () => Effect.succeed(true),
      fate: () => Effect.succeed("unknown"),
    });
  }

  isServedBy(process: Process): boolean {
    return this.#handlers.has(process);
  }

  /** What may be offered now. */
  get free(): ReadonlyArray<Item> {
    return this.#world.items.filter((item) => this.#dueOf(item) <= this.#world.now);
  }

  /** When the next may be. */
  get nextTime(): number {
    return Math.min(Infinity, ...this.#world.items.map((item) => this.#dueOf(item)));
  }

  /** Somebody's patience ends early. */
  takeBack(item: Item): void {
    const place = this.#placeOf(item);
    place.at = undefined;
    place.due = this.#world.now;
  }

  offer(item: Item, process: Process): void {
    const { now, log } = this.#world;
    const { address, mail } = item;
    const filter = executionFilter(address, "mail");
    const entries = this.#world.run(log.readThrough(filter, { after: mail - 1, through: mail }));
    const entry = entries[0]?.sequence === mail ? entries[0] : undefined;
    const offer = entry === undefined ? undefined : offerOf(log.layout, entry, undefined);
    // What was purged with its mailbox is not offered any more.
    if (offer === undefined) return this.#world.ack(item);
    const place = this.#placeOf(item);
    const offers = ++place.offers;
    const at = { process, since: now };
    place.at = at;
    const giveBack = (afterMs: number) => {
      if (place.at !== at) return;
      place.at = undefined;
      place.due = this.#world.now + afterMs;
    };
    const deliveryTo = (process: Process): Delivery => {
      let isSettled = false;
      const once = (act: () => void) => () => {
        if (isSettled || process.isDead) return;
        isSettled = true;
        act();
      };
      const delivery: Delivery = {
        ...offer,
        spilled: false,
        offers,
        ack: once(() => {
          if (this.#isLost()) giveBack(ackWaitMs);
          else this.#world.ack(item);
        }),
        retry: (afterMs) => once(() => giveBack(afterMs))(),
        decline: once(() => giveBack(askAgainEveryMs)),
        working: () => {
          if (!isSettled && !process.isDead) at.since = this.#world.now;
        },
        handedOver: once(() => {}),
        reply: undefined,
      };
      this.#handOvers.set(delivery, deliveryTo);
      return delivery;
    };
    process.post(() => this.#handlers.get(process)?.(deliveryTo(process)));
  }

  /** A delivery as it is with another who has it now. */
  inHandsOf(process: Process, delivery: Delivery): Delivery {
    return this.#handOvers.get(delivery)!(process);
  }

  #dueOf(item: Item): number {
    const { at, due } = this.#placeOf(item);
    return at === undefined ? due : at.since + ackWaitMs;
  }

  #placeOf(item: Item): Place {
    let place = this.#places.get(item);
    if (place === undefined) {
      this.#places.set(item, place = { offers: 0, at: undefined, due: this.#world.now });
    }
    return place;
  }
}
