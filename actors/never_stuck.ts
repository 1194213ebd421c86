/**
 * The doctor's question whether every execution that has not ended has a way out by itself, whoever
 * dies: it reads the whole namespace, one execution after another, and names those that have none,
 * and why. What it reports did not change while it was looked at. It repairs only when asked to, and
 * no execution depends on it.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import {
  type ActorName,
  type ExecutionId,
  executionIdentity,
  type Tenant,
  Timestamp,
  WorkerInstanceId,
} from "../schema/ids.ts";
import type { Route } from "../schema/route.ts";
import { mailRecord } from "../schema/mail_record.ts";
import { Leases } from "../streams/lease.ts";
import { type AppendError, type Entry, Log, type ReadError } from "../streams/log.ts";
import { Mailboxes } from "../streams/mailbox.ts";
import { ServerClock } from "../streams/server_clock.ts";
import { Sessions } from "../streams/session.ts";
import {
  type Address,
  addressOfSubject,
  executionFilter,
  executionOfSubject,
  keyedFilter,
  shardRoot,
} from "../streams/subjects.ts";
import { takeUpToReplay } from "./core/take_up.ts";
import { readAll, unread } from "./engine/history.ts";
import { readHistory } from "./engine/snapshot.ts";
import * as Children from "./never_stuck/children.ts";
import { judge, type Trouble } from "./never_stuck/verdict.ts";

/** An execution that will not go on by itself. */
export interface Stuck {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  /** The sequence of its start; 0 if there is none. */
  readonly life: number;
  readonly trouble: Trouble;
}

export interface NeverStuckOptions {
  /** Whose executions to look at; those of all actors, if left out. */
  readonly actor?: ActorName;
  /** How late a schedule, a start or a redelivery may be before it is trouble; a minute, if left out. */
  readonly grace?: Duration.Input;
  /** Whether deadlines are scheduled again, and what nobody attends to is sent a wake-up. */
  readonly repair?: boolean;
}

const doctor = WorkerInstanceId.make("doctor");

interface Named {
  readonly address: Address;
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
}

const judgedAtOnce = 16;
/** One that changes whenever it is looked at is alive. */
const looks = 20;

const markedKinds = ["lease", "mail", "log", "signal", "tag", "done"] as const;

