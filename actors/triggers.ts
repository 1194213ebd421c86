/**
 * Triggers and events for callers: when something happens, something is done. Everything is checked
 * here that could not be done later; what happened already is looked for once, so that it makes no
 * difference whether a trigger or what it waits for comes first. Who keeps them does the rest.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { Principal } from "../schema/access_names.ts";
import { budgetRecord } from "../schema/budget_record.ts";
import { InvalidInput, PayloadTooLarge } from "../schema/errors.ts";
import {
  ActorName,
  ExecutionId,
  executionIdentity,
  isForeign,
  parse,
  shown as textOf,
  Tenant,
  Timestamp,
} from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import type { RunState } from "../schema/run_state.ts";
import {
  EmittedId,
  EventKey,
  type OutcomeType,
  type Then,
  TriggerId,
  When,
} from "../schema/trigger.ts";
import { NobodyKeepsTriggers, TriggerNotFound } from "../schema/trigger_errors.ts";
import { type Happening, type TriggerRecord, triggerRecord } from "../schema/trigger_record.ts";
import type { Failure } from "../schema/failure.ts";
import { budgetAddress } from "../streams/budgets/places.ts";
import { Log } from "../streams/log.ts";
import { Mailboxes } from "../streams/mailbox.ts";
import { ServerClock } from "../streams/server_clock.ts";
import { executionAddress } from "../streams/subjects.ts";
import * as Streams from "../streams/triggers.ts";
import { checkJson } from "./engine/to_json.ts";
import * as Post from "./engine/post.ts";
import { Executions } from "./executions.ts";
import { checkPayload, checkSignal } from "./executions/signals.ts";
import type { SignalDefinition } from "./signal.ts";
import { type AnySchema, check } from "./standard_schema.ts";
import { submitOptionsOf, type TriggerSubmitOptions } from "./trigger_options.ts";
import { isAbove, levelOf } from "./work/trigger/budget_level.ts";
import { cancelled, cancelledBriefly } from "./work/trigger/decide.ts";
import { makeStates } from "./work/trigger/states.ts";

/** An execution, by its id or by what knows its id. */
export type ByExecution = string | { readonly id: string };
/** An actor, by its name or by itself. */
export type ByActor = string | {
  readonly name: string;
  readonly input?: AnySchema<unknown> | undefined;
};

/** What a trigger waits for. */
export type TriggerWhen =
  /** An execution has ended, or any of an actor has; however, if no outcome is named. */
  | {
    readonly completed: ByExecution | { readonly actor: ByActor };
    readonly outcome?: OutcomeType;
  }
  /** An execution has come into a state. */
  | { readonly state: ByExecution; readonly is: RunState }
  /** Usage of a dimension of a budget has come to so much of its limit, from below. */
  | { readonly budget: string; readonly dimension: string; readonly percent: number }
  /** Somebody has emitted an event. */
  // deno-lint-ignore no-explicit-any -- each has a payload of its own
  | { readonly event: string | SignalDefinition<any> };

/** What a trigger does. */
export type TriggerThen =
  /** Has an execution that waits for its time, or to be tried again, wait no longer. */
  | { readonly promote: ByExecution }
  /** Sends a signal; what has happened is its payload, if that is left out. */
  | {
    readonly signal: ByExecution;
    // deno-lint-ignore no-explicit-any -- each has a payload of its own
    readonly name: string | SignalDefinition<any>;
    readonly payload?: unknown;
  }
  /** Submits a task; what has happened is its input, if that is left out. */
  | {
    readonly submit: ByActor;
    readonly input?: unknown;
    readonly options?: TriggerSubmitOptions;
  };

interface OfTenant {
  readonly tenant?: string;
}

export interface CreateTriggerOptions extends OfTenant {
  /** Its name within the tenant; drawn at random, if left out. */
  readonly id?: string;
  readonly when: TriggerWhen;
  readonly then: TriggerThen;
  /** Whether it fires each time; once, if left out. */
  readonly standing?: boolean;
  /** Who creates it, if that is done for somebody. */
  readonly by?: string;
  /** Create it even if no worker has ever kept triggers; it waits for the first that does. */
  readonly unserved?: boolean;
}

