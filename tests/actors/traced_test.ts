import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Tracer from "effect/Tracer";
import { traced } from "../../actors/traced.ts";

const spanWithin = Effect.fnUntraced(function* () {
  return Option.map(yield* Effect.option(Effect.currentSpan), ({ name }) => name);
}, traced("Verb"));

describe("a verb", () => {
  it("has no span when nobody traces", () => {
    assert.deepEqual(Effect.runSync(spanWithin()), Option.none());
  });

  it("has a span within another", () => {
    const found = Effect.runSync(Effect.withSpan(spanWithin(), "caller"));
    assert.deepEqual(found, Option.some("Verb"));
  });

  it("has a span where there is a tracer", () => {
    const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) });
    const found = Effect.runSync(Effect.provideService(spanWithin(), Tracer.Tracer, tracer));
    assert.deepEqual(found, Option.some("Verb"));
  });
});
