/**
 * A rate that is learned from a server's refusals: after one that says when to come back nobody asks
 * until then; what was taken from there to the next refusal is taken to be what it allows. The epoch
 * tells an answer to an earlier guess from one to this.
 */
import * as Duration from "effect/Duration";
import type {
  AdaptiveConsumeOptions,
  AdaptiveConsumeResult,
  AdaptiveFeedbackOptions,
} from "effect/persistence/RateLimiter";

/** A decision, and what is to be remembered until when, if that has changed. */
export type Decision<A, S> = readonly [
  result: A,
  next?: { readonly state: S; readonly until: number },
];

/** All times are in milliseconds of the server's clock. */
export type Adaptive =
  & { readonly epoch: number }
  & (
    | { readonly phase: "cooldown"; readonly over: number }
    | { readonly phase: "learning"; readonly since: number; readonly taken: number }
    | {
      readonly phase: "learned";
      readonly limit: number;
      readonly windowMs: number;
      readonly taken: number;
      /** When what was taken has flowed off. */
      readonly over: number;
      /** When it is to be learned anew, however often it is asked. */
      readonly until: number;
    }
  );

/** How long a state outlives what it is about. */
const graceMs = 60_000;
const longestMs = 60 * 60 * 1_000;
const tooManyRequests = 429;

const bounded = (ms: number): number => ms > 0 ? Math.min(ms, longestMs) : 1;

const coolDown = (epoch: number, over: number): Decision<void, Adaptive> => [
  undefined,
  { state: { phase: "cooldown", epoch, over }, until: over + graceMs },
];

export const consumeAdaptively = (
  state: Adaptive | undefined,
  { tokens, fallbackWindow }: AdaptiveConsumeOptions,
  now: number,
): Decision<AdaptiveConsumeResult, Adaptive> => {
  if (state === undefined) return [{ delay: Duration.zero, epoch: 0, phase: "inactive" }];
  const { epoch } = state;
  const windowMs = Duration.toMillis(fallbackWindow);
  switch (state.phase) {
    case "cooldown": {
      if (state.over > now) {
        return [{ delay: Duration.millis(state.over - now), epoch, phase: "cooldown" }];
      }
      const next: Adaptive = { phase: "learning", epoch: epoch + 1, since: now, taken: tokens };
      return [
        { delay: Duration.zero, epoch: next.epoch, phase: "learning" },
        { state: next, until: now + windowMs + graceMs },
      ];
    }
    case "learning": {
      const next = { ...state, taken: state.taken + tokens };
      return [
        { delay: Duration.zero, epoch, phase: "learning" },
        { state: next, until: state.since + windowMs + graceMs },
      ];
    }
    case "learned": {
      const eachMs = state.windowMs / state.limit;
      const isOver = state.over <= now;
      const taken = (isOver ? 0 : state.taken) + tokens;
      const over = (isOver ? now : state.over) + eachMs * tokens;
      const passedMs = taken * eachMs - (over - now);
      const fullWindows = Math.floor((taken - 1) / state.limit);
      const delayMs = Math.max(0, fullWindows * state.windowMs - passedMs);
      return [
        { delay: Duration.millis(delayMs), epoch, phase: "learned" },
        { state: { ...state, taken, over }, until: state.until },
      ];
    }
  }
};

export const heed = (
  state: Adaptive | undefined,
  { epoch, tokens, status, retryAfter }: AdaptiveFeedbackOptions,
  now: number,
): Decision<void, Adaptive> => {
  if (status !== tooManyRequests || retryAfter === undefined) return [undefined];
  const waitMs = bounded(Duration.toMillis(retryAfter));
  const over = now + waitMs;
  if (state === undefined) return epoch === 0 ? coolDown(0, over) : [undefined];
  if (state.epoch !== epoch) return [undefined];
  switch (state.phase) {
    case "cooldown":
      return coolDown(epoch, Math.max(state.over, over));
    case "learned":
      return coolDown(epoch, over);
    case "learning": {
      // The one that was refused was not allowed.
      const limit = state.taken - tokens;
      if (limit <= 0) return coolDown(epoch, over);
      const windowMs = bounded(now - state.since + waitMs);
      const until = now + windowMs + graceMs;
      const next: Adaptive = {
        phase: "learned",
        epoch: epoch + 1,
        limit,
        windowMs,
        taken: limit,
        over: state.since + windowMs,
        until,
      };
      return [undefined, { state: next, until }];
    }
  }
};
