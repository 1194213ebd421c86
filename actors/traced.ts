/**
 * Spans of the verbs that are called often, for those who trace. Without a tracer, or a span around
 * the call, none is made: it would be seen by nobody, and costs more than the verb.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Tracer from "effect/Tracer";

const usualTracer = Context.get(Context.empty(), Tracer.Tracer);

const isTraced = (context: Context.Context<never>): boolean =>
  Context.getOrUndefined(context, Tracer.ParentSpan) !== undefined ||
  Context.get(context, Tracer.Tracer) !== usualTracer;

export const traced = (name: string) => <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.withFiber<A, E>((fiber) =>
    isTraced(fiber.context) ? Effect.withSpan(effect, name) : effect
  );
