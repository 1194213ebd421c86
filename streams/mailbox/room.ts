/**
 * Who has room asks those who are full for what they have declined, and one of them hands as much of
 * it over; who has something says so, and one of those who have room asks for it. Nothing depends on
 * it: what nobody asked for, or what got lost on its way, the server offers again a little later.
 */
import type { NatsConnection, Subscription } from "@nats-io/nats-core";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { ActorName, Lane } from "../../schema/ids.ts";
import { Capability } from "../../schema/route.ts";
import type { Layout } from "../subjects.ts";
import { Handed } from "./handed.ts";

const Asked = Schema.Struct({
  actors: Schema.Array(ActorName),
  lanes: Schema.Array(Lane),
  capabilities: Schema.Array(Capability),
  /** How many it can take. */
  room: Schema.Natural,
});
type Asked = typeof Asked.Type;

const decodeAsked = Schema.decodeUnknownOption(Schema.fromJsonString(Asked));
const decodeGiven = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Array(Handed)));

/** Outside the subjects of every stream, as that of a hand-over. One of the others hears it. */
const roomSubject = ({ namespace }: Layout): string => `${namespace}-worker.room`;
const declinedSubject = ({ namespace }: Layout): string => `${namespace}-worker.declined`;
const queue = "one";
const answerWithinMs = 1_000;

export interface RoomOptions {
  readonly nats: NatsConnection;
  readonly layout: Layout;
  /** What it asks for; nothing, if it has no room. */
  readonly asks: () => Asked | undefined;
  /** Says whether it could be taken. */
  readonly take: (handed: Handed) => boolean;
  /** Nobody has anything for it. */
  readonly onNothing: () => void;
  /** What there is of what somebody asks for, which is his then. */
  readonly give: (asked: Asked) => ReadonlyArray<Handed>;
}

export class Room {
  readonly #options: RoomOptions;
  #isAsking = false;
  #givesTo: Subscription | undefined;
  #takesFrom: Subscription | undefined;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  get isTaking(): boolean {
    return this.#takesFrom !== undefined;
  }

  /** Asks until it is full, or nobody has anything that it can take. */
  ask(): void {
    const { nats, layout, asks, take } = this.#options;
    if (this.#isAsking || nats.isClosed()) return;
    const asked = asks();
    if (asked === undefined) return;
    this.#isAsking = true;
    nats.request(roomSubject(layout), JSON.stringify(asked), { timeout: answerWithinMs }).then(
      (reply) => Option.getOrElse(decodeGiven(reply.string()), () => []),
      // Nobody has anything, or says so in time.
      () => [],
    ).then((given) => {
      this.#isAsking = false;
      const taken = given.filter(take);
      if (given.length === 0) this.#options.onNothing();
      else if (taken.length === given.length) this.ask();
    });
  }

  /** Has somebody ask who has room. */
  announce(): void {
    const { nats, layout } = this.#options;
    if (!nats.isClosed()) nats.publish(declinedSubject(layout));
  }

  /** Gives to those who ask, as long as there is something to give. */
  setGiving(gives: boolean): void {
    const { nats, layout, give } = this.#options;
    if (gives === (this.#givesTo !== undefined) || nats.isClosed()) return;
    this.#givesTo?.unsubscribe();
    this.#givesTo = !gives ? undefined : nats.subscribe(roomSubject(layout), {
      queue,
      callback: (error, message) => {
        if (error !== null) return;
        const asked = Option.getOrUndefined(decodeAsked(message.string()));
        message.respond(JSON.stringify(asked === undefined ? [] : give(asked)));
      },
    });
  }

  /** Asks when somebody has something, as long as there is room for it. */
  setTaking(takes: boolean): void {
    const { nats, layout } = this.#options;
    if (takes === this.isTaking || nats.isClosed()) return;
    this.#takesFrom?.unsubscribe();
    this.#takesFrom = !takes ? undefined : nats.subscribe(declinedSubject(layout), {
      queue,
      callback: (error) => {
        if (error === null) this.ask();
      },
    });
  }
}