const emitOptionNames: OptionNames<EmitOptions> = { tenant: true, id: true, execution: true };

const createOptionNames: OptionNames<CreateTriggerOptions> = {
  tenant: true,
  id: true,
  when: true,
  then: true,
  standing: true,
  by: true,
  unserved: true,
};

/** What a trigger has fired for. */
export interface TriggerFiring {
  /** Where in its shard's log that stands. */
  readonly shard: number;
  readonly sequence: number;
  readonly at: number;
  readonly what?: unknown;
  /** Why nothing could be done. */
  readonly failure?: Failure;
}

/** A trigger as it stands. */
export interface TriggerDescription {
  readonly id: string;
  readonly tenant: string;
  readonly when: When;
  readonly then: Record<string, unknown>;
  readonly standing: boolean;
  /** `over` if it was to fire once and has. */
  readonly state: TriggerRecord["state"];
  /** How often it has fired. */
  readonly fired: number;
  /** What it has fired for last, and done. */
  readonly last?: TriggerFiring;
  /** What it has fired for, and is about to do. */
  readonly acting?: TriggerFiring;
  /** What it did not fire for, since too many triggers had led to it. */
  readonly refused?: TriggerFiring;
  readonly createdAt: number;
  readonly endedAt?: number;
  readonly by?: string;
}

export interface TriggerVerbs {
  /** Creates a trigger, unless there is one of that id: then that one is given. */
  create(
    options: CreateTriggerOptions,
  ): Promise<TriggerDescription & { readonly created: boolean }>;
  /** The triggers of the tenant, the ended ones for seven days. */
  list(options?: OfTenant): Promise<ReadonlyArray<TriggerDescription>>;
  describe(id: string, options?: OfTenant): Promise<TriggerDescription>;
  /** Ends a trigger; one that has ended stays as it is. What it fired for before is done. */
  cancel(id: string, options?: OfTenant & { readonly by?: string }): Promise<TriggerDescription>;
}

export interface EmitOptions extends OfTenant {
  /** Makes an event that is emitted again harmless, for seven days. */
  readonly id?: string;
  /** The execution whose code emits it, so that triggers that lead to each other are seen. */
  readonly execution?: ByExecution;
}

export interface EmittedEvent {
  /** Where in the log of its shard it stands. */
  readonly sequence: number;
  /** Whether this call emitted it; otherwise it was there before. */
  readonly emitted: boolean;
}

/** Emits an event, for the triggers that wait for it; durable when it resolves. */
export type Emit = <A>(
  event: string | SignalDefinition<A>,
  payload?: NoInfer<A>,
  options?: EmitOptions,
) => Promise<EmittedEvent>;

const idIn = (of: unknown): unknown =>
  typeof of === "object" && of !== null && "id" in of ? of.id : of;
const nameIn = (of: unknown): unknown =>
  typeof of === "object" && of !== null && "name" in of ? of.name : of;

const refuse = (what: string, value: unknown, rule: string) =>
  new InvalidInput({ what, value: textOf(value), rule });

const decodeWhen = Schema.decodeUnknownResult(When);

/** The names of the engine's own signals and executions are not for triggers. */
const checkExecution = Effect.fnUntraced(function* (what: string, given: unknown) {
  const execution = yield* parse(ExecutionId, what, idIn(given));
  const { actor } = executionIdentity(execution);
  if (actor !== undefined && isForeign(actor)) return execution;
  return yield* refuse(what, execution, "expected the id of an execution, like order/o-1");
});

