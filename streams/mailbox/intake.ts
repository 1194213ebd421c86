/**
 * A worker's intake of mail from JetStream: its pulls at every source, under the priority that its
 * rank and its room give it, and the offers that it has not settled. What is left at the end goes to
 * others at once. It does not decide what a worker takes, and creates no consumer.
 */
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import type { ActorName } from "../../schema/ids.ts";
import { type Route, servesRoute } from "../../schema/route.ts";
import type { SessionRecord } from "../../schema/session_record.ts";
import { acknowledged, inProgress, notNow, readReply, terminated } from "../consumer_reply.ts";
import { Arrived } from "../log/arrived.ts";
import type { Delivery, ServeOptions } from "../mailbox.ts";
import type { Source } from "../mailbox_consumers.ts";
import type { Sealing } from "../sealing.ts";
import { type Layout, streamName } from "../subjects.ts";
import { type Handed, handedOf, offerOfHanded } from "./handed.ts";
import { type Offer, offerOf } from "./offer.ts";
import { Overflow } from "./overflow.ts";
import { Room } from "./room.ts";
import { Puller } from "./puller.ts";
import { isLastResort, priorityOf, rankOf } from "./rank.ts";

/** How long a worker that has room again stays behind the others, at most. */
const sweepMs = 100;
/** What is fetched, or asked for, at a time. */
const mostAtOnce = 32;

export interface IntakeOptions {
  readonly nats: NatsConnection;
  readonly sealing: Sealing;
  readonly layout: Layout;
  readonly serve: ServeOptions;
  readonly handle: (delivery: Delivery) => void;
  /** Something lies where nothing of ours belongs; it was terminated. */
  readonly onForeign: (subject: string) => void;
  readonly onTrouble: (source: Source, status: string) => void;
}

/** A source, as this worker stands to it. */
interface Place {
  readonly source: Source;
  readonly actor: ActorName;
  readonly puller: Puller;
  rank: number;
  /** Since the worker declined something there, for want of room. */
  yields: boolean;
}

