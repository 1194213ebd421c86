/**
 * What an actor's code has asked for and not been given yet. Results reach the code in the order in
 * which the journal has them, one per turn of the event loop, so that a replay takes the turns of the
 * first run whatever order things finished in. It neither writes nor reads the log.
 */
import * as HashMap from "effect/HashMap";
import { KindMismatch, NameInUse } from "../../schema/execution_errors.ts";
import {
  attemptNote,
  endOf,
  type ExecutionState,
  type Operation,
  operation,
  type OperationKind,
  type Result,
  roomKey,
  startTag,
  turnSignal,
} from "../core/state.ts";
import { nextTurn } from "./next_turn.ts";

/** One operation that the code awaits. */
export interface Request {
  readonly key: string;
  readonly kind: OperationKind;
  /** Begins what the journal does not have yet, or goes on with what it has begun. */
  readonly begin: (known: Operation | undefined) => void;
  readonly deliver: (result: Result) => void;
  /** The code awaits it no more, before it was begun or went on. */
  readonly dropped: () => void;
  /** Whether what ends it, if it is a request to cancel, is told to the code by something else. */
  readonly leavesCancel: boolean;
}

/** What the engine records as it likes, which says nothing about how far the code is. */
const enginesOwn = [
  startTag(""),
  turnSignal(""),
  roomKey(""),
  attemptNote(""),
  "weir.exhausted/",
];

interface Outstanding extends Request {
  begun: boolean;
}

/** The how-many-eth use of a name, and its key. */
interface Use {
  readonly number: number;
  readonly key: string;
}

export class Program {
  readonly #execution: string;
  readonly #state: () => ExecutionState;
  readonly #onQuiet: () => void;
  readonly #onCancel: () => void;
  /** The last use of each name. */
  readonly #uses = new Map<string, Use>();
  readonly #asked = new Set<string>();
  readonly #outstanding = new Map<string, Outstanding>();
  readonly #awaited = new Map<string, () => boolean>();
  /** The place of the last result that was delivered. */
  #delivered = 0;
  /** Whether the code was told to stop, or will be when it next asks for something. */
  #cancelled: "no" | "pending" | "yes" = "no";
  #turning = false;
  #held = false;
  #closed = false;

  constructor(
    execution: string,
    state: () => ExecutionState,
    onQuiet: () => void,
    onCancel: () => void,
  ) {
    this.#execution = execution;
    this.#state = state;
    this.#onQuiet = onQuiet;
    this.#onCancel = onCancel;
  }

  /** What the code awaits. */
  get outstanding(): ReadonlyMap<string, Request> {
    return this.#outstanding;
  }

  /** Says when the code waits for what it has asked for under a key; all the time, if nobody says. */
  awaitWhile(key: string, isAwaited: () => boolean): void {
    this.#awaited.set(key, isAwaited);
  }

  isAwaited(key: string): boolean {
    return this.#awaited.get(key)?.() ?? true;
  }

  /** Whether the code is to be given something, or has not been asked after the last thing it got. */
  get isTurning(): boolean {
    return this.#turning;
  }

