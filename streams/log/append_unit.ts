/**
 * One append call on its way: its messages, all or none, and what is known of earlier attempts. Once
 * an attempt went unanswered the unit is in doubt for good, and only its message ids can settle it.
 */
import type * as Exit from "effect/Exit";
import type { Appended, AppendError } from "../log.ts";
import type { Address } from "../subjects.ts";
import type { Outgoing } from "./wire.ts";

/** A moment by the clock that stops while a laptop sleeps, and by the one that does not. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export class AppendUnit {
  readonly address: Address;
  readonly messages: readonly [Outgoing, ...ReadonlyArray<Outgoing>];
  readonly bytes: number;
  readonly #settle: (exit: Exit.Exit<Appended, AppendError>) => void;
  submitted: Moment | undefined;
  firstSent: Moment | undefined;
  lastSent: Moment | undefined;
  /** Whether an attempt may have landed without our knowing. */
  inDoubt = false;
  /** Whether the caller has gone before anything was sent. */
  abandoned = false;

  constructor(
    address: Address,
    messages: readonly [Outgoing, ...ReadonlyArray<Outgoing>],
    settle: (exit: Exit.Exit<Appended, AppendError>) => void,
  ) {
    this.address = address;
    this.messages = messages;
    let bytes = 0;
    for (const message of messages) bytes += message.body.length;
    this.bytes = bytes;
    this.#settle = settle;
  }

  settle(exit: Exit.Exit<Appended, AppendError>): void {
    if (exit._tag === "Success") {
      let sequence = exit.value.sequence;
      for (const message of this.messages) message.onStored?.(sequence++);
    }
    this.#settle(exit);
  }

  markSent(now: Moment): void {
    this.firstSent ??= now;
    this.lastSent = now;
  }
}

/** How long ago a moment was, also across a laptop's sleep. */
export const ageMs = (of: Moment | undefined, now: Moment): number =>
  of === undefined ? 0 : Math.max(now.monotonicMs - of.monotonicMs, now.wallMs - of.wallMs);
