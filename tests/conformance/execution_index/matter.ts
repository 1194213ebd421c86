/** Executions whose records are written as clients and owners would, for listings to find. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Schedule from "effect/Schedule";
import { ExecutionId, Tenant, Timestamp, WorkerInstanceId } from "../../../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../../../schema/journal_record.ts";
import { type MailRecord, mailRecord, type Tags } from "../../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../../schema/outcome_record.ts";
import { ExecutionIndex, type ExecutionQuery } from "../../../streams/execution_index.ts";
import { type Lease, Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { type Address, executionAddress, type Kind } from "../../../streams/subjects.ts";

export type Services = ExecutionIndex | Leases | Log;

/** One execution, and who owns it. */
export interface Subject {
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly address: Address;
  readonly life: number;
}

export const newTenant = (): Tenant => Tenant.make(`tenant-${randomUUID()}`);
export const newWorker = (): WorkerInstanceId => WorkerInstanceId.make(randomUUID());

export const send = (address: Address, record: MailRecord) =>
  Effect.flatMap(
    Log,
    (log) => log.append(address, { kind: "mail", body: mailRecord.encode(record) }),
  );

export interface StartOptions {
  readonly tags?: Tags;
  readonly notBefore?: number;
}

export const start = (
  tenant: Tenant,
  execution: string = `order/${randomUUID()}`,
  { tags, notBefore }: StartOptions = {},
) =>
  Effect.gen(function* () {
    const { layout } = yield* Log;
    const id = ExecutionId.make(execution);
    const address = executionAddress(layout, tenant, id);
    const { sequence } = yield* send(address, {
      kind: "start",
      seed: "s",
      ...(tags === undefined ? {} : { tags }),
      ...(notBefore === undefined ? {} : { notBefore: Timestamp.make(notBefore) }),
    });
    return { tenant, execution: id, address, life: sequence } satisfies Subject;
  });

export const startAll = (tenant: Tenant, count: number, options?: StartOptions) =>
  Effect.forEach(
    Array.from({ length: count }, () => undefined),
    () => start(tenant, undefined, options),
  );

export const claim = (subject: Subject) =>
  Effect.flatMap(
    Leases,
    (leases) => leases.acquire(subject.address, { worker: newWorker(), ttl: "30 seconds" }),
  );

export const release = (lease: Lease) => Effect.flatMap(Leases, (leases) => leases.release(lease));

type Written = JournalRecord extends infer Each
  ? Each extends JournalRecord ? Omit<Each, "life" | "index" | "mail"> : never
  : never;

const subjects: Readonly<Record<string, Kind>> = { done: "done", tag: "tag", signal: "signal" };

/** An owner's record. */
export const write = (subject: Subject, lease: Lease, record: Written) =>
  Effect.flatMap(Log, (log) =>
    log.append(subject.address, {
      kind: subjects[record.kind] ?? "log",
      body: journalRecord.encode(
        { ...record, life: subject.life, index: 1, mail: subject.life } as JournalRecord,
      ),
      guard: lease.fence,
    }));

export const end = (subject: Subject, lease: Lease, outcome: OutcomeRecord) =>
  write(subject, lease, {
    kind: "done",
    outcome,
    attempt: 0,
    startedAt: Timestamp.make(0),
  });

/** Runs an execution to an end. */
export const run = (subject: Subject, outcome: OutcomeRecord = { type: "success" }) =>
  Effect.gen(function* () {
    const lease = yield* claim(subject);
    yield* end(subject, lease, outcome);
    yield* release(lease);
  });

/** Everything that a query finds, page by page. */
export const listAll = (query: Omit<ExecutionQuery, "limit" | "from">, limit = 100) =>
  Effect.gen(function* () {
    const index = yield* ExecutionIndex;
    let page = yield* index.list({ ...query, limit });
    const found = [...page.executions];
    while (page.next !== undefined) {
      page = yield* index.list({ ...query, limit, from: page.next });
      found.push(...page.executions);
    }
    return found;
  });

export const idsOf = (listed: ReadonlyArray<{ readonly execution: ExecutionId }>) =>
  listed.map(({ execution }) => execution);

/** Asks again until the answer is the expected one; fails with the difference if it never is. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  expected: A,
  deadline: Duration.Input = "30 seconds",
) =>
  Effect.flatMap(ask, (actual) =>
    Effect.try({
      try: () => assert.deepEqual(actual, expected),
      catch: (difference) => difference,
    })).pipe(
      Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: deadline }))),
    );

/** Runs an effect beside a projector. */
export const projecting = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const index = yield* ExecutionIndex;
    const projector = yield* Effect.forkChild(index.project);
    const result = yield* effect;
    yield* Fiber.interrupt(projector);
    return result;
  });
