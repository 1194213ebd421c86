/**
 * Cells of a workflow that anybody may look at: set in its body, recorded under its fence, and read
 * from outside while it runs and after its end, by processes that need not have its code.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import type { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
import type { NotThere } from "../executions.ts";
import { jsonOf } from "./json_of.ts";
import { currentBody } from "./workflow_body.ts";
import { type Target, WorkflowExtras } from "./workflow_extras.ts";

export interface DurableState<S extends Schema.Top> {
  readonly name: string;
  readonly schema: S;
}

export const make = <S extends Schema.Top>(name: string, schema: S): DurableState<S> => ({
  name,
  schema,
});

const decode = <S extends Schema.Top>({ schema }: DurableState<S>, value: Schema.Json) =>
  Effect.orDie(Schema.decodeEffect(jsonOf(schema))(value));

/** Sets it, in the body of a workflow; whoever looks sees it from then on. */
export const set = <S extends Schema.Top>(
  { name, schema }: DurableState<S>,
  value: S["Type"],
): Effect.Effect<
  void,
  never,
  WorkflowEngine | WorkflowExtras | WorkflowInstance | S["EncodingServices"]
> =>
  Effect.gen(function* () {
    const cell = (yield* currentBody("DurableState.set")).cell(name);
    const { assign } = yield* WorkflowExtras;
    const encoded = yield* Effect.orDie(Schema.encodeEffect(jsonOf(schema))(value));
    yield* cell.turn.withPermit(Effect.suspend(() => assign(name, cell.count++, encoded)));
    cell.value = Option.some(encoded);
  });

/** What the body has set last. */
export const get = <S extends Schema.Top>(
  state: DurableState<S>,
): Effect.Effect<Option.Option<S["Type"]>, never, WorkflowInstance | S["DecodingServices"]> =>
  Effect.gen(function* () {
    const { value } = (yield* currentBody("DurableState.get")).cell(state.name);
    return Option.isNone(value) ? value : Option.some(yield* decode(state, value.value));
  });

/** What it holds, as anybody sees it; nothing before it is first set. */
export const read: <S extends Schema.Top>(
  state: DurableState<S>,
  of: Target,
) => Effect.Effect<
  Option.Option<S["Type"]>,
  NotThere,
  WorkflowExtras | S["DecodingServices"]
> = Effect.fn("DurableState.read")(function* <S extends Schema.Top>(
  state: DurableState<S>,
  of: Target,
) {
  const found = yield* (yield* WorkflowExtras).read(of, state.name);
  return Option.isNone(found) ? found : Option.some(yield* decode(state, found.value));
});

/** What it holds and each value that it is given, until the execution has ended. */
export const changes = <S extends Schema.Top>(
  state: DurableState<S>,
  of: Target,
): Stream.Stream<S["Type"], NotThere, WorkflowExtras | S["DecodingServices"]> =>
  Stream.unwrap(Effect.map(WorkflowExtras, (extras) => extras.changes(of, state.name))).pipe(
    Stream.mapEffect((value) => decode(state, value)),
  );
