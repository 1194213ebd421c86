/** How the suites are run: by whatever test function the caller's runner has. */
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";

/** `it` of `node:test`, of Vitest, or of anything like them. */
export type It = (title: string, run: () => Promise<void>) => unknown;

export interface SuiteOptions {
  readonly it: It;
  /** Lets time pass, where the clock is one that a test moves. */
  readonly run?: (effect: Effect.Effect<void>) => Promise<void>;
}

/** A case on a service of its own. */
export type Case<S> = (title: string, effect: Effect.Effect<unknown, unknown, S>) => void;

/** Each case is given a new layer, whose store nobody else has. */
export const cases = <S>(
  name: string,
  makeLayer: () => Layer.Layer<S, unknown>,
  { it, run = Effect.runPromise }: SuiteOptions,
): Case<S> =>
(title, effect) => {
  it(`${name}: ${title}`, () =>
    run(Effect.orDie(Effect.asVoid(Effect.suspend(() => Effect.provide(effect, makeLayer()))))));
};
