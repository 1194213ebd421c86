/**
 * Requests to a workflow that are answered: whoever asks, in whatever process, gets the result or the
 * error of the handler, and asks again with the same id for the same answer. The workflow handles
 * them in order; an answer is recorded before the next request is taken.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import type * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import type { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
import { Json } from "../../schema/json.ts";
import { pack, unpack } from "./exit_codec.ts";
import { jsonOf } from "./json_of.ts";
import { isWithin, type Limit } from "./limited.ts";
import { currentBody } from "./workflow_body.ts";
import { type OfferError, type Target, WorkflowExtras } from "./workflow_extras.ts";

export interface DurableUpdate<
  Payload extends Schema.Top,
  Success extends Schema.Top,
  Failure extends Schema.Top,
> {
  readonly name: string;
  readonly payload: Payload;
  readonly success: Success;
  readonly error: Failure;
}

export interface RequestOptions<Payload extends Schema.Top> extends Target {
  readonly payload: Payload["Type"];
  /** Whoever asks again with it gets the same answer; drawn at random, if left out. */
  readonly id?: string;
}

export const make = <
  Payload extends Schema.Top,
  Success extends Schema.Top = Schema.Void,
  Failure extends Schema.Top = Schema.Never,
>(
  name: string,
  options: {
    readonly payload: Payload;
    readonly success?: Success;
    readonly error?: Failure;
  },
): DurableUpdate<Payload, Success, Failure> => ({
  name,
  payload: options.payload,
  success: options.success ?? Schema.Void as unknown as Success,
  error: options.error ?? Schema.Never as unknown as Failure,
});

const version = 1;

const Request = Schema.Struct({ v: Schema.Literal(version), id: Schema.String, payload: Json });

const channelOf = (name: string): string => `update ${name}`;
const answerCell = (name: string, id: string): string => `answer ${name} ${id}`;

const exitOf = <P extends Schema.Top, A extends Schema.Top, E extends Schema.Top>(
  { success, error }: DurableUpdate<P, A, E>,
) => Schema.toCodecJson(Schema.Exit(success, error, Schema.Defect()));

/** Asks an execution, and waits for its answer; it fails if the execution ends without one. */
export const request: <P extends Schema.Top, A extends Schema.Top, E extends Schema.Top>(
  update: DurableUpdate<P, A, E>,
  options: RequestOptions<P>,
) => Effect.Effect<
  A["Type"],
  E["Type"] | OfferError,
  WorkflowExtras | P["EncodingServices"] | A["DecodingServices"] | E["DecodingServices"]
> = Effect.fn("DurableUpdate.request")(
  function* <P extends Schema.Top, A extends Schema.Top, E extends Schema.Top>(
    update: DurableUpdate<P, A, E>,
    { payload, id = randomUUID(), ...to }: RequestOptions<P>,
  ) {
    const { read, send, changes } = yield* WorkflowExtras;
    const encoded = yield* Effect.orDie(Schema.encodeEffect(jsonOf(update.payload))(payload));
    const cell = answerCell(update.name, id);
    const ask = send(to, channelOf(update.name), id, { v: version, id, payload: encoded });
    const known = yield* read(to, cell);
    // Who sends to what has ended meanwhile is told so, and the answer may have been the last thing.
    const answer = Option.isSome(known) ? known : yield* ask.pipe(
      Effect.andThen(Stream.runHead(changes(to, cell))),
      Effect.tap((found) => Option.isNone(found) ? ask : Effect.void),
      Effect.catchTag(
        "ExecutionEnded",
        (error) =>
          Effect.flatMap(
            read(to, cell),
            (found) => Option.isSome(found) ? Effect.succeed(found) : Effect.fail(error),
          ),
      ),
    );
    const exit = yield* unpack(Option.getOrThrow(answer), exitOf(update) as never);
    return yield* exit as Exit.Exit<A["Type"], E["Type"]>;
  },
);

type Serving<P extends Schema.Top, A extends Schema.Top, E extends Schema.Top> =
  | WorkflowEngine
  | WorkflowExtras
  | WorkflowInstance
  | P["DecodingServices"]
  | A["EncodingServices"]
  | E["EncodingServices"];

/** What answers a request; the id is that of the request, for the names of activities. */
export type Handler<P extends Schema.Top, A extends Schema.Top, E extends Schema.Top, R> = (
  payload: P["Type"],
  id: string,
) => Effect.Effect<A["Type"], E["Type"], R>;

/** Answers the next request, and says whether there was one within the limit, if there is any. */
export const handle = <P extends Schema.Top, A extends Schema.Top, E extends Schema.Top, R>(
  update: DurableUpdate<P, A, E>,
  handler: Handler<P, A, E, R>,
  limit?: Limit,
): Effect.Effect<boolean, never, R | Serving<P, A, E>> =>
  Effect.gen(function* () {
    const body = yield* currentBody("DurableUpdate.handle");
    const { receive, assign } = yield* WorkflowExtras;
    const name = channelOf(update.name);
    const channel = body.channel(name);
    return yield* channel.turn.withPermit(Effect.gen(function* () {
      if (limit !== undefined && !(yield* isWithin(name, channel, limit))) return false;
      const received = yield* receive(name, channel.taken);
      const { id, payload } = yield* Effect.orDie(Schema.decodeUnknownEffect(Request)(received));
      const exit = yield* Effect.exit(
        Effect.flatMap(
          Effect.orDie(Schema.decodeEffect(jsonOf(update.payload))(payload)),
          (decoded) => handler(decoded, id),
        ),
      );
      const cell = answerCell(update.name, id);
      yield* assign(cell, 0, yield* pack(exit, exitOf(update) as never));
      body.answered(cell);
      channel.taken++;
      return true;
    }));
  });

/** Answers requests until the limit is reached, or for ever. */
export const serve = <P extends Schema.Top, A extends Schema.Top, E extends Schema.Top, R>(
  update: DurableUpdate<P, A, E>,
  handler: Handler<P, A, E, R>,
  limit?: Limit,
): Effect.Effect<void, never, R | Serving<P, A, E>> =>
  Effect.asVoid(
    Effect.repeat(handle(update, handler, limit), { until: (wasThere) => !wasThere }),
  );
