/**
 * What anybody may ask of executions: start them, signal, stop and watch them. Every verb is one
 * message to a mailbox, or a read; the owner, wherever it is, does the rest. What cannot be accepted
 * is refused here, before it reaches the log.
 */
import { createHash, randomUUID } from "node:crypto";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { InvalidInput, type LeaseNotHeld } from "../schema/errors.ts";
import {
  ExecutionCancelled,
  ExecutionEnded,
  ExecutionExpired,
  ExecutionFailed,
  ExecutionNotEnded,
  ExecutionNotFound,
  RetryLimitExceeded,
  SignalLimitExceeded,
  UnknownActor,
} from "../schema/execution_errors.ts";
import type { ExecutionState as Shown } from "../schema/execution_state.ts";
import {
  type ActorName,
  ExecutionId,
  executionIdentity,
  executionText,
  type Lane,
  parse,
  SignalId,
  type Tenant,
  Timestamp,
} from "../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../schema/journal_record.ts";
import { Json } from "../schema/json.ts";
import type { MailRecord, StartRecord } from "../schema/mail_record.ts";
import type { OutcomeRecord } from "../schema/outcome_record.ts";
import { Requires, routeOf } from "../schema/route.ts";
import type { SignalEffect } from "../schema/signal_delivery.ts";
import type { ExecutionStatus } from "../streams/execution_index/status.ts";
import { after, beforeStart, type Counted } from "../streams/journal.ts";
import { Leases, type LeaseState } from "../streams/lease.ts";
import { type AppendError, Log, type ReadError } from "../streams/log.ts";
import { Mailboxes } from "../streams/mailbox.ts";
import { ServerClock } from "../streams/server_clock.ts";
import { type Address, executionFilter } from "../streams/subjects.ts";
import { because, publicStatus, type Reason, shown } from "./core/describe.ts";
import { defaultLimits } from "./core/decide.ts";
import { takeUpRest } from "./core/take_up.ts";
import * as Completions from "./engine/completions.ts";
import { readAll, unread } from "./engine/history.ts";
import * as Post from "./engine/post.ts";
import { Tags } from "./tags.ts";
import { traced } from "./traced.ts";

type Json = Schema.Json;

/** An execution of a tenant. */
export interface Named {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  /** The sequence of its start, if that is known. */
  readonly life?: number;
}

export interface StartOptions {
  /** The name of the execution within its actor; drawn at random, if left out. */
  readonly id?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly lane?: Lane;
  /** What a worker must be capable of to take it up. */
  readonly requires?: ReadonlyArray<string>;
  readonly priority?: number;
  readonly delay?: Duration.Input;
  /** How long it may take in all, the delay included. */
  readonly deadline?: Duration.Input;
  /** Signals that are in its mailbox from the beginning; they are sent also if it exists already. */
  readonly signals?: ReadonlyArray<InitialSignal>;
  /** Start it even if no worker has ever served its actor; it waits for the first that does. */
  readonly unserved?: boolean;
}

export interface InitialSignal extends SignalOptions {
  readonly name: string;
  readonly payload?: unknown;
}

/** An execution that was asked for. */
export interface StartedExecution extends Named {
  /** Whether this call created it; otherwise it was there before. */
  readonly created: boolean;
  readonly life: number;
}

export interface SignalOptions {
  /** Makes a repeated signal harmless for as long as the execution is kept. */
  readonly key?: string;
  /** Who sends it. */
  readonly source?: string;
}

/** A signal on its way. */
export interface SentSignal {
  readonly signalId: SignalId;
  /** What became of it, as soon as the execution's owner has taken it up. */
  readonly effect: Effect.Effect<SignalEffect, ReadError>;
}

/** An execution as it stands. */
export interface Description extends Omit<Shown, "status"> {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly life: number;
  readonly status: ExecutionStatus;
  /** What keeps it from going on, and the same for a person. */
  readonly reason: Reason;
  readonly why: string;
  readonly owner?: string;
  readonly leaseExpiresAt?: number;
  readonly lane?: string;
  readonly requires?: ReadonlyArray<string>;
  readonly deadline?: number;
}