const whenOf = Effect.fnUntraced(function* (given: TriggerWhen) {
  const fields: Record<string, unknown> = { ...given };
  if ("completed" in fields) {
    const { completed } = given as { readonly completed: unknown };
    const ofActor = typeof completed === "object" && completed !== null && "actor" in completed;
    fields["completed"] = ofActor ? { actor: nameIn(completed.actor) } : idIn(completed);
  }
  if ("state" in fields) fields["state"] = idIn(fields["state"]);
  if ("event" in fields) fields["event"] = nameIn(fields["event"]);
  const decoded = decodeWhen(fields, { onExcessProperty: "error" });
  if (Result.isFailure(decoded)) {
    const why = decoded.failure.message.replace(/\s+/g, " ");
    return yield* refuse("when", given, `expected what a trigger waits for (${why})`);
  }
  const when = decoded.success;
  if ("completed" in when && typeof when.completed === "string") {
    yield* checkExecution("when.completed", when.completed);
  }
  if ("state" in when) yield* checkExecution("when.state", when.state);
  return when;
});

const onlyHas = (given: object, names: ReadonlyArray<string>) => {
  const other = Object.keys(given).find((name) => !names.includes(name));
  return other === undefined
    ? Effect.void
    : Effect.fail(refuse("then", given, `expected ${names.join(", ")} and not ${other}`));
};

const thenOf = Effect.fnUntraced(function* (
  given: TriggerThen,
  tenant: Tenant,
  { standing, unserved }: { readonly standing: boolean; readonly unserved: boolean },
) {
  if (typeof given !== "object" || given === null) {
    return yield* refuse("then", given, "expected what the trigger does");
  }
  if ("promote" in given) {
    yield* onlyHas(given, ["promote"]);
    return { promote: yield* checkExecution("then.promote", given.promote) } satisfies Then;
  }
  if ("signal" in given) {
    yield* onlyHas(given, ["signal", "name", "payload"]);
    const name = yield* parse(Schema.NonEmptyString, "signal name", nameIn(given.name));
    const { payload } = given;
    const schema = typeof given.name === "string" ? undefined : given.name.payload;
    const what = `the payload of ${name}`;
    const checked = payload === undefined || schema === undefined
      ? payload
      : yield* check(schema, what, payload);
    const value = yield* checkSignal(name, yield* checkJson(what, checked));
    return {
      signal: yield* checkExecution("then.signal", given.signal),
      name,
      ...(value === undefined ? {} : { payload: value }),
    } satisfies Then;
  }
  if (!("submit" in given)) {
    return yield* refuse("then", given, "expected promote, signal or submit");
  }
  yield* onlyHas(given, ["submit", "input", "options"]);
  const submit = yield* parse(ActorName, "actor name", nameIn(given.submit));
  const { id, ...options } = yield* submitOptionsOf(given.options);
  if (id !== undefined && standing) {
    return yield* refuse("id", id, "a standing trigger submits a task of its own each time");
  }
  const what = `the input of ${submit}`;
  const schema = typeof given.submit === "string" ? undefined : given.submit.input;
  const checked = given.input === undefined || schema === undefined
    ? given.input
    : yield* check(schema, what, given.input);
  const input = yield* checkJson(what, checked);
  const start = yield* (yield* Executions).prepare(submit, tenant, input, {
    ...options,
    // Each is called after what it was submitted for, which takes its room.
    id: id ?? "x".repeat(130),
    unserved,
  });
  return {
    submit,
    ...(id === undefined ? {} : { id }),
    start: { ...start, seed: "" },
  } satisfies Then;
});

const tailOf = (shard: number) =>
  Effect.map(Effect.flatMap(Log, (log) => log.tail(shard)), ({ sequence }) => sequence);

