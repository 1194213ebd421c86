/**
 * The promise door: one connection to a namespace, opened with `connect` and closed by disposing of
 * it. It runs the same services as the Effect door and adds nothing to what they promise.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { parse, Tenant } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import type { Cursor } from "../schema/cursor.ts";
import { Connection } from "../streams/connection.ts";
import type {
  ExecutionPage as ListedPage,
  ExecutionStatus,
  TagQuery,
} from "../streams/execution_index.ts";
import { type NamespaceServicesOptions } from "../streams/namespace.ts";
import type { Session } from "../streams/session.ts";
import type { Actor } from "./actor.ts";
import type { BudgetVerbs } from "./budgets.ts";
import type { EngineVerbs } from "./engine_control.ts";
import type * as EngineWorker from "./engine/worker.ts";
import type { Events } from "./events.ts";
import type { FamilyReaders } from "./families.ts";
import type { SignalOptions, StartOptions as EngineStartOptions } from "./executions.ts";
import type { ScheduleOptions, TaskOptions } from "./executions/task.ts";
import { layer, type TokenKeyOptions } from "./layer.ts";
import type { Queues } from "./queues.ts";
import type { Remotes } from "./remotes.ts";
import type { Schedule, ScheduleVerbs } from "./schedule.ts";
import { actingOn } from "./access/acting.ts";
import type { GrantVerbs } from "./grants.ts";
import type { LedgerVerbs } from "./ledgers.ts";
import type { SignalDefinition } from "./signal.ts";
import type { Run, SentSignal } from "./run.ts";
import { makeRuntime, Serving } from "./runtime.ts";
import type { SubscriptionVerbs } from "./subscriptions.ts";
import type { TenantVerbs } from "./tenants.ts";
import type { Emit, TriggerVerbs } from "./triggers.ts";
import { opened } from "./unclosed.ts";
import { makeVerbs, makeWorker } from "./verbs.ts";

export interface ConnectOptions extends NamespaceServicesOptions, TokenKeyOptions {
  /** Whose executions the verbs mean when none is named; `default` if left out. */
  readonly tenant?: string;
  /**
   * On whose behalf all verbs are used: each is refused with `Forbidden` that this person or service
   * has no capability for. Left out, the connection is the service itself, and may do everything.
   */
  readonly principal?: string;
}

const connectOptionNames: OptionNames<ConnectOptions> = {
  servers: true,
  embedded: true,
  namespace: true,
  tenant: true,
  principal: true,
  durability: true,
  nats: true,
  ciphers: true,
  tokenKeys: true,
  shards: true,
  parts: true,
  replicas: true,
  longestLease: true,
  create: true,
  maxPayloadBytes: true,
  spillThresholdBytes: true,
  giveUpAfter: true,
};
const embeddedNames: OptionNames<NonNullable<ConnectOptions["embedded"]>> = {
  store: true,
  durability: true,
  maxStorageBytes: true,
  binary: true,
  cacheFolder: true,
  releases: true,
  checksums: true,
  connectTimeout: true,
  stallTimeout: true,
  onProgress: true,
};

/** A signal that an execution is started with. */
export interface InitialSignal<A = unknown> extends SignalOptions {
  readonly signal: SignalDefinition<A>;
  readonly payload: A;
}

export interface StartOptions
  extends Omit<EngineStartOptions, "lane" | "signals" | keyof TaskOptions> {
  /** Signals that are in its mailbox from the beginning; they are sent also if it exists already. */
  // deno-lint-ignore no-explicit-any -- each has a payload of its own
  readonly signals?: ReadonlyArray<InitialSignal<any>>;
  /** The workers that may take it up; those of no lane, if left out. */
  readonly lane?: string;
  readonly tenant?: string;
}

export interface SubmitOptions
  extends Omit<StartOptions, "signals">, Omit<TaskOptions, keyof ScheduleOptions> {}

export interface ScheduleTaskOptions
  extends Omit<SubmitOptions, "delay" | "deadline">, ScheduleOptions {
  readonly policy: Exclude<NonNullable<ScheduleOptions["policy"]>, { readonly type: "once" }>;
}

/** One of several tasks that are submitted together. */
export interface TaskRequest<Input = unknown> extends Omit<SubmitOptions, "tenant"> {
  readonly actor: Actor<Input, unknown>;
  readonly input: Input;
}

