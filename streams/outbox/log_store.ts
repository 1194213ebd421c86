/**
 * The outbox in the log itself: on JetStream, or in memory where the log is. Each event has a subject
 * of its own, named by its token, so that adding it takes the token; whoever would move it on names
 * its last record, and the server refuses all but one. What a reader remembers decides nothing.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Result from "effect/Result";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { PayloadTooLarge } from "../../schema/errors.ts";
import { Tenant, Timestamp } from "../../schema/ids.ts";
import { DuplicateEvent, EventLockLost } from "../../schema/outbox_errors.ts";
import { type AppendError, Log, type Message } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { outboxAddress, shardRoot } from "../subjects.ts";
import type { OpenEvent } from "./backlog.ts";
import { count } from "./count.ts";
import * as DeadLetters from "./dead_letters.ts";
import { follow } from "./follower.ts";
import { collect } from "./garbage.ts";
import { deadRecord, type OutboxRecord, outboxRecord } from "./record.ts";
import { type Claim, type ClaimOptions, OutboxStore, type StoreError } from "./store.ts";

export interface LogStoreOptions {
  /** Whose events are added here; those of all tenants are claimed. Default `default`. */
  readonly tenant?: Tenant;
  /** How many events a reader holds in memory, of however many there are. Default 20,000. */
  readonly maxEventsInMemory?: number;
}

const atOnce = 256;
/** How often a claim looks for others in place of those that somebody else was quicker with. */
const maxRounds = 16;
const maxReasonLength = 1_000;
/** What the record of an event has beyond its payload: names, each character six bytes at most. */
export const recordBytes = 8 * 1024;
/** What a dead letter has beyond its event: a reason, each character six bytes at most, and a count. */
export const letterBytes = 8 * 1024;
/** How many that others hold are looked at when there is no room to learn of them by themselves. */
const maxRefreshed = 256;

const millis = (input: Duration.Input): number =>
  Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input)));

const message = (record: OutboxRecord, after: number): Message => ({
  kind: "outbox",
  body: outboxRecord.encode(record),
  guard: { after },
});

/** No record of ours has a fence or makes a batch that could be refused. */
const impossible = (error: AppendError) => Effect.die(error);
const otherwise = {
  StaleFence: impossible,
  InvalidBatch: impossible,
  PayloadTooLarge: impossible,
} as const;