/** One record of an execution, as the log has it. */
export interface HistoryEntry {
  readonly sequence: number;
  readonly at: number;
  readonly record: MailRecord | JournalRecord;
}

export type NotThere = InvalidInput | ExecutionNotFound | ReadError;
/** What a verb that sends mail may fail with. */
export type SendError = NotThere | ExecutionEnded | AppendError;

export class Executions extends Context.Service<Executions, {
  /** Starts an execution, unless there is one of that name. */
  readonly start: (
    actor: ActorName,
    tenant: Tenant,
    input: unknown,
    options?: StartOptions,
  ) => Effect.Effect<StartedExecution, SendError | SignalLimitExceeded | UnknownActor>;
  /** Waits for the result; behind a sequence, if an earlier end does not count. */
  readonly result: (
    of: Named,
    options?: { readonly behind?: number },
  ) => Effect.Effect<
    Json | undefined,
    NotThere | ExecutionFailed | ExecutionCancelled | ExecutionExpired
  >;
  readonly signal: (
    to: Named,
    name: string,
    payload: unknown,
    options?: SignalOptions,
  ) => Effect.Effect<SentSignal, SendError | SignalLimitExceeded>;
  /** Asks an execution to stop; with `force` it ends whatever its code does. */
  readonly cancel: (
    of: Named,
    options?: { readonly reason?: string; readonly force?: boolean },
  ) => Effect.Effect<void, SendError>;
  readonly pause: (
    of: Named,
    options?: { readonly reason?: string },
  ) => Effect.Effect<void, SendError>;
  readonly resume: (of: Named) => Effect.Effect<void, SendError>;
  /** Runs a finished execution again, and gives the sequence behind which its next end counts. */
  readonly retry: (
    of: Named,
    options?: { readonly from?: "failure" | "start" },
  ) => Effect.Effect<number, NotThere | ExecutionNotEnded | RetryLimitExceeded | AppendError>;
  /** Takes the execution from its present owner. */
  readonly revokeLease: (
    of: Named,
    options?: { readonly reason?: string },
  ) => Effect.Effect<void, NotThere | LeaseNotHeld | AppendError>;
  readonly describe: (of: Named) => Effect.Effect<Description, NotThere>;
  readonly history: (of: Named) => Stream.Stream<HistoryEntry, NotThere>;
}>()("@weir/weir/actors/Executions") {}

const SignalName = Schema.String.check(
  Schema.isMinLength(1),
  Schema.isMaxLength(128),
);
const Priority = Schema.Int.check(Schema.isBetween({ minimum: -1_000, maximum: 1_000 }));
const signalLimitBytes = 64 * 1024;

const utf8 = new TextEncoder();

/** What becomes of a signal that its execution did not live to take up. */
const endedBefore: SignalEffect = { type: "other", raw: "execution_ended" };

const positive = (what: string, input: Duration.Input | undefined) => {
  if (input === undefined) return Effect.undefined;
  const duration = Option.map(Duration.fromInput(input), Duration.toMillis);
  return Option.isSome(duration) && duration.value >= 0 && Number.isFinite(duration.value)
    ? Effect.succeed(duration.value)
    : Effect.fail(
      new InvalidInput({ what, value: String(input), rule: "expected a duration, like 5 minutes" }),
    );
};