export interface ListQuery {
  readonly tenant?: string;
  readonly status?: ExecutionStatus;
  readonly actor?: string | { readonly name: string };
  readonly tag?: TagQuery;
  /** How many a page is to hold, from 1 to 1,000; 50 if left out. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly from?: Cursor;
}

/** A run that was asked for. */
export interface StartedRun<Output, Raised = unknown> extends Run<Output, Raised> {
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

/** A connection as a principal has it; who opened it closes it. */
export type ActingWeir = Omit<Weir, "as" | "close" | "server" | typeof Symbol.asyncDispose>;

export interface Weir extends AsyncDisposable, FamilyReaders {
  /** The tenant that verbs mean when none is named. */
  readonly tenant: Tenant;
  /** On whose behalf verbs are used; nobody's, if it may do everything. */
  readonly principal: string | undefined;
  /**
   * The embedded server, if this connection uses one; the URL carries the credentials, so that it is
   * not for principals.
   */
  readonly server: { readonly url: string } | undefined;
  /** How much is used of what may be, counted exactly and durably. */
  readonly budgets: BudgetVerbs;
  /** What happened, per execution; durable, ordered and never changed. */
  readonly events: Events;
  /** Whether work of a tenant, a lane or all is taken up, and whether new work is accepted. */
  readonly engine: EngineVerbs;
  /** The queues in which tasks wait for their turns. */
  readonly queues: Queues;
  /** The remote workers that are registered. */
  readonly remotes: Remotes;
  /** The schedules that there are; `schedule` makes one, and `getSchedule` gives one. */
  readonly schedules: ScheduleVerbs;
  /** The durable subscriptions of the namespace. */
  readonly subscriptions: SubscriptionVerbs;
  /** The tenants that were created. */
  readonly tenants: TenantVerbs;
  /** What is done when something happens. */
  readonly triggers: TriggerVerbs;
  /** Emits an event, for the triggers that wait for it. */
  readonly emit: Emit;
  /** Who may do what in which tenant. */
  readonly grants: GrantVerbs;
  /** What was decided, seen or done; appended and read, never changed. */
  readonly ledgers: LedgerVerbs;
  /** The same connection on behalf of a principal, whose capabilities each verb is held against. */
  as(principal: string): ActingWeir;
  /** Runs executions of these actors in this process until it is disposed of. */
  worker(
    // deno-lint-ignore no-explicit-any -- an actor's types are its own business here
    actors: ReadonlyArray<Actor<any, any>>,
    options?: WorkerOptions,
  ): Promise<Worker>;
  /** Starts an execution, unless there is one of that id: then that one is given. */
  start<Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    input: NoInfer<Input>,
    options?: StartOptions,
  ): Promise<StartedRun<Output, Raised>>;
  /**
   * Starts an execution as a task: once others have succeeded, and with its own attempts and time.
   * What it comes after must be there already.
   */
  submit<Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    input: NoInfer<Input>,
    options?: SubmitOptions,
  ): Promise<StartedRun<Output, Raised>>;
  /**
   * Submits tasks that come after each other, in any order; all or none of them, if the namespace has
   * one shard and they are at most 1,000. A circle is refused before anything is stored.
   */
  submitAll(
    // deno-lint-ignore no-explicit-any -- each has an input of its own
    tasks: ReadonlyArray<TaskRequest<any>>,
    options?: { readonly tenant?: string },
  ): Promise<ReadonlyArray<StartedRun<unknown>>>;
  /** Has a task run again and again, by a count or a calendar, unless there is one of that id. */
  schedule<Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    input: NoInfer<Input>,
    options: ScheduleTaskOptions,
  ): Promise<Schedule<Output, Raised> & { readonly created: boolean }>;
  /** The schedule of an actor by the name that it was given. */
  getSchedule<Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    id: string,
    options?: { readonly tenant?: string },
  ): Schedule<Output, Raised>;
  /** The execution of an actor by the name that it was started with. */
  get<Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    id: string,
    options?: { readonly tenant?: string },
  ): Run<Output, Raised>;
  /**
   * Sends the signal that a token is for, which `ctx.token` gave; the token is all that it takes.
   * Repeated, it changes nothing.
   */
  complete(token: string, payload?: unknown): Promise<SentSignal>;
  /** Executions, newest first, a page at a time; workers keep the list, and `asOf` says up to when. */
  list(query?: ListQuery): Promise<ListedPage>;
  /** The workers of the namespace that are alive. */
  workers(): Promise<ReadonlyArray<Session>>;
  /** Closes the connection; the embedded server ends with its last user. */
  close(): Promise<void>;
}

/**
 * Connects to the servers or the embedded store named in the options, or else to the servers in
 * `NATS_URL`, or else to the embedded server, which is started if it does not run yet. A process lives for as long as a connection is open, so it
 * is opened with `await using`, or closed in the end; that closes its workers as well.
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
  const tenant = await Effect.runPromise(Effect.gen(function* () {
    yield* checkOptions("connect", options, connectOptionNames);
    yield* checkOptions("connect.embedded", options.embedded, embeddedNames);
    return yield* parse(Tenant, "tenant", options.tenant ?? "default");
  }));
  const runtime = makeRuntime(layer(options));
  const workers = new Serving<Worker>();
  let leave: Effect.Effect<void> = Effect.void;
  const close = async () => {
    workers.stop();
    await Effect.runPromise(leave);
    await workers.close();
    await runtime.dispose();
  };

  const startWorker = async (
    [actors, options = {}]: Parameters<Weir["worker"]>,
    onClosed: () => void,
  ): Promise<Worker> => {
    const scope = Scope.makeUnsafe();
    const started = await runtime.runPromise(
      makeWorker(actors, options).pipe(
        Scope.provide(scope),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      ),
    );
    const closed = opened(started.identity);
    let closing: Promise<void> | undefined;
    const close = () =>
      closing ??= runtime.runPromise(Scope.close(scope, Exit.void)).then(() => {
        closed();
        onClosed();
      });
    return { identity: started.identity, close, [Symbol.asyncDispose]: close };
  };

  const worker: Weir["worker"] = (...asked) =>
    workers.start((onClosed) => startWorker(asked, onClosed));

  try {
    const connection = Context.get(await runtime.context(), Connection);
    const { server } = connection;
    leave = connection.leave;
    return {
      server: options.principal === undefined ? server : undefined,
      ...actingOn(runtime, { tenant, ...makeVerbs(runtime, tenant), worker }, options.principal),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};