/** Behind what something counts that a trigger waits for: behind what is there, or just before it. */
const seenBy = Effect.fnUntraced(function* (tenant: Tenant, when: When) {
  const log = yield* Log;
  const { layout } = log;
  if ("state" in when) {
    const states = makeStates(log, tenant, when.state);
    const { entered, through } = yield* states.read();
    const last = entered.at(-1);
    const seen = last?.state === when.is ? last.sequence - 1 : through;
    return { seen: { [states.address.shard]: seen } };
  }
  if ("completed" in when && typeof when.completed === "string") {
    const address = executionAddress(layout, tenant, when.completed);
    const through = yield* tailOf(address.shard);
    const last = yield* log.lastSequences(address, ["done", "log"]);
    const done = last.get("done") ?? 0;
    const seen = done > (last.get("log") ?? 0) ? Math.min(done - 1, through) : through;
    return { seen: { [address.shard]: seen } };
  }
  if ("budget" in when) {
    const address = budgetAddress(layout, tenant, when.budget);
    const seen = { [address.shard]: yield* tailOf(address.shard) };
    const last = Option.getOrUndefined(yield* log.last(address, "budget"));
    const record = last === undefined || last.removed
      ? undefined
      : yield* budgetRecord.decode(last.body, last);
    return { seen, above: isAbove(levelOf(record, when), when) };
  }
  const shards = Array.from({ length: layout.shards }, (_, shard) => shard);
  const tails = yield* Effect.forEach(
    shards,
    (shard) => Effect.map(tailOf(shard), (tail) => [shard, tail] as const),
    { concurrency: "unbounded" },
  );
  return { seen: Object.fromEntries(tails) };
});

const firing = (
  { shard, sequence, at, what }: Happening,
  failure?: Failure,
): TriggerFiring => ({
  shard,
  sequence,
  at,
  ...(what === undefined ? {} : { what }),
  ...(failure === undefined ? {} : { failure }),
});

const shownThen = (then: Then): Record<string, unknown> => {
  if (!("submit" in then)) return { ...then };
  const { submit, id, start: { kind: _, seed: __, ...start } } = then;
  return { submit, ...(id === undefined ? {} : { id }), ...start };
};

const shown = (record: TriggerRecord): TriggerDescription => {
  const { id, tenant, when, then, standing, state, fired, last, pending, change } = record;
  return {
    id,
    tenant,
    when,
    then: shownThen(then),
    standing,
    state,
    fired,
    ...(last === undefined ? {} : { last: firing(last.by, last.failure) }),
    ...(pending === undefined ? {} : { acting: firing(pending) }),
    ...(change.type === "refused" ? { refused: firing(change.by) } : {}),
    createdAt: record.createdAt,
    ...(record.endedAt === undefined ? {} : { endedAt: record.endedAt }),
    ...(record.by === undefined ? {} : { by: record.by }),
  };
};

/** What becomes of a trigger has to fit: three events at their limit, a failure, and who cancels it. */
const firingBytes = 200 * 1024;

const served = Effect.fnUntraced(function* (id: TriggerId) {
  const { isServed } = yield* Mailboxes;
  if (yield* isServed(Streams.triggersActor as ActorName)) return;
  return yield* new NobodyKeepsTriggers({ trigger: id });
});

export const create = Effect.fnUntraced(function* (
  tenant: Tenant,
  options: Omit<CreateTriggerOptions, "tenant">,
) {
  yield* checkOptions("a trigger", options, createOptionNames);
  const { standing = false, unserved = false } = options;
  const id = yield* parse(TriggerId, "trigger id", options.id ?? randomUUID());
  const when = yield* whenOf(options.when);
  const then = yield* thenOf(options.then, tenant, { standing, unserved });
  const by = options.by === undefined ? {} : {
    by: yield* parse(Principal, "principal", options.by),
  };
  if (!unserved) yield* served(id);
  const log = yield* Log;
  const triggers = Streams.make(log);
  const known = (yield* triggers.held(tenant, id)).value;
  if (known !== undefined) return { ...shown(known), created: false };
  yield* Post.make(log).start(triggers.keeperOf(tenant), { kind: "start", seed: tenant });
  const createdAt = Timestamp.make(Math.floor(yield* (yield* ServerClock).now));
  const record: TriggerRecord = {
    kind: "trigger",
    tenant,
    id,
    when,
    then,
    standing,
    change: { type: "created" },
    state: "active",
    ...(yield* seenBy(tenant, when)),
    fired: 0,
    createdAt,
    ...by,
  };
  const sizeBytes = triggerRecord.encode(record).length;
  const limitBytes = log.maxMessageBytes - Math.min(firingBytes, log.maxMessageBytes >> 1);
  if (sizeBytes > limitBytes) {
    return yield* new PayloadTooLarge({ sizeBytes, limitBytes, isFixed: true });
  }
  return yield* triggers.revise(tenant, id, ({ value }) =>
    Effect.succeed(
      value === undefined
        ? { result: { ...shown(record), created: true }, next: record }
        : { result: { ...shown(value), created: false } },
    ));
});