const make = Effect.fnUntraced(function* (options: NeverStuckOptions) {
  const log = yield* Log;
  const leases = yield* Leases;
  const sessions = yield* Sessions;
  const mailboxes = yield* Mailboxes;
  const clock = yield* ServerClock;
  const childrenOf = Children.make(log, mailboxes);
  const graceMs = Duration.toMillis(Duration.fromInputUnsafe(options.grace ?? "1 minute"));

  const named = (entry: Entry): Named | undefined => {
    const address = addressOfSubject(log.layout, entry.shard, entry.subject);
    if (address === undefined) return undefined;
    const { execution, tenant } = executionOfSubject(entry.subject)!;
    // An address was found, so both have been checked.
    const of = { address, execution: execution as ExecutionId, tenant: tenant as Tenant };
    // Without an actor it is no execution of the engine, and nobody is offered its mail.
    return executionIdentity(of.execution).actor === undefined ? undefined : of;
  };

  /** The last record of each kind: every change moves one of them on. */
  const marksOf = Effect.fnUntraced(function* (address: Address) {
    const last = yield* log.lastOfEach(address, markedKinds);
    const sequences = new Map(markedKinds.map((kind) => [kind, last.get(kind)?.sequence ?? 0]));
    return { sequences, at: Math.max(...[...last.values()].map(({ at }) => at)) };
  });

  const schedulesOf = Effect.fnUntraced(function* (address: Address, life: number) {
    const schedules = new Map<string, { readonly due: number; readonly sequence: number }>();
    yield* log.read(keyedFilter(address, "timer")).pipe(
      Stream.filter((entry) => !entry.removed),
      Stream.runForEach((entry) =>
        Effect.map(Effect.option(mailRecord.decode(entry.body, entry)), (found) => {
          if (found._tag === "None" || found.value.kind !== "timer") return;
          const { key, due, life: meant } = found.value;
          if (meant === life) schedules.set(key, { due, sequence: entry.sequence });
        })
      ),
    );
    return schedules;
  });

  const isOwned = Effect.fnUntraced(function* (address: Address, now: number) {
    const lease = Option.getOrUndefined(yield* leases.current(address));
    const isLive = lease?.held === true && lease.expiresAt > now &&
      (lease.record.session !== true || (yield* sessions.isOpen(lease.record.workerInstanceId)));
    return { lease, isOwned: isLive };
  });

  /** One look at the life that an entry begins, and whether anything moved meanwhile. */
  const look = Effect.fnUntraced(function* ({ address, execution, tenant }: Named, entry: Entry) {
    const marks = yield* marksOf(address);
    const at = (kind: typeof markedKinds[number]) => marks.sequences.get(kind)!;
    const journal = Math.max(at("log"), at("signal"), at("tag"), at("done"));
    const isOver = at("done") > entry.sequence && at("done") > Math.max(at("log"), at("mail"));
    if (isOver) return { isSteady: true, troubles: [] };
    const { history } = yield* readHistory(log, address, Math.max(journal, at("mail")));
    const { state } = history;
    if (state.life !== entry.sequence) return { isSteady: true, troubles: [] };
    const offered = [
      ...(yield* Stream.runCollect(log.read(executionFilter(address, "mail")))),
      ...(yield* Stream.runCollect(log.read(keyedFilter(address, "lane")))),
    ];
    const fate = Children.bestOf(yield* Effect.forEach(offered, mailboxes.fate));
    const schedules = yield* schedulesOf(address, state.life);
    const now = yield* clock.now;
    const evidence = {
      state,
      now,
      graceMs,
      lastAt: marks.at,
      journal,
      mail: at("mail"),
      fate,
      ...(yield* isOwned(address, now)),
      schedules: new Map([...schedules].map(([key, { due }]) => [key, due])),
    };
    const own = judge(evidence);
    const troubles = own.length > 0 || fate !== "acked"
      ? own
      : yield* childrenOf(takeUpToReplay(state), { execution, tenant, life: state.life });
    if (troubles.length === 0) return { isSteady: true, troubles };
    const again = yield* marksOf(address);
    const isSteady = markedKinds.every((kind) => again.sequences.get(kind) === at(kind));
    return { isSteady, troubles };
  });

  const judgeLife = Effect.fnUntraced(function* (of: Named, entry: Entry) {
    for (let i = 0; i < looks; i++) {
      const { isSteady, troubles } = yield* look(of, entry);
      if (isSteady) return troubles;
    }
    return [];
  });

  /** Mail in front of any start, which may still come. */
  const judgeEarly = Effect.fnUntraced(function* ({ address }: Named, entry: Entry) {
    const first = Option.getOrUndefined(yield* log.first(address, "mail"));
    if (first?.sequence !== entry.sequence) return [];
    const { state } = yield* readAll(
      unread,
      yield* log.readThrough(executionFilter(address, "mail"), { through: entry.sequence }),
    );
    if (state.start !== undefined || entry.at > (yield* clock.now) - graceMs) return [];
    const why = `mail waits since ${new Date(entry.at).toISOString()} for a start`;
    return [{ type: "neverStarted", why }] satisfies ReadonlyArray<Trouble>;
  });

  const judgeEntry = Effect.fnUntraced(function* (entry: Entry) {
    const of = named(entry);
    if (of === undefined) return [];
    const { execution, tenant } = of;
    const record = Option.getOrUndefined(
      yield* Effect.option(mailRecord.decode(entry.body, entry)),
    );
    if (record?.kind !== "start") {
      const troubles = yield* judgeEarly(of, entry);
      return troubles.map((trouble): Stuck => ({ execution, tenant, life: 0, trouble }));
    }
    const troubles = yield* judgeLife(of, entry);
    const life = entry.sequence;
    if (options.repair === true) {
      const { route } = record;
      const meant = { life, ...(route === undefined ? {} : { route }) };
      yield* Effect.forEach(troubles, (trouble) => repair(of, meant, trouble), { discard: true });
    }
    return troubles.map((trouble): Stuck => ({ execution, tenant, life, trouble }));
  });

  /** Has the next owner begin its children again, as if the last one had not come to rest. */
  const disturb = Effect.fnUntraced(function* (address: Address) {
    const lease = yield* leases.acquire(address, { worker: doctor, ttl: "10 seconds" });
    yield* leases.release(lease);
  }, Effect.catchTags({ LeaseHeld: () => Effect.void, InvalidInput: Effect.die }));

  /** A timer of no operation changes nothing but that somebody looks at the execution. */
  const repair = Effect.fnUntraced(function* (
    { address }: Named,
    meant: { readonly life: number; readonly route?: Route },
    trouble: Trouble,
  ) {
    const timer = (key: string, due: Timestamp) =>
      mailRecord.encode({ kind: "timer", ...meant, key, due });
    if (trouble.type === "lostChild") yield* disturb(address);
    if (trouble.type !== "missingTimer" && trouble.type !== "overdueTimer") {
      const now = Timestamp.make(Math.round(yield* clock.now));
      return yield* Effect.asVoid(
        log.append(address, { kind: "mail", body: timer("weir.wake", now) }),
      );
    }
    const { key, due } = trouble;
    // Whoever has scheduled it meanwhile knows better.
    const after = (yield* schedulesOf(address, meant.life)).get(key)?.sequence ?? 0;
    yield* log.append(address, {
      kind: "timer",
      key,
      schedule: { at: due },
      body: timer(key, due),
      guard: { after },
    }).pipe(
      Effect.catchTags({
        AlreadyExists: () => Effect.void,
        SequenceConflict: () => Effect.void,
      }),
    );
  });

  return Stream.fromIterable(Array.from({ length: log.layout.shards }, (_, shard) => shard)).pipe(
    Stream.flatMap((shard) =>
      log.read({
        shard,
        subject: `${shardRoot(log.layout, shard)}.mail.*.${options.actor ?? "*"}.*.*`,
      })
    ),
    Stream.mapEffect(judgeEntry, { concurrency: judgedAtOnce }),
    Stream.flatMap((stuck) => Stream.fromIterable(stuck)),
  );
});

/** The executions of the namespace that will not go on by themselves. */
export const neverStuck = (
  options: NeverStuckOptions = {},
): Stream.Stream<
  Stuck,
  ReadError | AppendError,
  Leases | Log | Mailboxes | ServerClock | Sessions
> => Stream.unwrap(make(options));
