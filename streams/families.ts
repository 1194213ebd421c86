/**
 * The four event families, read by whoever stands outside: what the log holds of leases, ends,
 * signals and tags, as typed events in the order of the log. A position is a cursor that the reader
 * keeps; nothing is remembered for it here, and nothing that it does can delay a writer.
 */
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import type * as Stream from "effect/Stream";
import type { CompletionEvent } from "../schema/completion.ts";
import type { Cursor } from "../schema/cursor.ts";
import type { CursorGap, InvalidCursor, StreamDisconnected } from "../schema/errors.ts";
import type { ExecutionId, Tenant, Timestamp } from "../schema/ids.ts";
import type { InstanceTagEvent } from "../schema/instance_tags.ts";
import type { LeaseHistoryEvent } from "../schema/lease_history.ts";
import type { SignalDeliveryEvent } from "../schema/signal_delivery.ts";
import type { ReadError } from "./log.ts";

/** The events of each family. */
export interface FamilyEvents {
  readonly leaseHistory: LeaseHistoryEvent;
  readonly completions: CompletionEvent;
  readonly signalDeliveries: SignalDeliveryEvent;
  readonly instanceTags: InstanceTagEvent;
}

export type Family = keyof FamilyEvents;

/** Which events of a family are meant; all, if nothing is said. */
export interface FamilyFilter {
  readonly tenant?: Tenant;
  /** Of one execution alone; needs its tenant. */
  readonly executionId?: ExecutionId;
  /** Of executions that had the tag, with any value or this one, when the event came to be. */
  readonly tag?: { readonly name: string; readonly value?: string };
}

export interface ReadFamilyOptions extends FamilyFilter {
  /** A cursor, behind which reading begins, or `earliest` or `now`; `now`, if left out or empty. */
  readonly after?: string;
}

/** That nothing has come for a while: everything up to the cursor has been seen. */
export interface Tick {
  readonly type: "tick";
  readonly cursor: Cursor;
  readonly at: Timestamp;
}

export type FamilyError = InvalidCursor | CursorGap | StreamDisconnected | ReadError;

export class Families extends Context.Service<Families, {
  /**
   * What is stored and what will be. The start is judged before the first event; the stream ends
   * with `StreamDisconnected`, and its last cursor, when the connection is lost.
   */
  readonly read: {
    <F extends Family>(
      family: F,
      options: ReadFamilyOptions & { readonly ticks: Duration.Input },
    ): Stream.Stream<FamilyEvents[F] | Tick, FamilyError>;
    <F extends Family>(
      family: F,
      options?: ReadFamilyOptions,
    ): Stream.Stream<FamilyEvents[F], FamilyError>;
  };
}>()("@weir/weir/streams/Families") {}