export const list = Effect.fnUntraced(function* (tenant: Tenant) {
  const { records } = yield* Streams.make(yield* Log).read(tenant);
  return records.map(shown).sort((a, b) => a.id < b.id ? -1 : 1);
});

export const describe = Effect.fnUntraced(function* (tenant: Tenant, text: string) {
  const id = yield* parse(TriggerId, "trigger id", text);
  const { value } = yield* Streams.make(yield* Log).held(tenant, id);
  return value === undefined ? yield* new TriggerNotFound({ trigger: id }) : shown(value);
});

export const cancel = Effect.fnUntraced(function* (tenant: Tenant, text: string, given?: string) {
  const id = yield* parse(TriggerId, "trigger id", text);
  const by = given === undefined ? undefined : yield* parse(Principal, "principal", given);
  const now = Timestamp.make(Math.floor(yield* (yield* ServerClock).now));
  const triggers = Streams.make(yield* Log);
  const revise = (change: (value: TriggerRecord) => TriggerRecord | undefined) =>
    triggers.revise(tenant, id, ({ value }) => {
      const next = value === undefined ? undefined : change(value);
      return Effect.succeed(next === undefined ? { result: value } : { result: next, next });
    });
  const record = yield* Effect.catchTag(
    revise((value) => cancelled(value, now, by)),
    "PayloadTooLarge",
    () => revise((value) => cancelledBriefly(value, now)),
  );
  return record === undefined ? yield* new TriggerNotFound({ trigger: id }) : shown(record);
});

export const emit = Effect.fnUntraced(function* (
  tenant: Tenant,
  // deno-lint-ignore no-explicit-any -- each has a payload of its own
  event: string | SignalDefinition<any>,
  given?: unknown,
  options: EmitOptions = {},
) {
  yield* checkOptions("emit", options, emitOptionNames);
  const { id, execution } = options;
  const key = yield* parse(EventKey, "event", nameIn(event));
  const what = `the payload of ${key}`;
  const schema = typeof event === "string" ? undefined : event.payload;
  const checked = schema === undefined ? given : yield* check(schema, what, given);
  const payload = yield* checkPayload(yield* checkJson(what, checked));
  return yield* Streams.make(yield* Log).emit(tenant, {
    kind: "emitted",
    key,
    ...(payload === undefined ? {} : { payload }),
    ...(id === undefined ? {} : { id: yield* parse(EmittedId, "event id", id) }),
    ...(execution === undefined
      ? {}
      : { execution: yield* parse(ExecutionId, "execution id", idIn(execution)) }),
  });
});

export const makeTriggers = (
  runtime: ManagedRuntime.ManagedRuntime<Executions | Log | Mailboxes | ServerClock, unknown>,
  defaultTenant: Tenant,
): { readonly triggers: TriggerVerbs; readonly emit: Emit } => {
  const tenantOf = (tenant: string | undefined) =>
    tenant === undefined ? Effect.succeed(defaultTenant) : parse(Tenant, "tenant", tenant);
  const use = <A, E, R extends Executions | Log | Mailboxes | ServerClock>(
    { tenant }: OfTenant,
    verb: (tenant: Tenant) => Effect.Effect<A, E, R>,
  ): Promise<A> => runtime.runPromise(Effect.flatMap(tenantOf(tenant), verb));

  return {
    triggers: {
      create: (options) => use(options, (tenant) => create(tenant, options)),
      list: (options = {}) => use(options, list),
      describe: (id, options = {}) => use(options, (tenant) => describe(tenant, id)),
      cancel: (id, options = {}) => use(options, (tenant) => cancel(tenant, id, options.by)),
    },
    emit: (event, payload, options = {}) =>
      use(options, (tenant) => emit(tenant, event, payload, options)),
  };
};
