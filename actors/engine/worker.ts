/**
 * A worker: it is offered mail, claims the executions that the mail is for, and runs them. It owns
 * nothing that the log does not say it owns, takes nothing that it has no code, lane or capability
 * for, and lets go of everything when it is drained. What happens in an execution is `activation.ts`.
 */
import { hostname } from "node:os";
import process from "node:process";
import * as Clock from "effect/Clock";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import { InvalidInput } from "../../schema/errors.ts";
import {
  type ActorName,
  ForeignActorName,
  type Lane,
  parse,
  Timestamp,
  WorkerInstanceId,
} from "../../schema/ids.ts";
import type { MailRecord } from "../../schema/mail_record.ts";
import { type Route, servesRoute } from "../../schema/route.ts";
import { Connection } from "../../streams/connection.ts";
import { EngineControl } from "../../streams/engine_control.ts";
import { ExecutionIndex } from "../../streams/execution_index.ts";
import { HandOver } from "../../streams/hand_over.ts";
import { Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { type Delivery, Mailboxes, type Serving, workingEveryMs } from "../../streams/mailbox.ts";
import { Expiries } from "../../streams/retention.ts";
import { ServerClock } from "../../streams/server_clock.ts";
import { Sessions } from "../../streams/session.ts";
import { isBegun } from "../core/run_state.ts";
import { makeBudgets } from "../../streams/budgets.ts";
import { make as makeClerk } from "../../streams/budgets/clerk.ts";
import { makeWaiting } from "../../streams/budgets/waiting.ts";
import { makeAnswer } from "../bells.ts";
import { serveJanitor } from "../janitor.ts";
import type { KeepOptions } from "../keep.ts";
import { checkRetry } from "../retry_policy.ts";
import { SignalTokens, TokenKeys } from "../signal_tokens.ts";
import { Requests } from "../../streams/requests.ts";
import { queueCode } from "../work/queue/keeper.ts";
import { hearFirst, remotesCode } from "../work/remote/keeper_code.ts";
import { triggersCode } from "../work/trigger/keeper.ts";
import { Activation, type Engine } from "./activation.ts";
import {
  acked,
  askAgainMs,
  executionKey,
  isForStart,
  later,
  mailOf,
  makeClaims,
  type Settlement,
} from "./claims.ts";
import { keepFor, makeHolds } from "./holds.ts";
import { recoveredRecords, recoverySeconds, takeUpsFailed } from "./metrics.ts";
import type { ActorCode } from "./operations.ts";
import * as Post from "./post.ts";
import { parseLimits } from "./worker_limits.ts";

export interface WorkerOptions {
  readonly actors: ReadonlyArray<ActorCode>;
  readonly identity: WorkerInstanceId;
  /** The lanes that it is bound to; none means the default lane. */
  readonly lanes?: ReadonlyArray<Lane>;
  readonly capabilities?: ReadonlyArray<string>;
  /** How many executions it has in memory at most; 1,000 if left out. */
  readonly concurrency?: number;
  /**
   * How long an execution stays this worker's without a renewal, from a second to the `longestLease`
   * of the namespace; 30 seconds if left out.
   */
  readonly leaseTtl?: Duration.Input;
  /** How long a waiting execution stays in memory; 5 seconds if left out. */
  readonly residentGrace?: Duration.Input;
  /** Owners in a row that may fail before they record anything; 100 if left out. */
  readonly maxReclaims?: number;
  /** How long work under way may take when the worker is drained; 30 seconds if left out. */
  readonly drainTimeout?: Duration.Input;
  /** How long executions are kept after their end. */
  readonly keep?: KeepOptions;
  /** Whether it keeps queues as well; each is kept by one of those that do. False if left out. */
  readonly queues?: boolean;
  /** Whether it keeps triggers as well; those of a tenant are kept by one. False if left out. */
  readonly triggers?: boolean;
  /**
   * Whether it keeps remote workers as well; those of each tenant are kept by one worker that does.
   * If left out, it does if one of its actors is remote.
   */
  readonly remotes?: boolean;
}

/** A worker as its process holds it. */
export interface Worker {
  readonly identity: WorkerInstanceId;
  /** Executions in memory. */
  readonly resident: Effect.Effect<number>;
  /** Takes nothing new, finishes or hands over what is under way, and gives up every lease. */
  readonly drain: Effect.Effect<void>;
}

/** An execution that is being claimed, and what was offered meanwhile. */
interface Claiming {
  readonly deliveries: Array<Delivery>;
}

const sessionTtl = "10 seconds";

/** What remote workers are heard by, which programs that have none need not provide. */
const servedWith = (requests: Option.Option<Requests["Service"]>) =>
  Option.match(requests, {
    onSome: Effect.succeed,
    onNone: () =>
      Effect.fail(
        new InvalidInput({
          what: "worker",
          value: "remotes",
          rule: "who keeps remote workers provides the service Requests",
        }),
      ),
  });

/** Starts a worker that serves until the scope ends, and is drained then. */
export const make = Effect.fn("Worker.make")(function* (options: WorkerOptions) {
  const log = yield* Log;
  const leases = yield* Leases;
  const sessions = yield* Sessions;
  const mailboxes = yield* Mailboxes;
  const handOver = yield* HandOver;
  const clock = yield* ServerClock;
  const control = yield* EngineControl;
  const effectClock = yield* Clock.Clock;
  const connection = yield* Effect.serviceOption(Connection);
  const index = yield* Effect.serviceOption(ExecutionIndex);
  const expiries = yield* Effect.serviceOption(Expiries);
  const {
    identity,
    lanes = [],
    capabilities = [],
    queues = false,
    triggers = false,
    remotes = options.actors.some(({ isRemote }) => isRemote),
  } = options;
  const limits = yield* parseLimits(options);
  const { concurrency, leaseMs } = limits;
  for (const { name, retry } of options.actors) {
    yield* parse(ForeignActorName, "actor name", name);
    if (retry !== undefined) yield* checkRetry(retry);
  }
  const post = Post.make(log);
  const clerk = yield* makeClerk(log, clock);
  const { consume, release } = makeBudgets(log, clock, clerk);
  const budgets = { ...makeWaiting(log, clock, clerk), consume, release };
  const keeping = remotes
    ? { log, post, clock, requests: yield* servedWith(yield* Effect.serviceOption(Requests)) }
    : undefined;
  const actors = [
    ...options.actors,
    ...(queues ? [queueCode({ log, post, clock, control })] : []),
    ...(triggers ? [triggersCode({ log, post, clock })] : []),
    ...(keeping === undefined ? [] : [remotesCode(keeping)]),
  ];
  const codes = new Map<string, ActorCode>(actors.map((code) => [code.name, code]));
  if (codes.size !== actors.length) {
    return yield* new InvalidInput({
      what: "actors",
      value: options.actors.map(({ name }) => name).join(", "),
      rule: "no two of them have the same name",
    });
  }
  const monotonicMs = () => Number(effectClock.monotonicTimeNanosUnsafe()) / 1e6;
  const context = yield* Effect.context<never>();
  const engine: Engine = {
    log,
    leases,
    clock,
    post,
    budgets,
    tokens: new SignalTokens(yield* TokenKeys, log.layout.namespace),
    residentMs: limits.residentMs,
    onIdle: () => {
      if (residents.size >= concurrency) serving?.offerOne();
    },
    maxReclaims: limits.maxReclaims,
    keepMs: limits.keepMs,
    runFork: Effect.runForkWith(context),
    monotonicMs,
    count: (metric, input) => metric.updateUnsafe(input, context),
  };
  const residents = new Map<string, Activation | Claiming>();
  const run = yield* FiberSet.makeRuntime<never>();
  let draining = false;
  let serving: Serving | undefined = undefined;
  const noteLoad = () => serving?.setFull(residents.size >= concurrency);

  const { claim, passOn } = makeClaims({
    log,
    leases,
    handOver,
    post,
    budgets,
    clock,
    acquire: { worker: identity, ttl: leaseMs, session: true },
    monotonicMs,
  });

  const holds = makeHolds(control);

  const serves = (route: Route | undefined) => servesRoute(route, { lanes, capabilities });

  const activations = () =>
    [...residents.values()].filter((resident) => resident instanceof Activation);

  const haltOrNot = (activation: Activation) => {
    const { start } = activation.state;
    const isHeld = start === undefined ? undefined : holds.known(activation, start.record);
    if (isHeld !== undefined) activation.halt(isHeld);
  };

  /** One that only waits, whose place another could have. */
  const idler = () => {
    for (const resident of residents.values()) {
      if (resident instanceof Activation && resident.isParked) return resident;
    }
    return undefined;
  };

  const handle = (delivery: Delivery): void => {
    const key = executionKey(delivery.address);
    const resident = residents.get(key);
    if (resident instanceof Activation) return resident.take(delivery);
    if (resident !== undefined) {
      resident.deliveries.push(delivery);
      return;
    }
    if (draining) return delivery.decline();
    if (residents.size >= concurrency) {
      idler()?.suspend();
      run(declineOrPassOn(delivery));
      return;
    }
    const claiming: Claiming = { deliveries: [delivery] };
    residents.set(key, claiming);
    noteLoad();
    run(
      activate(delivery, claiming).pipe(
        Effect.tapError((error) => Effect.sync(() => engine.count(takeUpsFailed(error._tag), 1))),
        Effect.catch((error) =>
          Effect.as(
            Effect.logWarning(`${delivery.execution} cannot be taken up: ${error.message}`),
            // What damage keeps from being read will hardly be mended within the second.
            later(error.retryable ? askAgainMs : askAgainMs * Math.min(delivery.offers, 60)),
          )
        ),
        Effect.onExit((exit) => {
          residents.delete(key);
          noteLoad();
          const { settle } = exit._tag === "Success" ? exit.value : later(askAgainMs);
          // One after another, those who must be told would wait for a server that does not answer.
          return Effect.forEach(
            claiming.deliveries,
            (delivery) => settle(delivery, handle),
            { concurrency: claiming.deliveries.length > 1 ? "unbounded" : 1, discard: true },
          );
        }),
        Effect.ignoreCause,
      ),
    );
  };

  /**
   * Without room, only what begins something is left to others: to be offered the rest again and
   * again would keep it from its owner, who may be full as well. What has a route goes its way at
   * once, or it would wait for room behind what everybody can do.
   */
  const declineOrPassOn = Effect.fnUntraced(function* (delivery: Delivery) {
    const mail = yield* mailOf(delivery);
    if (mail?.kind === "start" && mail.route !== undefined) {
      yield* mailboxes.forward(delivery, mail.route);
      return delivery.ack();
    }
    const kept = yield* keepBack(delivery, mail);
    if (kept !== undefined) return yield* kept.settle(delivery, handle);
    const passed = isForStart(delivery, mail) ? undefined : yield* passOn(delivery);
    if (passed === undefined) delivery.decline();
    else yield* passed.settle(delivery, handle);
  }, (effect, delivery) => Effect.catch(effect, () => Effect.sync(() => delivery.decline())));

  /** Keeps back what may not be taken up now, unless it is for somebody who goes on with his code. */
  const keepBack = Effect.fnUntraced(function* (delivery: Delivery, mail: MailRecord | undefined) {
    const held = yield* holds.of(delivery, mail);
    // What is cancelled may end without its code.
    if (held === undefined || mail?.kind === "cancel") return undefined;
    const passed = isForStart(delivery, mail) ? undefined : yield* passOn(delivery);
    if (passed !== undefined) return passed;
    return yield* keepFor(mailboxes, delivery, held, mail?.route);
  });

  /** Claims an execution for a delivery, and runs it. Says what becomes of what was offered. */
  const activate = Effect.fnUntraced(function* (delivery: Delivery, claiming: Claiming) {
    const mail = yield* mailOf(delivery);
    const route = delivery.route ?? mail?.route;
    if (!serves(route)) {
      if (route !== undefined) yield* mailboxes.forward(delivery, route);
      return route === undefined ? later(askAgainMs) : acked(delivery);
    }
    const kept = yield* keepBack(delivery, mail);
    if (kept !== undefined) return kept;
    const begunMs = monotonicMs();
    const claimed = yield* claim(delivery, mail);
    if ("settle" in claimed) return claimed;
    const { lease, history, left } = claimed;
    if (lease.epoch > 1) {
      engine.count(recoverySeconds, (monotonicMs() - begunMs) / 1_000);
      engine.count(recoveredRecords, history.state.index - (left?.index ?? 0));
    }
    const { start } = history.state;
    if (start === undefined) {
      yield* leases.release(lease);
      return later(askAgainMs * Math.min(delivery.offers, 60));
    }
    const startRoute = start.record.route;
    if (startRoute !== undefined && !serves(startRoute)) {
      yield* leases.release(lease);
      yield* mailboxes.forward(delivery, startRoute);
      return acked(delivery);
    }
    const held = yield* Effect.tapError(
      holds.of(delivery, start.record, isBegun(history.state)),
      () => Effect.ignore(leases.release(lease, { atRest: lease.atRest })),
    );
    if (held !== undefined && mail?.kind !== "cancel") {
      yield* leases.release(lease, { atRest: lease.atRest });
      return yield* keepFor(mailboxes, delivery, held, startRoute);
    }
    const activation = yield* Activation.make(
      engine,
      codes.get(delivery.actor)!,
      delivery,
      claimed,
      held !== undefined,
    );
    for (const waiting of claiming.deliveries.splice(0)) activation.take(waiting);
    residents.set(executionKey(delivery.address), activation);
    if (draining) activation.drain();
    haltOrNot(activation);
    const ending = yield* activation.run;
    claiming.deliveries.push(...activation.deliveries);
    residents.set(executionKey(delivery.address), claiming);
    if (held !== undefined && (ending === "released" || ending === "owing")) {
      return yield* keepFor(mailboxes, delivery, held, startRoute);
    }
    switch (ending) {
      case "ended":
      case "suspended":
        return {
          settle: (offered: Delivery, lookAt) =>
            Effect.sync(() => {
              if (offered.mail <= activation.mailDone) offered.ack();
              else lookAt(offered);
            }),
        } satisfies Settlement;
      case "released":
        return later(draining ? 0 : askAgainMs);
      case "owing":
        return later(draining ? 0 : askAgainMs * Math.min(delivery.offers, 30));
      case "lost":
        return later(askAgainMs * Math.min(delivery.offers, 30));
    }
  });

  yield* sessions.open({
    worker: identity,
    ttl: sessionTtl,
    description: {
      actors: actors.map(({ name }) => name),
      lanes,
      capabilities,
      startedAt: Timestamp.make(Math.round(yield* clock.now)),
      host: hostname(),
      pid: process.pid,
    },
    load: () => ({
      resident: residents.size,
      running: activations().filter(({ isParked }) => !isParked).length,
      concurrency,
    }),
  });
  yield* handOver.serve(identity, (delivery) =>
    Effect.sync(() => {
      const resident = residents.get(executionKey(delivery.address));
      if (!(resident instanceof Activation)) return "unknown";
      resident.take(delivery);
      return "taken";
    }));
  // Before anything is offered: what is paused when a worker comes is not begun by it.
  yield* control.listen(() => {
    activations().forEach(haltOrNot);
    serving?.lookAgain();
  });
  serving = yield* mailboxes.serve({
    actors: [...codes.keys()] as Array<ActorName>,
    worker: identity,
    lanes,
    capabilities,
    room: () => {
      const free = concurrency - residents.size;
      return free > 0 ? free : idler() === undefined ? 0 : 1;
    },
    isOpen: holds.isOpen,
  }, handle);

  yield* Effect.sync(() => {
    const now = monotonicMs();
    for (const resident of residents.values()) {
      if (resident instanceof Activation) resident.keepAlive(now);
      else resident.deliveries.forEach((delivery) => delivery.working());
    }
  }).pipe(
    Effect.schedule(
      Schedule.spaced(Math.min(workingEveryMs, Math.max(100, leaseMs / 6))),
    ),
    Effect.forkScoped,
  );
  if (keeping !== undefined) yield* hearFirst(keeping);
  yield* Effect.forkScoped(log.healSchedules);
  if (Option.isSome(index)) yield* Effect.forkScoped(index.value.project);
  if (Option.isSome(expiries)) {
    yield* Effect.forkScoped(
      Effect.provideService(
        serveJanitor(makeAnswer(log, post, budgets)),
        Expiries,
        expiries.value,
      ),
    );
  }
  if (Option.isSome(connection)) {
    yield* connection.value.listen({
      disconnected: () => {},
      reconnected: () => activations().forEach((activation) => activation.verify()),
      closed: () => {},
    });
  }

  const until = (isSo: () => boolean) =>
    Effect.suspend(() => isSo() ? Effect.void : Effect.fail("busy"))
      .pipe(Effect.retry(Schedule.spaced(5)), Effect.orDie);
  const isEmpty = () => residents.size === 0;
  const isCutOff = () => Option.exists(connection, ({ nats }) => nats.isClosed());

  const drain = Effect.gen(function* () {
    draining = true;
    yield* serving.stop;
    for (const activation of activations()) activation.drain();
    // What cannot be stored any more is not waited for.
    yield* Effect.timeoutOption(until(() => isEmpty() || isCutOff()), limits.drainMs);
    for (const activation of activations()) activation.release();
    yield* Effect.timeoutOption(until(isEmpty), "5 seconds");
  });
  yield* Effect.addFinalizer(() => drain);

  return {
    identity,
    resident: Effect.sync(() => residents.size),
    drain,
  } satisfies Worker;
});