const make = Effect.fnUntraced(function* (options: LogStoreOptions) {
  const { tenant = Tenant.make("default"), maxEventsInMemory = 20_000 } = options;
  const log = yield* Log;
  const clock = yield* ServerClock;
  const scope = yield* Scope.Scope;
  const deadLetters = DeadLetters.make(log);
  /** Where events are added that no execution adds, so that a token is looked for in one place. */
  const first = { shard: 0, root: shardRoot(log.layout, 0) };
  const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);
  /** Whoever only adds events follows none. */
  const following = yield* Effect.cached(
    follow(log, maxEventsInMemory).pipe(Scope.provide(scope)),
  );

  const insert: OutboxStore["Service"]["insert"] = Effect.fn("OutboxStore.insert")(
    function* (event) {
      const name = event.idempotencyToken ?? event.id;
      const to = outboxAddress(first, tenant, name);
      const createdAt = Timestamp.make(Math.floor(yield* clock.now));
      const added = message({ kind: "event", ...event, createdAt }, 0);
      const sizeBytes = added.body.length;
      const limitBytes = log.maxPayloadBytes - letterBytes;
      if (sizeBytes > limitBytes) return yield* new PayloadTooLarge({ sizeBytes, limitBytes });
      yield* log.append(to, added).pipe(
        Effect.catchTags({
          StaleFence: impossible,
          InvalidBatch: impossible,
          AlreadyExists: () => Effect.fail(new DuplicateEvent({ token: name })),
          SequenceConflict: impossible,
        }),
      );
      return { ...event, createdAt, lockedUntil: Timestamp.make(0), status: "pending" };
    },
  );

  const claimOf = (
    { event, createdAt, failures }: OpenEvent,
    { owner, lock, until }: {
      readonly owner: string;
      readonly lock: number;
      readonly until: number;
    },
  ): Claim => ({
    event: {
      ...event,
      createdAt,
      lockedUntil: Timestamp.make(Math.floor(until)),
      status: "processing",
    },
    owner,
    lock,
    failures,
  });

  const claim: OutboxStore["Service"]["claim"] = Effect.fn("OutboxStore.claim")(
    function* ({ owner, limit, lock }: ClaimOptions) {
      const follower = yield* following;
      yield* follower.intact;
      const lockMs = millis(lock);
      const claims: Array<Claim> = [];

      const take = Effect.fnUntraced(function* (open: OpenEvent, now: number) {
        const record = { kind: "claimed", owner, lockMs } as const;
        const taken = yield* log.append(open.address, message(record, open.sequence)).pipe(
          Effect.catchTags({
            ...otherwise,
            // Somebody was quicker, and has left word of it.
            AlreadyExists: () => Effect.as(follower.refresh(open), undefined),
            SequenceConflict: () => Effect.as(follower.refresh(open), undefined),
          }),
        );
        if (taken === undefined) return;
        const { sequence } = taken;
        follower.backlog.take({ address: open.address, sequence, at: now, record });
        claims.push(claimOf(open, { owner, lock: sequence, until: now + lockMs }));
      });

      const now = yield* clock.now;
      let problem: StoreError | undefined;
      for (let round = 0; round < maxRounds && claims.length < limit; round++) {
        const wanted = limit - claims.length;
        const found = follower.backlog.claimable(now, { owner, limit: wanted });
        if (found.length === 0 || problem !== undefined) break;
        const taken = yield* Effect.forEach(
          found.slice(0, wanted),
          (open) => Effect.result(take(open, now)),
          { concurrency: atOnce },
        );
        problem = taken.find(Result.isFailure)?.failure;
      }
      // What was claimed before the store failed would otherwise wait until its lock lapses.
      if (problem !== undefined && claims.length === 0) return yield* Effect.fail(problem);
      if (claims.length < limit && follower.isFull()) {
        const held = [...follower.backlog.events].filter(({ isClaimed }) => isClaimed);
        yield* Effect.forEach(held.slice(0, maxRefreshed), follower.refresh, {
          concurrency: 16,
          discard: true,
        });
      }
      follower.makeRoom();
      return claims;
    },
  );

  /** Moves a claimed event on; only whoever knows its last record can. */
  const moveWith = Effect.fnUntraced(function* (
    { event: { id }, owner, lock }: Claim,
    record: OutboxRecord,
    along: ReadonlyArray<Message>,
  ) {
    const lost = () => Effect.fail(new EventLockLost({ event: id, owner, lock }));
    const follower = yield* following;
    const open = follower.backlog.byId(id);
    if (open === undefined) return yield* lost();
    const { address } = open;
    const messages = [message(record, lock), ...along];
    const append = messages.length === 1
      ? log.append(address, messages[0]!)
      : log.appendBatch(address, messages);
    const { sequence } = yield* append.pipe(
      Effect.catchTags({
        StaleFence: impossible,
        InvalidBatch: impossible,
        AlreadyExists: lost,
        SequenceConflict: lost,
      }),
    );
    const now = yield* clock.now;
    follower.backlog.take({ address, sequence, at: now, record });
    follower.makeRoom();
    return { open, sequence, now };
  });

  const move = (claim: Claim, record: OutboxRecord) =>
    Effect.catchTag(moveWith(claim, record, []), "PayloadTooLarge", impossible);

  const reasonOf = (reason: string): string => reason.slice(0, maxReasonLength);

  return OutboxStore.of({
    insert,
    claim,
    renew: Effect.fn("OutboxStore.renew")(function* (claim, lock) {
      const lockMs = millis(lock);
      const before = yield* clock.now;
      const { owner } = claim;
      const { open, sequence } = yield* move(claim, { kind: "claimed", owner, lockMs });
      return claimOf(open, { owner, lock: sequence, until: before + lockMs });
    }),
    markSent: Effect.fn("OutboxStore.markSent")(function* (claims) {
      const marked = yield* Effect.forEach(
        claims,
        (claim) => Effect.result(move(claim, { kind: "sent" })),
        { concurrency: atOnce },
      );
      const failures = marked.filter(Result.isFailure).map(({ failure }) => failure);
      const refused = failures.filter((error) => error._tag === "EventLockLost");
      const problem = failures.find((error) => error._tag !== "EventLockLost");
      return problem === undefined ? refused : yield* Effect.fail<StoreError>(problem);
    }),
    markFailed: Effect.fn("OutboxStore.markFailed")(function* (claim, { reason, retryAfter }) {
      yield* move(claim, {
        kind: "failed",
        failures: claim.failures + 1,
        reason: reasonOf(reason),
        retryAfterMs: millis(retryAfter),
      });
    }),
    release: Effect.fn("OutboxStore.release")(function* (claim) {
      yield* move(claim, { kind: "released" });
    }),
    deadLetter: Effect.fn("OutboxStore.deadLetter")(function* (claim, reason) {
      const { lockedUntil: _, status: __, ...event } = claim.event;
      const letter = {
        kind: "letter",
        ...event,
        failures: claim.failures + 1,
        reason: reasonOf(reason),
      } as const;
      yield* moveWith(claim, { kind: "dead" }, [
        { kind: "dead", body: deadRecord.encode(letter) },
      ]);
    }),
    deadLetters: deadLetters.list,
    requeue: Effect.fn("OutboxStore.requeue")((id) =>
      deadLetters.end(id, ({ failures: _, reason: __, diedAt: ___, ...event }) => ({
        kind: "event",
        ...event,
      })).pipe(
        Effect.catchTags({ ...otherwise, AlreadyExists: impossible, SequenceConflict: impossible }),
      )
    ),
    deleteDeadLetter: Effect.fn("OutboxStore.deleteDeadLetter")((id) =>
      deadLetters.end(id, () => ({ kind: "deleted" })).pipe(
        Effect.catchTags({ ...otherwise, AlreadyExists: impossible, SequenceConflict: impossible }),
      )
    ),
    collectGarbage: Effect.fn("OutboxStore.collectGarbage")(function* ({ sentBefore, limit }) {
      const until = (yield* clock.now) - millis(sentBefore);
      let removed = 0;
      for (const shard of shards) {
        removed += yield* collect(log, shard, { until, limit: limit - removed });
      }
      yield* deadLetters.sweep;
      return removed;
    }),
    counts: Effect.gen(function* () {
      const now = yield* clock.now;
      const counted = yield* Effect.forEach(shards, (shard) => count(log, shard, now));
      const total = (what: "pending" | "processing") =>
        counted.reduce((sum, each) => sum + each[what], 0);
      const dead = yield* deadLetters.count;
      return { pending: total("pending"), processing: total("processing"), dead };
    }),
    news: Stream.unwrap(
      Effect.map(
        following,
        ({ news, intact }) => Stream.mapEffect(Stream.fromPubSub(news), () => intact),
      ),
    ),
  });
});

/** The outbox of a namespace. */
export const layer = (
  options: LogStoreOptions = {},
): Layer.Layer<OutboxStore, never, Log | ServerClock> => Layer.effect(OutboxStore, make(options));
