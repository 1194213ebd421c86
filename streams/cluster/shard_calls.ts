/**
 * What is asked of the entities of one shard and not done with, as long as this process has the shard:
 * all that its log says, and which of it is claimed. Claims are in memory only, since nobody else may
 * process the shard meanwhile. It reads nothing and decides nothing about the lock.
 */
import type * as Envelope from "effect/cluster/Envelope";
import type * as Reply from "effect/cluster/Reply";
import * as Option from "effect/Option";
import * as Semaphore from "effect/Semaphore";
import type { Fence } from "../fence.ts";
import type { Address } from "../subjects.ts";

/** As long as the SQL storage keeps a message from being read again. */
const claimedForMs = 10 * 60 * 1_000;

/** Something to be read, once. */
interface Readable {
  readonly sequence: number;
  readonly envelope: Envelope.Encoded;
  claimedAt: number | undefined;
}

/** A request without an exit. */
export interface Call extends Readable {
  readonly envelope: Envelope.PartialRequestEncoded;
  readonly shard: ShardCalls;
  readonly entity: Address;
  readonly deliverAt: number;
  /** The chunks that the client does not have yet, and the last that there was. */
  unacked: ReadonlyArray<Reply.ChunkEncoded>;
  lastSent: Reply.ChunkEncoded | undefined;
  ack: Readable | undefined;
  interrupt: Readable | undefined;
  /** Whether a reply was sent to the log and it is not known whether it is there. */
  uncertain: boolean;
  /** The exit that a transaction is about to commit. */
  ending: string | undefined;
}

/** A message as Effect reads it. */
export interface Unprocessed {
  readonly envelope: Envelope.Encoded;
  readonly lastSentReply: Option.Option<Reply.Encoded>;
}

/** One that may be read now. */
export interface Found {
  readonly call: Call;
  readonly readable: Readable;
  readonly lastSent: Reply.ChunkEncoded | undefined;
}

export const unprocessedOf = ({ readable, lastSent }: Found): Unprocessed => ({
  envelope: readable.envelope,
  lastSentReply: Option.fromUndefinedOr(lastSent),
});

const isFree = ({ claimedAt }: Readable, now: number): boolean =>
  claimedAt === undefined || claimedAt <= now - claimedForMs;

/** Whether there is nothing that the client has to take before the request goes on. */
const isReady = ({ unacked, deliverAt }: Call, now: number): boolean =>
  unacked.length === 0 && deliverAt <= now;

export class ShardCalls {
  readonly key: string;
  /** The fence under which it was loaded; none if nobody ever locked the shard. */
  readonly fence: Fence | undefined;
  /** Replies are written one after the other. */
  readonly turn = Semaphore.makeUnsafe(1);
  /** What the shard's log has up to here is in it; nothing yet, while it is being read. */
  through = Infinity;
  readonly #calls = new Map<string, Call>();
  /** The calls of all shards. */
  readonly #index: Map<string, Call>;

  constructor(key: string, fence: Fence | undefined, index: Map<string, Call>) {
    this.key = key;
    this.fence = fence;
    this.#index = index;
  }

  add(
    entity: Address,
    envelope: Envelope.PartialRequestEncoded,
    sequence: number,
    deliverAt: number,
  ): Call {
    const call: Call = {
      shard: this,
      entity,
      sequence,
      envelope,
      deliverAt,
      claimedAt: undefined,
      unacked: [],
      lastSent: undefined,
      ack: undefined,
      interrupt: undefined,
      uncertain: false,
      ending: undefined,
    };
    this.#calls.set(envelope.requestId, call);
    this.#index.set(envelope.requestId, call);
    return call;
  }

  get(requestId: string): Call | undefined {
    return this.#calls.get(requestId);
  }

  chunk(requestId: string, chunk: Reply.ChunkEncoded): void {
    const call = this.#calls.get(requestId);
    if (call === undefined) return;
    call.unacked = [...call.unacked, chunk];
    call.lastSent = chunk;
  }

  ack(sequence: number, envelope: Envelope.AckChunkEncoded): void {
    const call = this.#calls.get(envelope.requestId);
    if (call === undefined) return;
    const acked = call.unacked.findIndex(({ id }) => id === envelope.replyId);
    call.unacked = call.unacked.slice(acked + 1);
    call.ack = { sequence, envelope, claimedAt: undefined };
  }

  interrupt(sequence: number, envelope: Envelope.InterruptEncoded): void {
    const call = this.#calls.get(envelope.requestId);
    if (call !== undefined) call.interrupt = { sequence, envelope, claimedAt: undefined };
  }

  /** The request has its exit, or is no more. */
  end(requestId: string): void {
    const call = this.#calls.get(requestId);
    this.#calls.delete(requestId);
    if (this.#index.get(requestId) === call) this.#index.delete(requestId);
  }

  /** Takes the replies of a request back that has no exit; says whether there is one. */
  reset(requestId: string): boolean {
    const call = this.#calls.get(requestId);
    if (call === undefined) return false;
    call.unacked = [];
    call.lastSent = undefined;
    call.ack = undefined;
    call.interrupt = undefined;
    call.claimedAt = undefined;
    return true;
  }

  /** Forgets what an entity was asked before a sequence. */
  clear(entity: Address, before: number): void {
    for (const [requestId, call] of this.#calls) {
      if (call.entity.tail === entity.tail && call.sequence < before) this.end(requestId);
    }
  }

  /** Gives the claims of some calls back. */
  release(which: (call: Call) => boolean): void {
    for (const call of this.#calls.values()) {
      if (!which(call)) continue;
      call.claimedAt = undefined;
      if (call.ack !== undefined) call.ack.claimedAt = undefined;
      if (call.interrupt !== undefined) call.interrupt.claimedAt = undefined;
    }
  }

  /** Forgets what nobody is at, since the shard is somebody else's. */
  leave(): void {
    for (const [requestId, call] of this.#calls) {
      if (call.claimedAt === undefined) this.end(requestId);
    }
  }

  /** Forgets everything. */
  empty(): void {
    for (const requestId of this.#calls.keys()) this.end(requestId);
  }

  *readable(now: number, which: (call: Call) => boolean): Generator<Found> {
    for (const call of this.#calls.values()) {
      if (!which(call)) continue;
      if (isReady(call, now) && isFree(call, now)) {
        yield { call, readable: call, lastSent: call.lastSent };
      }
      for (const control of [call.ack, call.interrupt]) {
        if (control !== undefined && isFree(control, now)) {
          yield { call, readable: control, lastSent: undefined };
        }
      }
    }
  }
}

/** The call itself, if it may be processed now, whoever is at it. */
export const readyOf = (call: Call, now: number): Found | undefined =>
  isReady(call, now) ? { call, readable: call, lastSent: call.lastSent } : undefined;
