/**
 * A small actor program: its actors, what happens to it from outside, and how it must end, whatever
 * becomes of the workers that run it. It notes the effects of its steps; it knows nothing of who
 * plays it, nor where.
 */
import type { Actor, Run, RunOutcome, StartOptions } from "@weir/weir";

// deno-lint-ignore no-explicit-any -- an actor's types are its own business here
export type AnyActor = Actor<any, any>;

/** The actors of a program, the one that is started first. */
export interface Cast {
  readonly actors: readonly [AnyActor, ...ReadonlyArray<AnyActor>];
  readonly input?: unknown;
  readonly options?: StartOptions;
}

/** Keeps an effect of a step, wherever effects are kept. */
export type Note = (effect: string) => void;

/** An execution of the program, as whoever drives it sees it. */
export interface Driven {
  readonly run: Run;
  /** Returns when it waits for a signal, a sleep or a child of this name. */
  readonly waitsFor: (name: string) => Promise<void>;
  /** Returns when a step of this name has begun. */
  readonly notes: (effect: string) => Promise<void>;
}

/** How it ended, as far as that must never differ. */
export type End =
  | { readonly type: "success"; readonly value: unknown }
  | { readonly type: "failure"; readonly name: string; readonly message: string }
  | { readonly type: "cancelled" | "expired" };

export interface Program {
  readonly name: string;
  readonly cast: (note: Note) => Cast;
  readonly drive?: (driven: Driven) => Promise<void>;
  readonly end: End;
}

export const succeeds = (value: unknown): End => ({ type: "success", value });

export const fails = (name: string, message: string): End => ({ type: "failure", name, message });

export const endOf = (outcome: RunOutcome<unknown>): End => {
  switch (outcome.type) {
    case "success":
      return succeeds(outcome.value);
    case "failure": {
      const { failure } = outcome.error as { readonly failure: Record<"name" | "message", string> };
      return fails(failure.name, failure.message);
    }
    default:
      return { type: outcome.type };
  }
};
