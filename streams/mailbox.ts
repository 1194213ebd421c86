/**
 * How mail reaches workers: each message of a mailbox, and each wake-up on a lane, is offered to one
 * worker at a time, until one says that all which follows from it is durable. An offer is only a
 * wake-up; it makes nobody the owner, and a message may be offered twice. Whose turn it is follows
 * from rank, so that an execution's mail sticks to one worker while that one lives.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { ActorName, ExecutionId, Lane, Tenant, WorkerInstanceId } from "../schema/ids.ts";
import type { ServerRefused, TopologyDrift, Unavailable } from "../schema/errors.ts";
import type { Route } from "../schema/route.ts";
import type { AppendError, Entry, ReadError } from "./log.ts";
import type { Address } from "./subjects.ts";

/**
 * How long a worker may be silent about a message before it is offered again: the time by which a
 * killed or frozen worker delays the mail that it had taken. Longer than a pause of garbage
 * collection or a blocked event loop should ever last, since those cost a second offer.
 */
export const ackWaitMs = 10_000;

/** How often a worker says that it still has a message; two of three may be late. */
export const workingEveryMs = 3_000;

/**
 * One message, offered to this worker. It is settled once, by `ack`, `retry` or `decline`; each is
 * sent without waiting for an answer, and does nothing once the message is settled.
 */
export interface Delivery {
  /** The mailbox message, or the wake-up on a lane. */
  readonly entry: Entry;
  /** Whether the body of the entry is a reference to what it stands for, which was not fetched. */
  readonly spilled: boolean;
  /** How often it has been offered, this time included. */
  readonly offers: number;
  /** Of the execution. */
  readonly address: Address;
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly actor: ActorName;
  /** The route whose lane it came by; none for what came straight from the mailbox. */
  readonly route: Route | undefined;
  /** The mailbox sequence up to which the owner must read. */
  readonly mail: number;
  /** Whether that is known to be a start without a look into the message. */
  readonly begins: boolean;
  /** All that follows from the message is durable. */
  readonly ack: () => void;
  /** Offers it again after a while. */
  readonly retry: (afterMs: number) => void;
  /** Leaves it to another worker that may have room; it comes back when none has. */
  readonly decline: () => void;
  /** The worker still has it; to be said every `workingEveryMs` until it is settled. */
  readonly working: () => void;
  /** Another worker has it now, and is the one to settle it. */
  readonly handedOver: () => void;
  /** Where JetStream is told what becomes of it, by whoever has it; none in memory. */
  readonly reply: string | undefined;
}

export interface ServeOptions {
  readonly actors: ReadonlyArray<ActorName>;
  readonly worker: WorkerInstanceId;
  /** The lanes that the worker is bound to; none means the default lane. */
  readonly lanes: ReadonlyArray<Lane>;
  readonly capabilities: ReadonlyArray<string>;
  /**
   * How much more it could take now, or if it could make room; if left out, more than is fetched at a
   * time unless it is full.
   */
  readonly room?: () => number;
  /**
   * Whether what lies on a lane may be taken now; every lane, if left out. It is asked again when the
   * worker says so.
   */
  readonly isOpen?: (route: Route) => boolean;
}

/** A worker's place in the order of those who are offered mail. */
export interface Serving {
  /** A full worker comes behind those that are not, and is still offered what they do not take. */
  readonly setFull: (full: boolean) => void;
  /** Offers something again that was declined, here or elsewhere: a full worker could make room. */
  readonly offerOne: () => void;
  /** Asks anew which lanes are open: from now on nothing comes by those that are not. */
  readonly lookAgain: () => void;
  /** Takes no more; what was taken stays valid, and may be settled until the scope ends. */
  readonly stop: Effect.Effect<void>;
}

export type ServeError = AppendError | ReadError | TopologyDrift;

/**
 * Whether a message will still be offered to somebody. It is unknown where others behind it were
 * acknowledged and some before it were not: the server does not tell which.
 */
export type Fate = "unacked" | "acked" | "unknown";

export class Mailboxes extends Context.Service<Mailboxes, {
  /**
   * Offers the mail of actors to a handler, which must not throw, until the scope ends; then
   * everything that it has not settled is offered to others at once.
   */
  readonly serve: (
    options: ServeOptions,
    handle: (delivery: Delivery) => void,
  ) => Effect.Effect<Serving, ServeError, Scope.Scope>;
  /**
   * Sends a wake-up to the workers of a route: one durable record, after which the delivery may be
   * acked. Doing it twice for one delivery stores it once; on another occasion, once more.
   */
  readonly forward: (
    delivery: Delivery,
    route: Route,
    occasion?: string,
  ) => Effect.Effect<void, AppendError | ReadError>;
  /** Whether any worker has ever served an actor, whoever is there now. */
  readonly isServed: (actor: ActorName) => Effect.Effect<boolean, Unavailable | ServerRefused>;
  /** What becomes of a message of a mailbox or a lane, as of a moment ago. */
  readonly fate: (
    of: Pick<Entry, "shard" | "subject" | "sequence">,
  ) => Effect.Effect<Fate, Unavailable | ServerRefused>;
}>()("@weir/weir/streams/Mailboxes") {}
