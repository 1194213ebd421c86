/**
 * Effect's `RateLimiterStore` in the log's bucket: one limit for all processes of a namespace, counted
 * by the server's clock. Each decision follows from what the last one left, whoever made it.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import {
  RateLimiterError,
  RateLimiterStore,
  RateLimitStoreError,
} from "effect/persistence/RateLimiter";
import { Log } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { type Adaptive, consumeAdaptively, type Decision, heed } from "./adaptive_rate.ts";
import { make as makeValues } from "./keyed_values.ts";

export interface RateLimiterStoreOptions {
  /** Which limits of the namespace; whoever names the same shares them. */
  readonly store?: string;
}

/** A window that is filled by what was taken, and is over when that has flowed off. */
interface Window {
  readonly count: number;
  readonly until: number;
}

/** Tokens as of the last moment at which one was added. */
interface TokenBucket {
  readonly tokens: number;
  readonly filledAt: number;
}

/** Limits of the namespace. */
export const layer = (
  { store = "default" }: RateLimiterStoreOptions = {},
): Layer.Layer<RateLimiterStore, never, Log | ServerClock> =>
  Layer.effect(
    RateLimiterStore,
    Effect.gen(function* () {
      const values = makeValues(yield* Log, yield* ServerClock, "rate", store);

      const decide = <A, S>(
        kind: string,
        key: string,
        decision: (state: S | undefined, now: number) => Decision<A, S>,
      ) =>
        values.update(`${kind} ${key}`, (kept, now) => {
          const state = kept !== undefined && "text" in kept.content
            ? JSON.parse(kept.content.text) as S
            : undefined;
          const [result, next] = decision(state, now);
          if (next === undefined) return [result, undefined];
          return [result, {
            content: { text: JSON.stringify(next.state) },
            until: next.until,
          }];
        }).pipe(
          Effect.mapError((cause) => {
            const { message } = cause;
            return new RateLimiterError({ reason: new RateLimitStoreError({ message, cause }) });
          }),
        );

      return RateLimiterStore.of({
        fixedWindow: ({ key, tokens, refillRate, limit }) =>
          decide(
            "window",
            key,
            (state: Window | undefined, now): Decision<readonly [number, number], Window> => {
              const { count, until } = state ?? { count: 0, until: now };
              const taken = count + tokens;
              if (limit !== undefined && taken > limit) return [[taken, until - now]];
              const next = { count: taken, until: until + Duration.toMillis(refillRate) * tokens };
              return [[taken, next.until - now], { state: next, until: next.until }];
            },
          ),
        tokenBucket: ({ key, tokens, limit, refillRate, allowOverflow }) =>
          decide(
            "bucket",
            key,
            (
              state: TokenBucket | undefined,
              now,
            ): Decision<readonly [number, number], TokenBucket> => {
              const eachMs = Duration.toMillis(refillRate);
              const before = state ?? { tokens: limit, filledAt: now };
              const added = Math.max(0, Math.floor((now - before.filledAt) / eachMs));
              const there = Math.min(limit, before.tokens + added);
              const filledAt = there >= limit ? now : before.filledAt + added * eachMs;
              const left = there - tokens;
              const kept = allowOverflow || left >= 0 ? left : there;
              // When it is full again it may as well be forgotten.
              const until = filledAt + Math.max(1, limit - kept) * eachMs;
              return [[left, Math.max(0, now - filledAt)], {
                state: { tokens: kept, filledAt },
                until,
              }];
            },
          ),
        adaptiveConsume: (options) =>
          decide(
            "adaptive",
            options.key,
            (state: Adaptive | undefined, now) => consumeAdaptively(state, options, now),
          ),
        adaptiveFeedback: (options) =>
          decide(
            "adaptive",
            options.key,
            (state: Adaptive | undefined, now) => heed(state, options, now),
          ),
      });
    }),
  );