  /** Whether the journal has something that an earlier run asked for, and this one has not yet. */
  get isBehind(): boolean {
    const { operations, continued } = this.#state();
    for (const [key, { kind, opened }] of HashMap.entries(operations)) {
      const isOwn = kind !== "end" && !enginesOwn.some((prefix) => key.startsWith(prefix));
      if (isOwn && opened > (continued?.opened ?? 0) && !this.#asked.has(key)) return true;
    }
    return false;
  }

  /** Whether the journal has a child whose end is awaited, and with which this run has not gone on yet. */
  get owesChildren(): boolean {
    const { operations, continued } = this.#state();
    for (const [key, each] of HashMap.entries(operations)) {
      if (each.kind !== "spawn" && each.kind !== "call") continue;
      const end = each.kind === "spawn" ? operation(this.#state(), endOf(key)) : each;
      if (end?.settled !== undefined || each.opened <= (continued?.opened ?? 0)) continue;
      const isAsked = this.#asked.has(key) && this.#outstanding.get(key)?.begun !== false;
      if (!isAsked || this.#turning) return true;
    }
    return false;
  }

  /** The key of the next use of a name: the name, and from the second use on its number. */
  keyOf(name: string, kind: OperationKind): string {
    const last = this.#uses.get(name);
    if (last !== undefined && this.#outstanding.has(last.key)) {
      throw new NameInUse({ execution: this.#execution, step: name });
    }
    const use = this.#nextUse(name);
    const { key } = use;
    this.#uses.set(name, use);
    this.#asked.add(key);
    const known = operation(this.#state(), key);
    if (known !== undefined && known.kind !== kind) {
      throw new KindMismatch({
        execution: this.#execution,
        step: key,
        recorded: known.kind,
        requested: kind,
      });
    }
    return key;
  }

  /** What the journal has under the key of the next use of a name. */
  next(name: string): Operation | undefined {
    return operation(this.#state(), this.#nextUse(name).key);
  }

  /** A number that makes what is another name already is passed over. */
  #nextUse(name: string): Use {
    for (let number = (this.#uses.get(name)?.number ?? 0) + 1;; number++) {
      const key = number === 1 ? name : `${name}#${number}`;
      if (!this.#asked.has(key)) return { number, key };
    }
  }

  request(request: Request): void {
    if (this.#closed) return;
    const outstanding = { ...request, begun: false };
    this.#outstanding.set(request.key, outstanding);
    if (this.#held) return this.#onQuiet();
    // What it asks for at once must all be known before it is told which of that came first.
    if (this.#next() !== undefined) return this.#takeTurn();
    this.#begin(outstanding);
    if (!this.#turning) this.#onQuiet();
  }

  /** Gives the code the next thing that there is for it, unless it is still busy with the last. */
  turn(): void {
    if (this.#turning || this.#held || this.#closed) return;
    const next = this.#next();
    if (next !== undefined) return this.#give(next);
    for (const outstanding of [...this.#outstanding.values()]) {
      if (!outstanding.begun && !this.#held) this.#begin(outstanding);
    }
    this.#onQuiet();
  }

  /** The code gets nothing and begins nothing until `proceed`. */
  hold(): void {
    this.#held = true;
  }

  proceed(): void {
    this.#held = false;
    this.turn();
  }

  /** The code does not await this any more. */
  withdraw(key: string): void {
    const outstanding = this.#outstanding.get(key);
    this.#outstanding.delete(key);
    if (outstanding?.begun === false && !this.#closed) outstanding.dropped();
  }

  /** Nothing reaches the code any more. */
  close(): void {
    this.#closed = true;
    this.#outstanding.clear();
  }

  #give(next: () => void): void {
    this.#takeTurn();
    next();
  }

  /** The code has until the next turn of the event loop to do what it does with what it got. */
  #takeTurn(): void {
    if (this.#turning) return;
    this.#turning = true;
    nextTurn(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#turning = false;
    this.turn();
  };

  /** The result that comes first in the journal's order, of those that the code awaits. */
  #next(): (() => void) | undefined {
    const state = this.#state();
    let first: (() => void) | undefined;
    let order = Infinity;
    for (const outstanding of this.#outstanding.values()) {
      const settled = operation(state, outstanding.key)?.settled;
      if (settled === undefined || settled.order >= order) continue;
      // What the request to cancel ended is delivered with that request.
      if (this.#cancelled === "no" && settled.order === state.cancel?.order) continue;
      order = settled.order;
      first = () => this.#deliver(outstanding, settled.order, settled.result);
    }
    const { cancel } = state;
    if (cancel !== undefined && this.#cancelled === "no" && cancel.order < order) {
      const own = [...this.#outstanding.values()].find(({ leavesCancel }) => leavesCancel);
      if (own !== undefined) return () => this.#deliver(own, cancel.order, { type: "cancelled" });
      return () => this.#cancel(cancel.order);
    }
    if (this.#cancelled === "pending" && this.#outstanding.size > 0) {
      return () => this.#cancel(this.#delivered);
    }
    return first;
  }

  #begin(outstanding: Outstanding): void {
    outstanding.begun = true;
    outstanding.begin(operation(this.#state(), outstanding.key));
  }

  #deliver(outstanding: Outstanding, order: number, result: Result): void {
    if (result.type === "cancelled") this.withdraw(outstanding.key);
    else this.#outstanding.delete(outstanding.key);
    this.#delivered = Math.max(order, this.#delivered);
    outstanding.deliver(result);
  }

  /** Whatever the code awaits ends; if it awaits nothing, then the next thing that it asks for. */
  #cancel(order: number): void {
    this.#onCancel();
    const all = [...this.#outstanding.values()];
    this.#cancelled = all.length === 0 ? "pending" : "yes";
    for (const outstanding of all) this.#deliver(outstanding, order, { type: "cancelled" });
  }
}
