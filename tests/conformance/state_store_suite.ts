/**
 * The contract of `StateStore`, as every bucket must keep it. A bucket's test file calls it with the
 * bucket and with a step of time; nothing here knows which one it is.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as References from "effect/References";
import { ExecutionSnapshot, snapshotRecord } from "../../schema/execution_snapshot.ts";
import { ExecutionId, type Tenant, Timestamp } from "../../schema/ids.ts";
import { encodeToken } from "../../schema/token.ts";
import { EventStore } from "../../streams/event_store.ts";
import { Log } from "../../streams/log.ts";
import { skippedRecords } from "../../streams/metrics.ts";
import { StateStore } from "../../streams/state_store.ts";
import { Bucket } from "../../streams/state_store/bucket.ts";
import { customs } from "./event_store/matter.ts";
import { body, type Run, uniqueExecution, uniqueTenant } from "./subject_matter.ts";

export type Services = StateStore | Bucket | EventStore | Log;

interface Subject {
  readonly store: StateStore["Service"];
  readonly events: EventStore["Service"];
  readonly bucket: Bucket["Service"];
  readonly log: Log["Service"];
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
}

const snapshotOf = (
  { execution, tenant }: Pick<Subject, "execution" | "tenant">,
  sequenceNumber: number,
): ExecutionSnapshot =>
  ExecutionSnapshot.make({
    executionId: execution,
    tenantId: tenant,
    userId: "ana",
    state: "running",
    currentStepId: "charge",
    stepOutputs: { reserve: { room: 12 } },
    variables: { cents: 4200, names: ["ü", null] },
    timestamp: Timestamp.make(1_700_000_000_000),
    sequenceNumber,
  });

const keyOf = ({ execution, tenant }: Subject): string =>
  `snapshot.${encodeToken(tenant)}.${encodeToken(execution)}`;

const uniqueKey = () => `key ${randomUUID()}`;

/** `passing` is a step of time; a hundred of them are longer than two seconds. */
export const stateStoreSuite = (
  name: string,
  run: Run<Services>,
  passing: Effect.Effect<void>,
): void => {
  const test = (title: string, effect: (subject: Subject) => Effect.Effect<unknown, unknown>) =>
    it(title, () =>
      run(
        Effect.gen(function* () {
          yield* effect({
            store: yield* StateStore,
            events: yield* EventStore,
            bucket: yield* Bucket,
            log: yield* Log,
            execution: uniqueExecution(),
            tenant: uniqueTenant(),
          });
        }).pipe(Effect.provideService(References.MinimumLogLevel, "None")),
      ));

  const begin = ({ events, execution, tenant }: Subject) =>
    events.appendBatch(execution, tenant, customs("a", "b", "c"));

  /** Fails unless no snapshot is given, and one record was counted as passed over. */
  const assertIgnored = ({ store, execution, tenant }: Subject) =>
    Effect.gen(function* () {
      const before = yield* Metric.value(skippedRecords);
      assert.deepEqual(yield* store.loadSnapshot(execution, tenant), Option.none());
      const after = yield* Metric.value(skippedRecords);
      assert.equal(after.count - before.count, 1);
    });

  describe(`${name}: snapshots`, () => {
    test("a snapshot of the last event is current, and one of an earlier is not", (subject) =>
      Effect.gen(function* () {
        const { store, events, execution, tenant } = subject;
        yield* begin(subject);
        for (const sequence of [3, 1, 0]) {
          const snapshot = snapshotOf(subject, sequence);
          yield* store.saveSnapshot(snapshot);
          assert.deepEqual(
            yield* store.loadSnapshot(execution, tenant),
            Option.some({ snapshot, latestSequence: 3, isCurrent: sequence === 3 }),
          );
        }
        yield* store.saveSnapshot(snapshotOf(subject, 3));
        yield* events.appendBatch(execution, tenant, customs("d"));
        const loaded = Option.getOrThrow(yield* store.loadSnapshot(execution, tenant));
        assert.deepEqual([loaded.latestSequence, loaded.isCurrent], [4, false]);
      }));

    test("a snapshot without what is optional, of no events, is current", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const { userId: _, currentStepId: __, ...rest } = snapshotOf(subject, 0);
        yield* store.saveSnapshot(rest);
        assert.deepEqual(
          yield* store.loadSnapshot(execution, tenant),
          Option.some({ snapshot: rest, latestSequence: 0, isCurrent: true }),
        );
      }));

    test("a snapshot ahead of the log is never given, and counted", (subject) =>
      Effect.gen(function* () {
        const { store } = subject;
        yield* store.saveSnapshot(snapshotOf(subject, 1));
        yield* assertIgnored(subject);
        yield* begin(subject);
        yield* store.saveSnapshot(snapshotOf(subject, 4));
        yield* assertIgnored(subject);
      }));

    test("a snapshot of another log is never given, and counted", (subject) =>
      Effect.gen(function* () {
        const { bucket } = subject;
        yield* begin(subject);
        const record = snapshotRecord.encode({
          kind: "snapshot",
          incarnation: "0123456789abcdef",
          snapshot: snapshotOf(subject, 1),
        });
        yield* bucket.set(keyOf(subject), record, undefined);
        yield* assertIgnored(subject);
      }));

    const tampered: Readonly<Record<string, (subject: Subject) => Uint8Array>> = {
      "of no bytes": () => new Uint8Array(),
      "that is no JSON": () => body("{"),
      "of another kind": () => body(JSON.stringify({ v: 1, kind: "lease" })),
      "of a later version": () => body(JSON.stringify({ v: 99, kind: "snapshot" })),
      "with a sequence that cannot be": ({ log: { incarnation }, ...subject }) =>
        body(JSON.stringify({
          v: 1,
          kind: "snapshot",
          incarnation,
          snapshot: { ...snapshotOf(subject, 1), sequenceNumber: -1 },
        })),
      "of another execution": ({ log: { incarnation }, ...subject }) =>
        snapshotRecord.encode({
          kind: "snapshot",
          incarnation,
          snapshot: { ...snapshotOf(subject, 1), executionId: uniqueExecution() },
        }),
      "of another tenant": ({ log: { incarnation }, ...subject }) =>
        snapshotRecord.encode({
          kind: "snapshot",
          incarnation,
          snapshot: { ...snapshotOf(subject, 1), tenantId: uniqueTenant() },
        }),
    };
    for (const [what, record] of Object.entries(tampered)) {
      test(`a snapshot ${what} is as good as none, and counted`, (subject) =>
        Effect.gen(function* () {
          const { store, bucket, execution, tenant } = subject;
          yield* begin(subject);
          yield* store.saveSnapshot(snapshotOf(subject, 3));
          yield* bucket.set(keyOf(subject), record(subject), undefined);
          yield* assertIgnored(subject);
          yield* store.saveSnapshot(snapshotOf(subject, 2));
          const loaded = Option.getOrThrow(yield* store.loadSnapshot(execution, tenant));
          assert.equal(loaded.snapshot.sequenceNumber, 2);
        }));
    }

    test("a snapshot that is none is refused", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const wrong = [
          { ...snapshotOf(subject, 1), sequenceNumber: -1 },
          { ...snapshotOf(subject, 1), variables: { when: 1n } },
          { executionId: execution },
        ] as ReadonlyArray<unknown> as ReadonlyArray<ExecutionSnapshot>;
        for (const snapshot of wrong) {
          assert.equal((yield* Effect.flip(store.saveSnapshot(snapshot)))._tag, "InvalidInput");
        }
        assert.deepEqual(yield* store.listSnapshots(tenant), []);
      }));

    test("snapshots are listed and deleted, by tenant", (subject) =>
      Effect.gen(function* () {
        const { store, tenant } = subject;
        const stranger = uniqueTenant();
        const executions = ["a.b", "b/c", "*", "ü", "x".repeat(200)]
          .map((id) => ExecutionId.make(id));
        for (const execution of executions) {
          for (const each of [tenant, stranger]) {
            yield* store.saveSnapshot(snapshotOf({ execution, tenant: each }, 0));
          }
        }
        const [first, ...others] = [...executions].sort();
        assert.deepEqual(yield* store.listSnapshots(tenant), [first, ...others]);
        yield* store.deleteSnapshot(first!, tenant);
        yield* store.deleteSnapshot(first!, tenant);
        assert.deepEqual(yield* store.loadSnapshot(first!, tenant), Option.none());
        assert.deepEqual(yield* store.listSnapshots(tenant), others);
        assert.equal((yield* store.listSnapshots(stranger)).length, 5);
        assert.ok(Option.isSome(yield* store.loadSnapshot(first!, stranger)));
        assert.deepEqual(yield* store.listSnapshots(uniqueTenant()), []);
        yield* store.saveSnapshot(snapshotOf({ execution: first!, tenant }, 0));
        assert.deepEqual(yield* store.listSnapshots(tenant), [first, ...others]);
      }));
  });

  describe(`${name}: values`, () => {
    test("a value is what was set last, until it is deleted", ({ store }) =>
      Effect.gen(function* () {
        const key = uniqueKey();
        assert.deepEqual(yield* store.get(key), Option.none());
        assert.equal(yield* store.exists(key), false);
        for (const bytes of [new Uint8Array([0, 255, 10]), new Uint8Array(), body("text")]) {
          yield* store.set(key, bytes);
          assert.deepEqual(yield* store.get(key), Option.some(bytes));
          assert.equal(yield* store.exists(key), true);
        }
        yield* store.delete(key);
        assert.deepEqual(yield* store.get(key), Option.none());
        assert.equal(yield* store.exists(key), false);
        yield* store.delete(key);
        yield* store.set(key, body("again"));
        assert.deepEqual(yield* store.get(key), Option.some(body("again")));
      }));

    test("what the caller does to the bytes afterwards changes nothing", ({ store }) =>
      Effect.gen(function* () {
        const key = uniqueKey();
        const bytes = Buffer.from("mine");
        yield* store.set(key, bytes);
        bytes.fill(0);
        Option.getOrThrow(yield* store.get(key)).fill(0);
        assert.deepEqual(yield* store.get(key), Option.some(body("mine")));
      }));

    test("a value with a lifetime ends by itself, and one set over it does not", ({ store }) =>
      Effect.gen(function* () {
        const [mortal, renewed, kept] = [uniqueKey(), uniqueKey(), uniqueKey()];
        yield* store.set(mortal, body("a"), "1 second");
        yield* store.set(renewed, body("b"), "1 second");
        yield* store.set(renewed, body("b"));
        yield* store.set(kept, body("c"), "1 hour");
        assert.equal(yield* store.exists(mortal), true);
        for (let step = 0; yield* store.exists(mortal); step++) {
          assert.ok(step < 100, "the value does not end");
          yield* passing;
        }
        for (let step = 0; step < 5; step++) yield* passing;
        assert.deepEqual(yield* store.get(mortal), Option.none());
        assert.equal(yield* store.exists(renewed), true);
        assert.equal(yield* store.exists(kept), true);
        yield* store.set(mortal, body("d"));
        assert.deepEqual(yield* store.get(mortal), Option.some(body("d")));
      }));

    test("lifetimes and keys that cannot be are refused", ({ store }) =>
      Effect.gen(function* () {
        for (const ttl of [0, -1, "-5 seconds", NaN, Infinity, "1e9 days"] as const) {
          const set = store.set(uniqueKey(), body("a"), ttl as number);
          assert.equal((yield* Effect.flip(set))._tag, "InvalidInput", String(ttl));
        }
        for (const key of ["", "x".repeat(201), "ü".repeat(101), "\ud800"]) {
          for (
            const verb of [
              store.set(key, body("a")),
              store.get(key),
              store.exists(key),
              store.delete(key),
            ]
          ) {
            const error = yield* Effect.flip<unknown, { readonly _tag: string }, never>(verb);
            assert.equal(error._tag, "InvalidInput");
          }
        }
      }));

    test("hostile keys are keys, and no snapshots", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const prefix = randomUUID();
        const snapshot = `snapshot.${encodeToken(tenant)}.${encodeToken(execution)}`;
        const keys = [
          `${prefix}.b`,
          `${prefix}*`,
          `${prefix}>`,
          `${prefix} ü`,
          `.${prefix}.`,
          snapshot,
        ];
        for (const key of keys) yield* store.set(key, body(key));
        for (const key of keys) assert.deepEqual(yield* store.get(key), Option.some(body(key)));
        assert.deepEqual(yield* store.loadSnapshot(execution, tenant), Option.none());
        assert.deepEqual(yield* store.listSnapshots(tenant), []);
      }));

    test("a value at the limit is stored, and one byte more is refused", ({ store, bucket }) =>
      Effect.gen(function* () {
        const key = uniqueKey();
        const largest = new Uint8Array(bucket.maxValueBytes).map((_, i) => i * 7);
        yield* store.set(key, largest, "1 hour");
        assert.deepEqual(Option.getOrThrow(yield* store.get(key)), largest);
        const error = yield* Effect.flip(store.set(key, new Uint8Array(largest.length + 1)));
        assert.ok(error._tag === "PayloadTooLarge");
        assert.equal(error.limitBytes, largest.length);
        assert.equal(Option.getOrThrow(yield* store.get(key)).length, largest.length);
      }));
  });
};