const make = Effect.gen(function* () {
  const log = yield* Log;
  const leases = yield* Leases;
  const mailboxes = yield* Mailboxes;
  const clock = yield* ServerClock;
  const completions = yield* Completions.make(log);
  const post = Post.make(log);

  const addressOf = ({ execution, tenant }: Named) => post.addressOf(execution, tenant);

  const jsonOf = (what: string, value: unknown) =>
    value === undefined ? Effect.undefined : parse(Json, what, value);

  /** The start of an execution that there is. */
  const present = Effect.fnUntraced(function* (of: Named) {
    const address = addressOf(of);
    const start = yield* post.findStart(address);
    if (Option.isNone(start)) return yield* new ExecutionNotFound({ execution: of.execution });
    return { address, life: start.value.sequence, start: start.value.record };
  });

  /** The start of an execution that can still be told something. */
  const living = Effect.fnUntraced(function* (of: Named) {
    const [found, last] = yield* Effect.all([
      present(of),
      log.lastOfEach(addressOf(of), ["done", "log", "signal"]),
    ], { concurrency: "unbounded" });
    const end = yield* completions.endAmong(last, found.life);
    if (end === undefined) return { ...found, lastSignal: last.get("signal") };
    const current = yield* leases.current(found.address);
    return yield* new ExecutionEnded({
      execution: of.execution,
      outcome: end.record.outcome.type,
      attempt: end.record.attempt,
      epoch: Option.match(current, { onNone: () => 0, onSome: ({ record }) => record.epoch }),
    });
  });

  /** What every message to an execution names. */
  const meant = ({ life, start }: { readonly life: number; readonly start: StartRecord }) => ({
    life,
    ...(start.route === undefined ? {} : { route: start.route }),
  });

  /** A signal's payload as JSON, if both it and the name will do. */
  const checkSignal = Effect.fnUntraced(function* (name: string, payload: unknown) {
    yield* parse(SignalName, "signal name", name);
    const value = yield* jsonOf("payload", payload);
    const size = value === undefined ? 0 : utf8.encode(JSON.stringify(value)).length;
    if (size > signalLimitBytes) {
      return yield* new InvalidInput({
        what: "payload",
        value: `${size} bytes`,
        rule: `a signal has at most ${signalLimitBytes} bytes`,
      });
    }
    return value;
  });

  const start: Executions["Service"]["start"] = Effect.fnUntraced(
    function* (actor, tenant, input, options = {}) {
      const { id = randomUUID(), lane, requires, tags, priority } = options;
      const execution = yield* parse(ExecutionId, "execution id", executionText(actor, id));
      if (executionIdentity(execution).name !== id) {
        return yield* new InvalidInput({
          what: "execution id",
          value: id,
          rule: "it is not empty",
        });
      }
      const value = yield* jsonOf("input", input);
      const delayMs = yield* positive("delay", options.delay);
      const deadlineMs = yield* positive("deadline", options.deadline);
      const required = requires === undefined
        ? undefined
        : yield* parse(Requires, "requires", requires);
      const route = routeOf(lane, required);
      const now = delayMs === undefined && deadlineMs === undefined ? 0 : yield* clock.now;
      const record: StartRecord = {
        kind: "start",
        seed: randomUUID(),
        ...(value === undefined ? {} : { input: value }),
        ...(tags === undefined ? {} : { tags: yield* parse(Tags, "tags", tags) }),
        ...(route === undefined ? {} : { route }),
        ...(required === undefined ? {} : { requires: required }),
        ...(priority === undefined
          ? {}
          : { priority: yield* parse(Priority, "priority", priority) }),
        ...(delayMs === undefined ? {} : { notBefore: Timestamp.make(Math.ceil(now + delayMs)) }),
        ...(deadlineMs === undefined
          ? {}
          : { deadline: Timestamp.make(Math.ceil(now + deadlineMs)) }),
      };
      const signals = yield* Effect.forEach(
        options.signals ?? [],
        ({ name, payload, ...rest }) =>
          Effect.map(checkSignal(name, payload), (value) => ({
            ...signalMail(name, value, rest),
            ...(route === undefined ? {} : { route }),
          })),
      );
      if (options.unserved !== true && !(yield* mailboxes.isServed(actor))) {
        return yield* new UnknownActor({ actor });
      }
      const named = { execution, tenant };
      const { created, life } = yield* post.start(addressOf(named), record, signals);
      if (!created) {
        yield* Effect.forEach(
          options.signals ?? [],
          ({ name, payload, ...rest }) => signal(named, name, payload, rest),
          { discard: true },
        );
      }
      return { ...named, created, life };
    },
    traced("Executions.start"),
  );

  const result: Executions["Service"]["result"] = Effect.fnUntraced(
    function* (of, { behind } = {}) {
      const life = of.life ?? (yield* present(of)).life;
      const address = addressOf(of);
      const { record: { outcome } } = yield* completions.wait(
        address,
        Math.max(life, behind ?? 0),
      );
      return yield* valueOf(of.execution, outcome);
    },
    traced("Executions.result"),
  );

  const signal: Executions["Service"]["signal"] = Effect.fnUntraced(
    function* (to, name, payload, { key, source } = {}) {
      const value = yield* checkSignal(name, payload);
      const found = yield* living(to);
      const { lastSignal } = found;
      if (lastSignal !== undefined) {
        const record = yield* journalRecord.decode(lastSignal.body, lastSignal);
        const limit = defaultLimits.signals;
        if (record.kind === "signal" && record.life === found.life && record.count >= limit) {
          return yield* new SignalLimitExceeded({ execution: to.execution, limit });
        }
      }
      const record = signalMail(name, value, { key, source }, found.life);
      const id = key === undefined
        ? undefined
        : post.idOf(found.address, found.life, "signal", key);
      const { sequence } = yield* post.send(found.address, { ...record, ...meant(found) }, id);
      const { signalId } = record;
      return { signalId, effect: effectOf(found.address, sequence) };
    },
    traced("Executions.signal"),
  );

  /** What the owner says of the signal at a sequence, or its end without a word about it. */
  const effectOf = (
    address: Address,
    sequence: number,
  ): Effect.Effect<SignalEffect, ReadError> => {
    const said = log.follow(executionFilter(address, "signal"), { after: sequence }).pipe(
      Stream.mapEffect((entry) => journalRecord.decode(entry.body, entry)),
      Stream.filter((record) => record.kind === "signal" && record.sequence === sequence),
      Stream.runHead,
      Effect.flatMap((found) =>
        Option.isSome(found) && found.value.kind === "signal"
          ? Effect.succeed(found.value.effect)
          : Effect.never
      ),
    );
    const tooLate = Effect.flatMap(
      completions.wait(address, sequence),
      ({ record }) => record.mail < sequence ? Effect.succeed(endedBefore) : Effect.never,
    );
    return Effect.raceFirst(said, tooLate);
  };

  const cancel: Executions["Service"]["cancel"] = Effect.fn("Executions.cancel")(
    function* (of, { reason, force } = {}) {
      const found = yield* living(of);
      yield* post.send(found.address, {
        kind: "cancel",
        ...meant(found),
        ...(reason === undefined ? {} : { reason }),
        ...(force === undefined ? {} : { force }),
      });
    },
  );

  const pause: Executions["Service"]["pause"] = Effect.fn("Executions.pause")(
    function* (of, { reason } = {}) {
      const found = yield* living(of);
      yield* post.send(found.address, {
        kind: "pause",
        ...meant(found),
        ...(reason === undefined ? {} : { reason }),
      });
    },
  );

  const resume: Executions["Service"]["resume"] = Effect.fn("Executions.resume")(
    function* (of) {
      const found = yield* living(of);
      yield* post.send(found.address, { kind: "resume", ...meant(found) });
    },
  );

  const retry: Executions["Service"]["retry"] = Effect.fn("Executions.retry")(
    function* (of, { from = "failure" } = {}) {
      const found = yield* present(of);
      const end = yield* completions.ended(found.address, found.life);
      if (end === undefined) {
        const { status } = yield* describe(of);
        return yield* new ExecutionNotEnded({ execution: of.execution, status });
      }
      const { replays } = (yield* stateOf(of)).state;
      const limit = defaultLimits.replays;
      if (replays >= limit) {
        return yield* new RetryLimitExceeded({ execution: of.execution, limit });
      }
      const { sequence } = yield* post.send(
        found.address,
        { kind: "retry", ...meant(found), from },
        post.idOf(found.address, found.life, "retry", String(end.sequence)),
      );
      return sequence;
    },
  );

  const revokeLease: Executions["Service"]["revokeLease"] = Effect.fn("Executions.revokeLease")(
    function* (of, { reason } = {}) {
      const { address } = yield* present(of);
      yield* leases.revoke(address, {
        by: "operator",
        ...(reason === undefined ? {} : { reason }),
      });
    },
  );

  const stateOf = Effect.fnUntraced(function* (of: Named) {
    const entries = yield* Stream.runCollect(log.read(executionFilter(addressOf(of))));
    const state = takeUpRest((yield* readAll(unread, entries)).state);
    if (state.start === undefined) {
      return yield* new ExecutionNotFound({ execution: of.execution });
    }
    return { state, start: state.start };
  });

  const describe: Executions["Service"]["describe"] = Effect.fn("Executions.describe")(
    function* (of) {
      // In this order: whoever let it go had recorded all that is read behind.
      const lease = Option.getOrUndefined(yield* leases.current(addressOf(of)));
      const { state, start } = yield* stateOf(of);
      const now = yield* clock.now;
      const isOwned = state.done === undefined && lease?.held === true;
      const status = publicStatus(state, isOwned, now);
      const view = shown(state);
      const { route, requires, deadline } = start.record;
      const lane = route?.slice(route.indexOf("@") + 1);
      return {
        ...view,
        ...numbersOf(view, isOwned ? lease : undefined),
        execution: of.execution,
        tenant: of.tenant,
        life: state.life,
        status,
        ...because(status, view),
        ...(lane === undefined || lane === "" ? {} : { lane }),
        ...(requires === undefined ? {} : { requires }),
        ...(deadline === undefined ? {} : { deadline }),
      };
    },
  );

  const history: Executions["Service"]["history"] = (of) =>
    Stream.unwrap(Effect.map(present(of), ({ address }) =>
      log.read(executionFilter(address)).pipe(
        Stream.mapAccumEffect(() => beforeStart, (position, entry) =>
          Effect.map(after(position, entry), (step) =>
            [
              step.position,
              [{ sequence: entry.sequence, at: entry.at, counted: step.counted }],
            ] as const)),
        Stream.filter((step): step is typeof step & { readonly counted: Counted } =>
          step.counted !== undefined
        ),
        Stream.map(({ sequence, at, counted }) => ({ sequence, at, record: counted.record })),
      )));

  return Executions.of({
    start,
    result,
    signal,
    cancel,
    pause,
    resume,
    retry,
    revokeLease,
    describe,
    history,
  });
});

