/**
 * What a stream stores behind a sequence, as it comes: in lots of all that has come since somebody
 * last took something, since a step for each message would cost more than the message. Nothing is
 * asked of the server that there is no room for. A follower ends when the connection has been away,
 * when nobody answers for its consumer and when it misses a message; the next begins behind the last.
 */
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import { type Msg, nanos, type NatsConnection, nuid, type Subscription } from "@nats-io/nats-core";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { type ServerRefused, Unavailable } from "../../schema/errors.ts";
import type { Connection } from "../connection.ts";
import { readReply } from "../consumer_reply.ts";
import { newInbox } from "../inbox.ts";
import type { Sealing } from "../sealing.ts";
import { Arrived } from "./arrived.ts";

export interface FollowOptions {
  readonly shard: number;
  readonly stream: string;
  /** Everything, if left out. */
  readonly subject?: string;
  readonly operation: string;
  /** How many messages are here or on their way at most. */
  readonly prefetch: number;
  /** Whether something comes in a lot by itself. */
  readonly isAlone?: (entry: Arrived) => boolean;
  /** How long a lot waits for more of it, unless there is no room for more. */
  readonly gatherMs?: number;
}

export type Lot = readonly [Arrived, ...ReadonlyArray<Arrived>];

const pullForMs = 30_000;
/** How often the server says that there is nothing. */
const heartbeatMs = 10_000;
/** After so long without a word there is nobody who would speak. */
const silenceMs = 2.5 * heartbeatMs;
/** The server would keep a consumer for so long after its last pull. */
const forgottenAfterMs = 5 * 60_000;
/** How long servers have to tell each other of a consumer before another is made. */
const heardOfAfterMs = 100;

interface PullOptions extends FollowOptions {
  readonly nats: NatsConnection;
  readonly sealing: Sealing;
  readonly consumer: string;
}

/** The pulls at one consumer, and what they brought. */
class Follower {
  readonly #options: PullOptions;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #watch: ReturnType<typeof setInterval>;
  #received: Array<Arrived> = [];
  /** What the server has been asked for, and has not sent. */
  #awaited = 0;
  /** The number of the last message among those of the consumer. */
  #last = 0;
  #heardAt = performance.now();
  #ended: { readonly cause?: unknown } | undefined;
  /** Who waits for the next lot. */
  #taker: (() => void) | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PullOptions) {
    const { nats } = options;
    this.#options = options;
    this.#inbox = newInbox(nats);
    this.#subscription = nats.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error !== null) this.end({ cause: error });
        else if (message.subject === this.#inbox) this.#onStatus(message);
        else this.#onMessage(message);
      },
    });
    this.#watch = setInterval(() => {
      if (this.#awaited > 0 && performance.now() - this.#heardAt > silenceMs) this.end();
    }, heartbeatMs);
    this.#pull();
  }

  /** The next lot, as soon as there is one; it is over when all that had come was taken. */
  readonly take: Effect.Effect<Lot, Cause.Done | { readonly cause: unknown }> = Effect.suspend(
    () =>
      this.#isReady ? this.#next() : Effect.callback((resume) => {
        this.#taker = () => resume(this.#next());
        return Effect.sync(() => this.#taker = undefined);
      }),
  );

  /** Nobody speaks while the connection is away, which says nothing. */
  disconnected(): void {
    clearInterval(this.#watch);
  }

  /** Takes in nothing more. */
  end(how: { readonly cause?: unknown } = {}): void {
    if (this.#ended !== undefined) return;
    this.#ended = how;
    clearInterval(this.#watch);
    if (!this.#options.nats.isClosed()) this.#subscription.unsubscribe();
    this.#settle();
  }

  get #isReady(): boolean {
    if (this.#ended !== undefined) return true;
    return this.#received.length > 0 && this.#gathering === undefined;
  }

  #next(): Effect.Effect<Lot, Cause.Done | { readonly cause: unknown }> {
    const lot = this.#cut();
    if (lot !== undefined) {
      this.#pull();
      return Effect.succeed(lot);
    }
    const { cause } = this.#ended ?? {};
    return cause === undefined ? Cause.done() : Effect.fail({ cause });
  }

  /** All that has come, but for what must come alone and what comes behind that. */
  #cut(): Lot | undefined {
    const { isAlone } = this.#options;
    const received = this.#received;
    const alone = isAlone === undefined ? -1 : received.findIndex(isAlone);
    const count = alone === -1 ? received.length : Math.max(alone, 1);
    this.#received = received.slice(count);
    const [first, ...rest] = count === received.length ? received : received.slice(0, count);
    return first === undefined ? undefined : [first, ...rest];
  }

  /** Whoever waits gets what there is. */
  #settle(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const taker = this.#taker;
    this.#taker = undefined;
    taker?.();
  }

  #onMessage(message: Msg): void {
    const told = readReply(message.reply ?? "");
    if (this.#ended !== undefined || told === undefined) return;
    if (told.delivery !== this.#last + 1) return this.end();
    this.#last = told.delivery;
    this.#heardAt = performance.now();
    this.#awaited--;
    const { gatherMs, prefetch, sealing, shard } = this.#options;
    const isFirst = this.#received.push(new Arrived(shard, message, told, sealing)) === 1;
    if (gatherMs === undefined) {
      // What has come by the same read of the socket is one lot.
      if (isFirst) queueMicrotask(() => this.#settle());
    } else if (this.#received.length >= prefetch / 2) this.#settle();
    else if (isFirst) this.#gathering = setTimeout(() => this.#settle(), gatherMs);
    this.#pull();
  }

  /** Asks for as much as there is room for, if that is worth a message. */
  #pull(): void {
    const { nats, stream, consumer, prefetch } = this.#options;
    const batch = prefetch - this.#awaited - this.#received.length;
    if (batch < prefetch / 2 || this.#ended !== undefined || nats.isClosed()) return;
    this.#awaited += batch;
    this.#heardAt = performance.now();
    const request = { batch, expires: nanos(pullForMs), idle_heartbeat: nanos(heartbeatMs) };
    nats.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), {
      reply: this.#inbox,
    });
  }

  #onStatus({ headers }: Msg): void {
    this.#heardAt = performance.now();
    switch (headers?.code) {
      case 100:
        return;
      // A pull came to its end.
      case 404:
      case 408:
        this.#awaited -= Number(headers.get("Nats-Pending-Messages"));
        return this.#pull();
      default:
        setTimeout(() => this.end(), heardOfAfterMs);
    }
  }
}