/** A message as it came, until it is settled for good. */
interface Received {
  readonly place: Place;
  readonly reply: string;
  readonly offer: Offer;
  readonly offers: number;
  readonly spilled: boolean;
  /** Whether no worker with room was waiting for it. */
  readonly lastResort: boolean;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #isBound: boolean;
  readonly #places = new Map<string, Place>();
  readonly #unsettled = new Map<Delivery, Received>();
  readonly #overflow = new Overflow<Place>();
  readonly #room: Room;
  /** How many it asks for at a time. */
  readonly #batch: number;
  #others: ReadonlyArray<SessionRecord> = [];
  #full = false;
  #stopped = false;
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#isBound = !servesRoute(undefined, options.serve);
    const ifNotFull = () => this.#full ? 0 : mostAtOnce;
    const { actors, lanes, capabilities, room = ifNotFull } = options.serve;
    this.#batch = Math.max(1, Math.min(mostAtOnce, room()));
    this.#room = new Room({
      nats: options.nats,
      layout: options.layout,
      asks: () => {
        const most = this.#stopped || this.#isAlone ? 0 : Math.min(mostAtOnce, room());
        return most <= 0 ? undefined : { actors, lanes, capabilities, room: most };
      },
      take: (handed) => this.#takeHanded(handed),
      onNothing: () => this.#yieldNoMore(),
      give: (asked) =>
        this.#overflow.give(
          Math.min(mostAtOnce, asked.room),
          ({ actor, source: { route } }) =>
            asked.actors.includes(actor) && servesRoute(route, asked) && this.#isOpen(route),
        ),
    });
  }

  /** Pulls from a source, of which it may have heard before. */
  add(source: Source, actor: ActorName): void {
    const key = placeKey(source.stream, source.consumer);
    if (this.#stopped || this.#places.has(key)) return;
    const place: Place = {
      source,
      actor,
      rank: 0,
      yields: false,
      puller: new Puller({
        nats: this.#options.nats,
        source,
        onMessage: (message, priority) => this.#onMessage(place, message, priority),
        onTrouble: (status) => this.#options.onTrouble(source, status),
        batch: this.#batch,
        isEager: () => !this.#overflow.isLarge,
      }),
    };
    this.#places.set(key, place);
    this.#rank(place);
  }

  /** Takes what others have declined, from all sources that it knows by now. */
  begin(): void {
    this.#room.setTaking(true);
    this.#room.ask();
  }

  /** Takes its rank among these workers, itself or not. */
  meet(sessions: ReadonlyArray<SessionRecord>): void {
    const { worker } = this.#options.serve;
    this.#others = sessions.filter((session) => session.worker !== worker);
    for (const place of this.#places.values()) this.#rank(place);
  }

  /** Pulls anew, after earlier pulls may have been lost. */
  pull(source?: Source): void {
    for (const place of this.#places.values()) {
      if (source === undefined || place.source === source) place.puller.pull();
    }
  }

  setFull(full: boolean): void {
    if (full === this.#full) return;
    this.#full = full;
    if (full) this.#sweepSoon();
    else this.#makeUse();
  }

  /** Offers something again that was declined. */
  offerOne(): void {
    if (this.#stopped) return;
    if (this.#overflow.isEmpty) {
      this.#room.setTaking(true);
      return this.#room.ask();
    }
    let isFirst = true;
    this.#overflow.offer(() => {
      const offers = isFirst;
      isFirst = false;
      return offers;
    });
  }

  /** Fills the room that the worker has, from what it or another has declined before. */
  #makeUse(): void {
    this.#overflow.offer(() => !this.#full);
    this.#room.ask();
  }

  /** Stands where those stand who have room. */
  #yieldNoMore(): void {
    if (this.#full) return;
    for (const place of this.#places.values()) {
      if (!place.yields) continue;
      place.yields = false;
      this.#stand(place);
    }
  }

  /** Takes no more; what was taken stays valid. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#sweeper);
    for (const { puller } of this.#places.values()) puller.stop();
    this.#room.setGiving(false);
    this.#room.setTaking(false);
    this.#overflow.clear();
  }

  /** Leaves what is not settled to others. */
  close(): void {
    this.stop();
    for (const { reply } of this.#unsettled.values()) this.#answer(reply, notNow(0));
    this.#unsettled.clear();
  }

  #rank(place: Place): void {
    if (this.#stopped) return;
    const { worker } = this.#options.serve;
    const rivals = this.#others.filter((session) => this.#isRival(place, session));
    const { stream, consumer } = place.source;
    const names = rivals.map((session) => session.worker);
    place.rank = rankOf(`${stream} ${consumer}`, worker, names);
    this.#stand(place);
  }

  /** Asks anew which lanes are open. */
  lookAgain(): void {
    for (const place of this.#places.values()) {
      if (place.source.route !== undefined) this.#stand(place);
    }
  }

  #stand({ source, puller, rank, yields }: Place): void {
    if (this.#stopped) return;
    if (!this.#isOpen(source.route)) return puller.stop();
    const forwards = this.#isBound && source.route === undefined;
    puller.rank(priorityOf(forwards ? "forwarding" : yields ? "full" : "free", rank));
  }

  get #isAlone(): boolean {
    return this.#others.length === 0;
  }

  #isOpen(route: Route | undefined): boolean {
    return route === undefined || this.#options.serve.isOpen?.(route) !== false;
  }

  /** Whether another worker stands at a source as this one does. */
  #isRival({ source, actor }: Place, session: SessionRecord): boolean {
    const { actors, ...other } = whatRanks(session);
    if (!actors.includes(actor)) return false;
    return source.route === undefined
      ? servesRoute(undefined, other) !== this.#isBound
      : servesRoute(source.route, other);
  }

  #onMessage(place: Place, message: Msg, priority: number): void {
    const reply = message.reply ?? "";
    const told = readReply(reply);
    if (told === undefined) return this.#options.onForeign(message.subject);
    const { layout, sealing } = this.#options;
    const entry = new Arrived(place.source.shard, message, told, sealing);
    const offer = offerOf(layout, entry, place.source.route);
    if (offer === undefined) {
      this.#answer(reply, terminated);
      return this.#options.onForeign(message.subject);
    }
    this.#offer({
      place,
      reply,
      offer,
      offers: told.offers,
      spilled: entry.object !== undefined,
      lastResort: isLastResort(priority),
    });
  }

  /** What another had declined is as if it had been offered here. */
  #takeHanded(handed: Handed): boolean {
    const { reply } = handed;
    const { layout } = this.#options;
    const offer = offerOfHanded(layout, handed);
    if (offer === undefined) return false;
    const stream = streamName(layout, offer.entry.shard);
    const place = this.#places.get(placeKey(stream, offer.consumer));
    if (place === undefined) {
      this.#answer(reply, notNow(0));
      return false;
    }
    this.#answer(reply, inProgress);
    this.#offer({ place, reply, offer, ...offer, lastResort: true });
    return true;
  }

  #offer(received: Received): void {
    const { reply, offer, offers, spilled } = received;
    if (this.#stopped) return this.#answer(reply, notNow(0));
    const settle = (verdict: Uint8Array) => {
      if (this.#unsettled.delete(delivery)) this.#answer(reply, verdict);
    };
    const delivery: Delivery = {
      ...offer,
      offers,
      spilled,
      ack: () => settle(acknowledged),
      retry: (afterMs) => settle(notNow(afterMs)),
      decline: () => {
        if (this.#unsettled.delete(delivery)) this.#decline(received, delivery);
      },
      working: () => {
        if (this.#unsettled.has(delivery)) this.#answer(reply, inProgress);
      },
      handedOver: () => void this.#unsettled.delete(delivery),
      reply,
    };
    this.#unsettled.set(delivery, received);
    this.#options.handle(delivery);
  }

  /** First to whoever has room; what comes back then found nobody. */
  #decline(received: Received, delivery: Delivery): void {
    const { place, reply, lastResort } = received;
    const giveBack = (afterMs = 0) => this.#answer(reply, notNow(afterMs));
    if (this.#stopped) return giveBack();
    this.#sweepSoon();
    if (lastResort) {
      const offer = () => {
        // From now on it is here again, however long it was to stay away.
        this.#answer(reply, inProgress);
        this.#offer(received);
      };
      const hand = () => handedOf(delivery);
      const isLane = place.source.route !== undefined;
      this.#overflow.take(place, isLane, { offer, hand, giveBack }, performance.now());
      this.#room.setGiving(true);
      return;
    }
    place.yields = true;
    this.#stand(place);
    giveBack();
  }

  #sweepSoon(): void {
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
  }

  #sweep(): void {
    this.#overflow.sweep(performance.now());
    if (!this.#full) this.#makeUse();
    this.#yieldNoMore();
    const { isEmpty } = this.#overflow;
    this.#room.setGiving(!isEmpty);
    this.#room.setTaking(!this.#full);
    if (this.#overflow.isLarge) {
      for (const { puller } of this.#places.values()) puller.refill();
    }
    if (!isEmpty) return this.#isAlone ? undefined : this.#room.announce();
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  /** Lost if the connection is down: the message is offered again then, which is harmless. */
  #answer(reply: string, verdict: Uint8Array): void {
    const { nats } = this.#options;
    if (!nats.isClosed()) nats.publish(reply, verdict);
  }
}

const placeKey = (stream: string, consumer: string): string => `${stream} ${consumer}`;

/** What of a session decides where its worker stands. */
const whatRanks = ({ actors = [], lanes = [], capabilities = [] }: SessionRecord) => ({
  actors,
  lanes,
  capabilities,
});