const signalMail = (
  name: string,
  payload: Json | undefined,
  { key, source }: { readonly key?: string | undefined; readonly source?: string | undefined },
  life = 0,
) => ({
  kind: "signal" as const,
  signalId: SignalId.make(
    key === undefined
      ? randomUUID()
      : createHash("sha256").update(`${life}\n${key}`).digest("hex").slice(0, 32),
  ),
  name,
  ...(payload === undefined ? {} : { payload }),
  ...(key === undefined ? {} : { key }),
  ...(source === undefined ? {} : { source }),
});

/** The attempt and epoch of whoever owns it now, which its records may not say yet. */
const numbersOf = ({ attempt, epoch }: Shown, lease: LeaseState | undefined) => ({
  attempt: Math.max(attempt, lease?.record.attempt ?? 0),
  epoch: Math.max(epoch, lease?.record.epoch ?? 0),
  ...(lease === undefined
    ? {}
    : { owner: lease.record.workerInstanceId, leaseExpiresAt: lease.expiresAt }),
});

const valueOf = (execution: ExecutionId, outcome: OutcomeRecord) => {
  switch (outcome.type) {
    case "success":
      return Effect.succeed(outcome.value);
    case "failure":
      return Effect.fail(new ExecutionFailed({ execution, failure: outcome.failure }));
    case "cancelled": {
      const { reason } = outcome;
      return Effect.fail(
        new ExecutionCancelled({ execution, ...(reason === undefined ? {} : { reason }) }),
      );
    }
    case "expired":
    case "skipped":
      return Effect.fail(new ExecutionExpired({ execution, outcome: outcome.type }));
  }
};

/** The verbs on a log. */
export const layer: Layer.Layer<Executions, never, Log | Leases | Mailboxes | ServerClock> = Layer
  .effect(
    Executions,
    make,
  );