/** The messages behind a sequence, until their follower ends. */
const followOnce = (
  { ask, listen, manager, nats, sealing }: Connection["Service"],
  options: FollowOptions,
  after: number,
): Stream.Stream<Arrived, Unavailable | ServerRefused> => {
  const { stream, subject, operation } = options;
  const lost = ({ cause }: { readonly cause: unknown }) =>
    new Unavailable({ operation, reason: "the subscription ended", landed: "no", cause });
  return Stream.unwrap(Effect.gen(function* () {
    // Named, so that it is one consumer however often it is asked for.
    const consumer = `follow-${nuid.next()}`;
    // It counts as one of the stream's consumers for as long as the server keeps it, which may have
    // it before we hear of that.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => void manager.consumers.delete(stream, consumer).catch(() => {}))
    );
    yield* ask(operation, () =>
      manager.consumers.add(stream, {
        name: consumer,
        ...(subject === undefined ? {} : { filter_subject: subject }),
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: after + 1,
        ack_policy: AckPolicy.None,
        max_deliver: 1,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(forgottenAfterMs),
      }));
    const follower = yield* Effect.acquireRelease(
      ask(
        operation,
        () => Promise.resolve(new Follower({ ...options, nats, sealing, consumer })),
      ),
      (follower) => Effect.sync(() => follower.end()),
    );
    const end = () => follower.end();
    const disconnected = () => follower.disconnected();
    yield* listen({ disconnected, reconnected: end, closed: end });
    return Stream.fromPull(Effect.succeed(
      Effect.mapError(follower.take, (error) => Cause.isDone(error) ? error : lost(error)),
    ));
  }));
};

/** The messages behind a sequence, whatever becomes of the connection; ends only with an error. */
export const followStream = (
  connection: Connection["Service"],
  options: FollowOptions,
  after: number,
): Stream.Stream<Arrived, Unavailable | ServerRefused> =>
  Stream.suspend(() => {
    let last = after;
    return Stream.suspend(() => followOnce(connection, options, last)).pipe(
      Stream.mapArray((lot) => {
        last = lot[lot.length - 1]!.sequence;
        return lot;
      }),
      Stream.forever,
    );
  });
