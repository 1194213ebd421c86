/**
 * Where one test of the engine plays: actors of names that no other test has, the workers that run
 * them, and the executions that it began. When it is over, each of these must be told alike by
 * `describe` and by its events alone, and have a way out or have ended.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { it } from "node:test";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { type Actor, actor, type ActorContext, codeOf } from "../../../actors/actor.ts";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import * as Worker from "../../../actors/engine/worker.ts";
import { Executions, type Named, type StartOptions } from "../../../actors/executions.ts";
import type { Steering } from "../../../actors/executions/steering.ts";
import { neverStuck } from "../../../actors/never_stuck.ts";
import { executionStateOf } from "../../../schema/execution_state.ts";
import {
  ActorName,
  type ExecutionId,
  executionIdentity,
  type Tenant,
} from "../../../schema/ids.ts";
import type { JournalRecord } from "../../../schema/journal_record.ts";
import type { Budgets } from "../../../streams/budgets.ts";
import { EventStore } from "../../../streams/event_store.ts";
import type { EngineControl } from "../../../streams/engine_control.ts";
import type { ExecutionIndex } from "../../../streams/execution_index.ts";
import type { HandOver } from "../../../streams/hand_over.ts";
import type { Leases } from "../../../streams/lease.ts";
import type { Log } from "../../../streams/log.ts";
import type { Mailboxes } from "../../../streams/mailbox.ts";
import * as schema from "../../../schema/mod.ts";
import type { Requests } from "../../../streams/requests.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import type { Sessions } from "../../../streams/session.ts";
import { judgeOfWork } from "../../public/told_work.ts";
import { type Run, tenant, uniqueWorker } from "../subject_matter.ts";

const problemOfWork = judgeOfWork(schema);

export type Services =
  | Budgets
  | EngineControl
  | EventStore
  | ExecutionIndex
  | Executions
  | Steering
  | HandOver
  | Leases
  | Log
  | Mailboxes
  | Requests
  | ServerClock
  | Sessions;

// deno-lint-ignore no-explicit-any -- an actor's types are its own business here
export type AnyActor = Actor<any, any>;

export interface StageWorker extends Worker.Worker {
  /** Drains it. */
  readonly leave: Effect.Effect<void>;
}

export interface WorkOptions extends Partial<Omit<Worker.WorkerOptions, "actors">> {
  /** Actors that are Effects. */
  readonly codes?: ReadonlyArray<ActorCode>;
}

/** So little that every wait is a suspension, and every result of one a replay. */
export const atOnce: Duration.Input = "1 millis";

/** Something that a promise waits for until the test lets it go on. */
export interface Gate {
  readonly passed: Promise<void>;
  readonly open: () => void;
}

export const gate = (): Gate => {
  let open = () => {};
  const passed = new Promise<void>((resolve) => open = resolve);
  return { passed, open };
};

/** Repeats a look until it finds; the test fails at the deadline. */
export const until = <A, E, R>(
  what: string,
  look: Effect.Effect<A | undefined | false, E, R>,
): Effect.Effect<A, E, R> =>
  look.pipe(
    Effect.repeat({
      until: (found): found is A => found !== undefined && found !== false,
      schedule: Schedule.spaced("5 millis"),
    }),
    Effect.timeoutOrElse({
      duration: "30 seconds",
      orElse: () => Effect.die(new Error(`not in time: ${what}`)),
    }),
  ) as Effect.Effect<A, E, R>;

export const untilTrue = (what: string, look: () => boolean): Effect.Effect<unknown> =>
  until(what, Effect.sync(look));

/** How an execution ended, within reasonable time. */
export const resultOf = (of: Named, behind?: number) =>
  Effect.flatMap(
    Executions,
    (executions) => executions.result(of, behind === undefined ? {} : { behind }),
  ).pipe(
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () =>
        Effect.flatMap(describe(of), (found) =>
          Effect.die(new Error(`no end in time: ${JSON.stringify(found)}`))),
    }),
  );

