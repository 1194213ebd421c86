/**
 * A worker: it is offered mail, claims the executions that the mail is for, and runs them. It owns
 * nothing that the log does not say it owns, takes nothing that it has no code, lane or capability
 * for, and lets go of everything when it is drained. What happens in an execution is `activation.ts`.
 */
import { hostname } from "node:os";
import process from "node:process";
import * as Clock from "effect/Clock";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import { InvalidInput, type LeaseHeld } from "../../schema/errors.ts";
import { type ActorName, type Lane, Timestamp, WorkerInstanceId } from "../../schema/ids.ts";
import { ClaimedRecord, journalRecord } from "../../schema/journal_record.ts";
import { type MailRecord, mailRecord } from "../../schema/mail_record.ts";
import { type Route, servesRoute } from "../../schema/route.ts";
import { Connection } from "../../streams/connection.ts";
import { ExecutionIndex } from "../../streams/execution_index.ts";
import { nonceOfId } from "../../streams/fence.ts";
import { HandOver } from "../../streams/hand_over.ts";
import { type AcquireOptions, Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { type Delivery, Mailboxes, type Serving, workingEveryMs } from "../../streams/mailbox.ts";
import { ServerClock } from "../../streams/server_clock.ts";
import { Sessions } from "../../streams/session.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import { afterEnd } from "../core/decide.ts";
import { takeUpRest } from "../core/take_up.ts";
import { Activation, type Engine } from "./activation.ts";
import { tell } from "./follow_up.ts";
import { readAll, unread } from "./history.ts";
import type { ActorCode } from "./operations.ts";
import * as Post from "./post.ts";
import { readHistory } from "./snapshot.ts";

export interface WorkerOptions {
  readonly actors: ReadonlyArray<ActorCode>;
  readonly identity: WorkerInstanceId;
  /** The lanes that it is bound to; none means the default lane. */
  readonly lanes?: ReadonlyArray<Lane>;
  readonly capabilities?: ReadonlyArray<string>;
  /** How many executions it has in memory at most; 1,000 if left out. */
  readonly concurrency?: number;
  /** How long an execution stays this worker's without a renewal; 30 seconds if left out. */
  readonly leaseTtl?: Duration.Input;
  /** How long a waiting execution stays in memory; 5 seconds if left out. */
  readonly residentGrace?: Duration.Input;
  /** Owners in a row that may fail before they record anything; 100 if left out. */
  readonly maxReclaims?: number;
  /** How long work under way may take when the worker is drained; 30 seconds if left out. */
  readonly drainTimeout?: Duration.Input;
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

/** An owner that is not reachable is given this long, so that a broken connection costs no lease. */
const absenceMs = 2_000;
const askAgainMs = 1_000;
const sessionTtl = "10 seconds";

const millis = (input: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(input));

const keyOf = ({ shard, tail }: Pick<Address, "shard" | "tail">): string => `${shard}.${tail}`;

/** Starts a worker that serves until the scope ends, and is drained then. */
export const make = Effect.fn("Worker.make")(function* (options: WorkerOptions) {
  const log = yield* Log;
  const leases = yield* Leases;
  const sessions = yield* Sessions;
  const mailboxes = yield* Mailboxes;
  const handOver = yield* HandOver;
  const clock = yield* ServerClock;
  const effectClock = yield* Clock.Clock;
  const connection = yield* Effect.serviceOption(Connection);
  const index = yield* Effect.serviceOption(ExecutionIndex);
  const {
    identity,
    lanes = [],
    capabilities = [],
    concurrency = 1_000,
    leaseTtl = "30 seconds",
    residentGrace = "5 seconds",
    maxReclaims = 100,
    drainTimeout = "30 seconds",
  } = options;
  const codes = new Map<string, ActorCode>(options.actors.map((code) => [code.name, code]));
  if (codes.size !== options.actors.length) {
    return yield* new InvalidInput({
      what: "actors",
      value: options.actors.map(({ name }) => name).join(", "),
      rule: "no two of them have the same name",
    });
  }
  const post = Post.make(log);
  const monotonicMs = () => Number(effectClock.monotonicTimeNanosUnsafe()) / 1e6;
  const engine: Engine = {
    log,
    leases,
    clock,
    post,
    residentMs: millis(residentGrace),
    maxReclaims,
    runFork: Effect.runForkWith(yield* Effect.context<never>()),
    monotonicMs,
  };
  const residents = new Map<string, Activation | Claiming>();
  const absentSince = new Map<string, number>();
  const run = yield* FiberSet.makeRuntime<never>();
  let draining = false;
  let serving: Serving | undefined = undefined;
  const noteLoad = () => serving?.setFull(residents.size >= concurrency);

  const acquireOptions: AcquireOptions = { worker: identity, ttl: leaseTtl, session: true };

  const serves = (route: Route | undefined) => servesRoute(route, { lanes, capabilities });

  const activations = () =>
    [...residents.values()].filter((resident) => resident instanceof Activation);

  /** Puts one that only waits out of memory, if there is one. */
  const makeRoom = () => {
    for (const resident of residents.values()) {
      if (resident instanceof Activation && resident.isParked) return resident.suspend();
    }
  };

  const handle = (delivery: Delivery): void => {
    const key = keyOf(delivery.address);
    const resident = residents.get(key);
    if (resident instanceof Activation) return resident.take(delivery);
    if (resident !== undefined) {
      resident.deliveries.push(delivery);
      return;
    }
    if (draining) return delivery.decline();
    if (residents.size >= concurrency) {
      makeRoom();
      return delivery.decline();
    }
    const claiming: Claiming = { deliveries: [delivery] };
    residents.set(key, claiming);
    noteLoad();
    run(
      activate(delivery, claiming).pipe(
        Effect.catch((error) =>
          Effect.as(
            Effect.logWarning(`${delivery.execution} cannot be taken up: ${error.message}`),
            { settle: (delivery: Delivery) => delivery.retry(askAgainMs) },
          )
        ),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            residents.delete(key);
            noteLoad();
            for (const delivery of claiming.deliveries) {
              if (exit._tag === "Success") exit.value.settle(delivery);
              else delivery.retry(askAgainMs);
            }
          })
        ),
        Effect.ignoreCause,
      ),
    );
  };

  const acked = { settle: (delivery: Delivery) => delivery.ack() };
  const later = (afterMs: number) => ({ settle: (delivery: Delivery) => delivery.retry(afterMs) });

  /** Claims an execution for a delivery, and runs it. Says what becomes of what was offered. */
  const activate = Effect.fnUntraced(function* (delivery: Delivery, claiming: Claiming) {
    const mail = delivery.spilled || delivery.route !== undefined
      ? undefined
      : Option.getOrUndefined(
        yield* Effect.option(mailRecord.decode(delivery.entry.body, delivery.entry)),
      );
    const route = delivery.route ?? mail?.route;
    if (!serves(route)) {
      if (route !== undefined) yield* mailboxes.forward(delivery, route);
      return route === undefined ? later(askAgainMs) : acked;
    }
    const claimed = yield* claim(delivery, mail).pipe(
      Effect.catchTag("LeaseHeld", (held) => reclaimOwn(delivery, held)),
    );
    if ("settle" in claimed) return claimed;
    const { lease, history } = claimed;
    const { start } = history.state;
    if (start === undefined) {
      yield* leases.release(lease);
      return later(askAgainMs * Math.min(delivery.offers, 60));
    }
    const startRoute = start.record.route;
    if (startRoute !== undefined && !serves(startRoute)) {
      yield* leases.release(lease);
      yield* mailboxes.forward(delivery, startRoute);
      return acked;
    }
    const activation = yield* Activation.make(
      engine,
      codes.get(delivery.actor)!,
      delivery,
      claimed,
    );
    for (const waiting of claiming.deliveries.splice(0)) activation.take(waiting);
    residents.set(keyOf(delivery.address), activation);
    if (draining) activation.drain();
    const ending = yield* activation.run;
    claiming.deliveries.push(...activation.deliveries);
    switch (ending) {
      case "ended":
      case "suspended":
        return {
          settle: (offered: Delivery) => {
            if (offered.mail <= activation.mailRead) offered.ack();
            else handle(offered);
          },
        };
      case "released":
        return later(draining ? 0 : askAgainMs);
      case "lost":
        return later(askAgainMs * Math.min(delivery.offers, 30));
    }
  });

  const claim = Effect.fnUntraced(function* (delivery: Delivery, mail: MailRecord | undefined) {
    const { address } = delivery;
    if (mail?.kind === "start" && delivery.offers === 1) {
      const lease = yield* leases.acquire(address, { ...acquireOptions, fresh: true });
      if (lease.epoch === 1) {
        const history = yield* readAll(unread, [delivery.entry]);
        return { lease, history, left: undefined };
      }
      return yield* readUnder(address, lease);
    }
    const last = yield* log.lastOfEach(address, ["done", "log"]);
    const done = last.get("done");
    const isEnded = done !== undefined && (last.get("log")?.sequence ?? 0) < done.sequence;
    if (!isEnded) return yield* readUnder(address, yield* leases.acquire(address, acquireOptions));
    if (mail?.kind !== "retry") {
      yield* answerForEnded(delivery, mail);
      return acked;
    }
    const current = yield* leases.current(address);
    const nonce = done.id === undefined ? undefined : nonceOfId(done.id);
    const isOver = Option.exists(
      current,
      ({ record, held }) => held && record.nonce === nonce,
    );
    const lease = yield* leases.acquire(address, {
      ...acquireOptions,
      ...(isOver ? { endedRevision: Option.getOrThrow(current).revision } : {}),
    });
    return yield* readUnder(address, lease);
  });

  /** Claims anew what this worker had given up without being able to say so. */
  const reclaimOwn = Effect.fnUntraced(function* (delivery: Delivery, held: LeaseHeld) {
    if (held.owner !== identity) return yield* passOn(delivery, held);
    const { address } = delivery;
    const current = yield* leases.current(address);
    const lease = yield* leases.acquire(address, {
      ...acquireOptions,
      ...(Option.isSome(current) && current.value.record.workerInstanceId === identity
        ? { endedRevision: current.value.revision }
        : {}),
    });
    return yield* readUnder(address, lease);
  });

  /** Reads an execution whose lease was somebody's before; what is read holds our own mark. */
  const readUnder = Effect.fnUntraced(function* (
    address: Address,
    lease: Effect.Success<ReturnType<typeof leases.acquire>>,
  ) {
    const claimed = ClaimedRecord.make({
      worker: identity,
      epoch: lease.epoch,
      attempt: lease.attempt,
      reclaims: lease.reclaims,
    });
    const { sequence } = yield* log.append(address, {
      kind: "log",
      body: journalRecord.encode(claimed),
      guard: lease.fence,
    });
    const { history, left } = yield* readHistory(log, address, sequence).pipe(
      Effect.tapError(() => Effect.ignore(leases.release(lease))),
    );
    return { lease, history, left };
  });

  /** Somebody who asks, or was not told, learns how an execution has ended. */
  const answerForEnded = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
  ) {
    const kind = mail?.kind;
    if (kind !== undefined && kind !== "start" && kind !== "join") return;
    const entries = yield* log.readThrough(executionFilter(delivery.address), {
      through: delivery.mail,
    });
    const state = takeUpRest((yield* readAll(unread, entries)).state);
    if (state.done === undefined) return;
    const { execution, tenant } = delivery;
    yield* tell(
      post,
      { execution, tenant, life: state.life, key: "weir.cancel" },
      afterEnd(state, state.done.record.outcome),
    );
  });

  /** The owner of an execution is to see to its mail; if nobody is there, its lease is taken away. */
  const passOn = Effect.fnUntraced(function* (delivery: Delivery, { owner }: LeaseHeld) {
    const { address, mail } = delivery;
    const key = keyOf(address);
    const { shard, tail } = address;
    const verdict = yield* handOver.send(WorkerInstanceId.make(owner), { shard, tail, mail });
    if (verdict !== "absent") absentSince.delete(key);
    switch (verdict) {
      case "taken":
        return acked;
      case "unknown":
      case "silent":
        return later(askAgainMs);
      case "absent": {
        const now = monotonicMs();
        const since = absentSince.get(key) ?? now;
        if (now - since < absenceMs) {
          absentSince.set(key, since);
          return later(absenceMs / 2);
        }
        absentSince.delete(key);
        yield* leases.revoke(address, { by: "reconciler", reason: "its owner does not answer" })
          .pipe(Effect.catchTag("LeaseNotHeld", () => Effect.void));
        return later(0);
      }
    }
  });

  yield* sessions.open({
    worker: identity,
    ttl: sessionTtl,
    description: {
      actors: options.actors.map(({ name }) => name),
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
  yield* handOver.serve(identity, ({ shard, tail, mail }) => {
    const resident = residents.get(keyOf({ shard, tail }));
    if (!(resident instanceof Activation)) return Effect.succeed("unknown");
    return Effect.map(resident.wake(mail), (read) => read ? "taken" : "unknown");
  });
  serving = yield* mailboxes.serve({
    actors: [...codes.keys()] as Array<ActorName>,
    worker: identity,
    lanes,
    capabilities,
  }, handle);

  yield* Effect.sync(() => {
    for (const activation of activations()) activation.keepAlive(monotonicMs());
  }).pipe(
    Effect.schedule(
      Schedule.spaced(Math.min(workingEveryMs, Math.max(100, millis(leaseTtl) / 6))),
    ),
    Effect.forkScoped,
  );
  if (Option.isSome(index)) yield* Effect.forkScoped(index.value.project);
  if (Option.isSome(connection)) {
    yield* connection.value.listen({
      disconnected: () => {},
      reconnected: () => activations().forEach((activation) => activation.verify()),
      closed: () => {},
    });
  }

  const untilEmpty = Effect.suspend(() => residents.size === 0 ? Effect.void : Effect.fail("busy"))
    .pipe(Effect.retry(Schedule.spaced(5)), Effect.orDie);

  const drain = Effect.gen(function* () {
    draining = true;
    yield* serving.stop;
    for (const activation of activations()) activation.drain();
    yield* Effect.timeoutOption(untilEmpty, drainTimeout);
    for (const activation of activations()) activation.release();
    yield* Effect.timeoutOption(untilEmpty, "5 seconds");
  });
  yield* Effect.addFinalizer(() => drain);

  return {
    identity,
    resident: Effect.sync(() => residents.size),
    drain,
  } satisfies Worker;
});
