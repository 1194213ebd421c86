/**
 * One run of the body of a workflow, and how far it is: what it has taken from each channel, what it
 * has set in each cell, and whether it is to be continued as another. It counts alike however often
 * the body runs; that is why its counters cannot be used where a record stands for a part of it.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Semaphore from "effect/Semaphore";
import type * as Scope from "effect/Scope";
import { WorkflowInstance } from "effect/workflow/WorkflowEngine";
import { OutsideBody } from "../../schema/execution_errors.ts";
import { Json } from "../../schema/json.ts";

type Json = Schema.Json;

/** What a body knows of the runs that were continued as it. */
export const Carried = Schema.Struct({
  /** How many messages of each channel were taken. */
  taken: Schema.Record(Schema.String, Schema.Natural),
  /** What was set last. */
  cells: Schema.Record(Schema.String, Json),
  /** The cells with the answers that the last run gave. */
  answers: Schema.Array(Schema.String),
});
export type Carried = typeof Carried.Type;

export const nothing: Carried = { taken: {}, cells: {}, answers: [] };

const version = 1;

/** What the next run of a body is given. */
export const NextRun = Schema.Struct({
  v: Schema.Literal(version),
  payload: Json,
  before: Carried,
});

export const nextRun = (payload: Json, { carried }: WorkflowBody): Json => ({
  v: version,
  payload,
  before: carried,
});

const decodeNext = Schema.decodeUnknownOption(NextRun);

/** The payload in what the next run is given. */
export const payloadOfNext = (next: Json | undefined): Json | undefined =>
  Option.getOrUndefined(decodeNext(next))?.payload;

/** One after the other, since each is told from the next by its place. */
export interface Channel {
  readonly turn: Semaphore.Semaphore;
  readonly first: number;
  taken: number;
  /** How often it was asked with a limit. */
  limited: number;
}

export interface Cell {
  readonly turn: Semaphore.Semaphore;
  count: number;
  value: Option.Option<Json>;
}

/** What is there under a name that users choose, and that every object may have. */
const own = <A>(record: Readonly<Record<string, A>>, name: string): A | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/** The result of a body that is to be continued. */
export class Continued {
  readonly payload: object;
  readonly body: WorkflowBody;
  constructor(payload: object, body: WorkflowBody) {
    this.payload = payload;
    this.body = body;
  }
}

export class WorkflowBody {
  readonly instance: WorkflowInstance["Service"];
  readonly #before: Carried;
  readonly #channels = new Map<string, Channel>();
  readonly #cells = new Map<string, Cell>();
  readonly #answers: Array<string> = [];
  #fiber: Fiber.Fiber<unknown, unknown> | undefined;
  #next: object | undefined;

  constructor(instance: WorkflowInstance["Service"], before: Carried) {
    this.instance = instance;
    this.#before = before;
  }

  channel(name: string): Channel {
    const known = this.#channels.get(name);
    if (known !== undefined) return known;
    const first = own(this.#before.taken, name) ?? 0;
    const channel = { turn: Semaphore.makeUnsafe(1), first, taken: first, limited: 0 };
    this.#channels.set(name, channel);
    return channel;
  }

  cell(name: string): Cell {
    const known = this.#cells.get(name);
    if (known !== undefined) return known;
    const value = Option.fromUndefinedOr(own(this.#before.cells, name));
    const cell = { turn: Semaphore.makeUnsafe(1), count: 0, value };
    this.#cells.set(name, cell);
    return cell;
  }

  /** An answer that was given is kept for the next run, and no longer. */
  answered(cell: string): void {
    this.#answers.push(cell);
  }

  /** The messages that this run has taken, by channel and place. */
  get taken(): ReadonlyArray<readonly [channel: string, place: number]> {
    return [...this.#channels].flatMap(([name, { first, taken }]) =>
      Array.from({ length: taken - first }, (_, index) => [name, first + index] as const)
    );
  }

  /** The answers that nobody asks for any more. */
  get cleared(): ReadonlyArray<string> {
    return this.#before.answers;
  }

  get carried(): Carried {
    return {
      taken: {
        ...this.#before.taken,
        ...Object.fromEntries([...this.#channels].map(([name, { taken }]) => [name, taken])),
      },
      cells: {
        ...this.#before.cells,
        ...Object.fromEntries(
          [...this.#cells].flatMap(([name, { value }]) =>
            Option.isSome(value) ? [[name, value.value]] : []
          ),
        ),
      },
      answers: this.#answers,
    };
  }

  /** Ends this run, wherever it is. */
  continueAs(payload: object): void {
    this.#next = payload;
    this.#fiber?.interruptUnsafe();
  }

  /** Runs a body; a run that is to be continued has succeeded, so that nothing is compensated. */
  run<A, E, R>(
    execute: Effect.Effect<A, E, R>,
  ): Effect.Effect<A | Continued, E, R | Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const fiber = yield* Effect.withFiber<A, E, R>((fiber) => {
        this.#fiber = fiber as Fiber.Fiber<unknown, unknown>;
        return execute;
      }).pipe(
        Effect.provideService(CurrentBody, this),
        Effect.forkChild({ startImmediately: true }),
      );
      const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber));
      return this.#next === undefined ? yield* exit : new Continued(this.#next, this);
    });
  }
}

/** The run of a body in which an effect is evaluated. */
export class CurrentBody extends Context.Service<CurrentBody, WorkflowBody>()(
  "@weir/weir/actors/CurrentBody",
) {}

/**
 * The run of the body itself. An activity, and what `DurableDeferred.raceAll` or `into` records, are
 * not run again, and the body would count without them.
 */
export const currentBody = Effect.fnUntraced(function* (verb: string) {
  const instance = yield* WorkflowInstance;
  const body = Option.getOrUndefined(yield* Effect.serviceOption(CurrentBody));
  if (body?.instance === instance) return body;
  return yield* Effect.die(new OutsideBody({ execution: instance.executionId, verb }));
});