/** The error that it ended with. */
export const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, A, R> =>
  Effect.flip(effect);

/** Uses a verb. */
export const verb = <A, E>(use: (executions: Executions["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Executions, use);

export const describe = (of: Named) => verb((executions) => executions.describe(of));

type Description = Effect.Success<ReturnType<typeof describe>>;

export const untilStatus = (of: Named, ...statuses: ReadonlyArray<Description["status"]>) =>
  until(
    `${of.execution} is ${statuses.join(" or ")}`,
    Effect.map(describe(of), (found) => statuses.includes(found.status) ? found : undefined),
  );

export const signal = (to: Named, name: string, payload?: unknown, key?: string) =>
  Effect.flatMap(
    Executions,
    (executions) => executions.signal(to, name, payload, key === undefined ? {} : { key }),
  );

/** Sends a signal as soon as it is awaited by somebody who is not in memory. */
export const wake = (of: Named, name: string) =>
  until(
    `${of.execution} is suspended until ${name}`,
    Effect.map(
      describe(of),
      ({ status, waitingFor }) =>
        status === "suspended" &&
        waitingFor.some((awaited) => awaited.kind === "wait" && awaited.signal === name),
    ),
  ).pipe(Effect.andThen(signal(of, name)));

/** Every record of an execution, without its place in the log. */
export const historyOf = (of: Named) =>
  Effect.flatMap(Executions, (executions) =>
    Effect.map(
      Stream.runCollect(executions.history(of)),
      (entries) => entries.map(({ record }) => record),
    ));

/** The kinds of an execution's records, in order, without claims. */
export const kindsOf = (of: Named) =>
  Effect.map(
    historyOf(of),
    (records) => records.map(({ kind }) => kind).filter((kind) => kind !== "claimed"),
  );

export const recordsOf = <Kind extends JournalRecord["kind"]>(of: Named, kind: Kind) =>
  Effect.map(
    historyOf(of),
    (records) =>
      records.filter((record): record is Extract<JournalRecord, { readonly kind: Kind }> =>
        record.kind === kind && (kind === "claimed" || "index" in record)
      ),
  );

const statuses: Readonly<Record<string, string>> = {
  success: "completed",
  failure: "failed",
  cancelled: "cancelled",
  expired: "expired",
  skipped: "skipped",
};

/** What `describe` says beside what the lease adds to it. */
const withoutLease = ({
  execution: _execution,
  tenant: _tenant,
  life: _life,
  status,
  reason: _reason,
  why: _why,
  owner,
  leaseExpiresAt: _leaseExpiresAt,
  lane: _lane,
  requires: _requires,
  deadline: _deadline,
  queue: _queue,
  heldBy: _heldBy,
  budget: _budget,
  attempt,
  epoch,
  ...told
}: Description) => ({
  ...told,
  ...(told.outcome === undefined ? {} : { ended: status }),
  ...(owner === undefined ? { attempt, epoch } : {}),
});

/** One log: the events alone tell what `describe` says. */
const toldAlike = (of: Named) =>
  Effect.gen(function* () {
    const described = yield* describe(of);
    const events = yield* (yield* EventStore).loadEvents(of.execution, of.tenant);
    assert.deepEqual(
      events.map(({ sequence }) => sequence),
      events.map((_, i) => i + 1),
    );
    const rebuilt = executionStateOf(events);
    assert.ok(rebuilt !== undefined, `${of.execution} has no events`);
    const { status, attempt, epoch, ...told } = rebuilt;
    assert.deepEqual(withoutLease(described), {
      ...told,
      ...(told.outcome === undefined ? {} : { ended: statuses[status] }),
      ...(described.owner === undefined ? { attempt, epoch } : {}),
    });
  });

/** The log tells of work what may be, and nothing twice. */
const toldAsWork = (of: Named) =>
  Effect.flatMap(Executions, (executions) =>
    Effect.map(
      Stream.runCollect(executions.workHistory(of)),
      (events) => assert.equal(problemOfWork(Array.from(events)), undefined),
    ));

/** Repeats what may fail while something is under way. */
const soon = <A, E, R>(check: Effect.Effect<A, E, R>) =>
  check.pipe(
    Effect.catchDefect((defect) => Effect.fail(defect)),
    Effect.retry({ times: 100, schedule: Schedule.spaced("20 millis") }),
  );

export class Stage {
  readonly #executions = new Map<string, Named>();
  readonly #id = randomUUID().slice(0, 8);

  /** A name that no other test uses. */
  name(of: string): ActorName {
    return ActorName.make(`${of}-${this.#id}`);
  }

  actor<Input, Output>(
    name: string,
    run: (context: ActorContext, input: Input) => Output | PromiseLike<Output>,
    options: Partial<Actor<Input, Output>> = {},
  ): Actor<Input, Output> {
    return { ...options, ...actor(this.name(name), run) };
  }

  /** An actor of an Effect. */
  code(name: string, run: ActorCode["run"], options: Partial<ActorCode> = {}): ActorCode {
    return { ...options, name: this.name(name), run };
  }

  /** A worker that stays to the end of the test, or until it leaves. */
  work(
    actors: ReadonlyArray<AnyActor>,
    { codes = [], ...options }: WorkOptions = {},
  ) {
    return Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Effect.scope);
      const worker = yield* Scope.provide(
        Worker.make({
          identity: uniqueWorker(),
          ...options,
          actors: [...actors.map(codeOf), ...codes],
        }),
        scope,
      );
      return { ...worker, leave: Scope.close(scope, Exit.void) } satisfies StageWorker;
    });
  }

  start(
    { name }: { readonly name: string },
    input?: unknown,
    options?: StartOptions & { readonly tenant?: Tenant },
  ) {
    return Effect.gen({ self: this }, function* () {
      const { tenant: owner = tenant, ...rest } = options ?? {};
      const started = yield* (yield* Executions).start(ActorName.make(name), owner, input, {
        unserved: true,
        ...rest,
      });
      this.follow(started.execution, started.tenant);
      return started;
    });
  }

  /** Starts one and waits for what it gives. */
  play(of: { readonly name: string }, input?: unknown, options?: StartOptions) {
    return Effect.flatMap(this.start(of, input, options), (started) => resultOf(started));
  }

  /** Has an execution that another began looked at in the end. */
  follow(execution: ExecutionId, owner = tenant): Named {
    const named = { execution, tenant: owner };
    this.#executions.set(`${owner} ${execution}`, named);
    return named;
  }

  /** Every execution is told alike and not stuck, once what is under way has been recorded. */
  get curtain() {
    const actors = new Set(
      Array.from(this.#executions.values(), ({ execution }) => executionIdentity(execution).actor),
    );
    const stuck = Effect.forEach(actors, (actor) =>
      actor === undefined ? Effect.void : Effect.map(
        Stream.runCollect(neverStuck({ actor })),
        (found) => assert.deepEqual(found, []),
      ), { discard: true });
    return Effect.andThen(
      Effect.forEach(
        this.#executions.values(),
        (named) => Effect.andThen(soon(toldAlike(named)), toldAsWork(named)),
        { discard: true },
      ),
      soon(stuck),
    );
  }
}

export type EngineTest = (
  title: string,
  play: (stage: Stage) => Effect.Effect<unknown, unknown, Services | Scope.Scope>,
) => void;

/** Declares tests of the engine that run with the layer under test. */
export const engineTests = (run: Run<Services>): EngineTest => (title, play) => {
  it(title, () =>
    run(Effect.scoped(Effect.gen(function* () {
      const stage = new Stage();
      yield* play(stage);
      yield* stage.curtain;
    }))));
};
