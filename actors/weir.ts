/**
 * The promise door: one connection to a namespace, opened with `connect` and closed by disposing of
 * it. It runs the same services as the Effect door and adds nothing to what they promise.
 */
import { randomUUID } from "node:crypto";
import process from "node:process";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Scope from "effect/Scope";
import {
  ActorName,
  ExecutionId,
  executionIdentity,
  executionText,
  Lane,
  parse,
  Tenant,
  WorkerInstanceId,
} from "../schema/ids.ts";
import { InvalidInput } from "../schema/errors.ts";
import { Connection } from "../streams/connection.ts";
import { type NamespaceServicesOptions } from "../streams/namespace.ts";
import { type Session, Sessions } from "../streams/session.ts";
import { type Actor, codeOf } from "./actor.ts";
import * as EngineWorker from "./engine/worker.ts";
import { type Events, makeEvents } from "./events.ts";
import { Executions, type StartOptions as EngineStartOptions } from "./executions.ts";
import { layer } from "./layer.ts";
import { makeRun, type Run } from "./run.ts";
import { check } from "./standard_schema.ts";

export interface ConnectOptions extends NamespaceServicesOptions {
  /** Whose executions the verbs mean when none is named; `default` if left out. */
  readonly tenant?: string;
}

export interface StartOptions extends Omit<EngineStartOptions, "lane"> {
  /** The workers that may take it up; those of no lane, if left out. */
  readonly lane?: string;
  readonly tenant?: string;
}

/** A run that was asked for. */
export interface StartedRun<Output> extends Run<Output> {
  /** Whether this call created it; otherwise it was there before. */
  readonly created: boolean;
}

export interface WorkerOptions
  extends Omit<EngineWorker.WorkerOptions, "actors" | "identity" | "lanes"> {
  /** A name for this process, different from that of every other; drawn at random, if left out. */
  readonly identity?: string;
  readonly lanes?: ReadonlyArray<string>;
}

/** A worker of this process. */
export interface Worker extends AsyncDisposable {
  readonly identity: string;
  /** Takes nothing new, finishes or hands over what is under way, and gives up every lease. */
  close(): Promise<void>;
}

export interface Weir extends AsyncDisposable {
  /** The tenant that verbs mean when none is named. */
  readonly tenant: Tenant;
  /** The embedded server, if this connection uses one; the URL carries the credentials. */
  readonly server: { readonly url: string } | undefined;
  /** What happened, per execution; durable, ordered and never changed. */
  readonly events: Events;
  /** Runs executions of these actors in this process until it is disposed of. */
  worker(
    // deno-lint-ignore no-explicit-any -- an actor's types are its own business here
    actors: ReadonlyArray<Actor<any, any>>,
    options?: WorkerOptions,
  ): Promise<Worker>;
  /** Starts an execution, unless there is one of that id: then that one is given. */
  start<Input, Output>(
    actor: Actor<Input, Output>,
    input: NoInfer<Input>,
    options?: StartOptions,
  ): Promise<StartedRun<Output>>;
  /** The execution of an actor by the name that it was started with. */
  get<Input, Output>(
    actor: Actor<Input, Output>,
    id: string,
    options?: { readonly tenant?: string },
  ): Run<Output>;
  /** The workers of the namespace that are alive. */
  workers(): Promise<ReadonlyArray<Session>>;
  /** Closes the connection; the embedded server ends with its last user. */
  close(): Promise<void>;
}

/**
 * Connects to the servers named in the options or in `NATS_URL`, or else to the embedded server,
 * which is started if it does not run yet.
 *
 * **Example** (Appending an event)
 *
 * ```ts no-run
 * import { connect } from "@weir/weir";
 *
 * await using weir = await connect();
 * await weir.events.append("order/o-1", "acme", { type: "custom", eventType: "paid", data: { cents: 4200 } });
 * ```
 */
export const connect = async (options: ConnectOptions = {}): Promise<Weir> => {
  const tenant = await Effect.runPromise(parse(Tenant, "tenant", options.tenant ?? "default"));
  const runtime = ManagedRuntime.make(layer(options));
  const workers = new Set<Worker>();
  const close = async () => {
    await Promise.all([...workers].map((worker) => worker.close()));
    await runtime.dispose();
  };

  const worker: Weir["worker"] = async (actors, { identity, lanes, ...rest } = {}) => {
    const scope = Scope.makeUnsafe();
    const started = await runtime.runPromise(
      Effect.gen(function* () {
        for (const { name } of actors) yield* parse(ActorName, "actor name", name);
        return yield* EngineWorker.make({
          ...rest,
          actors: actors.map(codeOf),
          identity: yield* parse(
            WorkerInstanceId,
            "worker identity",
            identity ?? `${process.pid}-${randomUUID().slice(0, 8)}`,
          ),
          ...(lanes === undefined
            ? {}
            : { lanes: yield* Effect.forEach(lanes, (lane) => parse(Lane, "lane", lane)) }),
        });
      }).pipe(
        Scope.provide(scope),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      ),
    );
    let closing: Promise<void> | undefined;
    const close = () =>
      closing ??= runtime.runPromise(Scope.close(scope, Exit.void)).then(() => {
        workers.delete(handle);
      });
    const handle: Worker = {
      identity: started.identity,
      close,
      [Symbol.asyncDispose]: close,
    };
    workers.add(handle);
    return handle;
  };

  try {
    const { server } = Context.get(await runtime.context(), Connection);
    return {
      tenant,
      server,
      events: makeEvents(runtime, tenant),
      worker,
      start: async <Input, Output>(
        actor: Actor<Input, Output>,
        input: Input,
        { tenant: other, lane, ...rest }: StartOptions = {},
      ) => {
        const started = await runtime.runPromise(Effect.gen(function* () {
          const name = yield* parse(ActorName, "actor name", actor.name);
          const checked = actor.input === undefined
            ? input
            : yield* check(actor.input, `the input of ${actor.name}`, input);
          return yield* (yield* Executions).start(
            name,
            other === undefined ? tenant : yield* parse(Tenant, "tenant", other),
            checked,
            {
              ...rest,
              ...(lane === undefined ? {} : { lane: yield* parse(Lane, "lane", lane) }),
            },
          );
        }));
        return { ...makeRun<Output>(runtime, started), created: started.created };
      },
      get: <Input, Output>(
        { name }: Actor<Input, Output>,
        id: string,
        { tenant: other }: { readonly tenant?: string } = {},
      ) => {
        const execution = Effect.runSync(
          parse(ExecutionId, "execution id", executionText(name, id)),
        );
        if (executionIdentity(execution).actor !== name) {
          throw new InvalidInput({ what: "actor name", value: name, rule: "it is not one" });
        }
        return makeRun<Output>(runtime, {
          execution,
          tenant: other === undefined ? tenant : Effect.runSync(parse(Tenant, "tenant", other)),
        });
      },
      workers: () => runtime.runPromise(Effect.flatMap(Sessions, (sessions) => sessions.list)),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};
