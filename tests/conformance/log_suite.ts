/**
 * The contract of `Log`, as every layer must keep it. A layer's test file calls it with the layer;
 * nothing here knows which one it is.
 */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Log, type Message } from "../../streams/log.ts";
import { clientMessageId } from "../../streams/message_id.ts";
import {
  executionAddress,
  executionFilter,
  type Kind,
  subjectKinds,
  subjectOf,
  tenantFilter,
} from "../../streams/subjects.ts";
import { claim, collect, logTest, move } from "./log_suite/log_case.ts";
import { removalSuite } from "./log_suite/removal.ts";
import { scheduleSuite } from "./log_suite/schedules.ts";
import { wholeReadSuite } from "./log_suite/whole_reads.ts";
import { body, type Run, tenant, text, uniqueExecution, uniqueTenant } from "./subject_matter.ts";

const ownerKinds = subjectKinds.filter((kind) => kind !== "mail" && kind !== "index");

export const logSuite = (name: string, run: Run<Log>): void => {
  const test = logTest(run);
  scheduleSuite(name, run);
  wholeReadSuite(name, run);
  removalSuite(name, run);

  describe(`${name}: append`, () => {
    test(
      "sequences rise and the record reads back as it was",
      (log, address) =>
        Effect.gen(function* () {
          const first = yield* log.append(address, {
            kind: "log",
            body: body("one"),
            id: `${address.tail}-1`,
          });
          const second = yield* log.append(address, { kind: "log", body: body("two") });
          assert.equal(first.duplicate, false);
          assert.ok(second.sequence > first.sequence);
          const entries = yield* collect(log.read(executionFilter(address, "log")));
          assert.deepEqual(entries.map((entry) => [entry.sequence, text(entry), entry.subject]), [
            [first.sequence, "one", subjectOf(address, "log")],
            [second.sequence, "two", subjectOf(address, "log")],
          ]);
          assert.equal(entries[0]!.id, `${address.tail}-1`);
          assert.ok(entries[0]!.at <= entries[1]!.at);
        }),
    );

    test(
      "create-once stores the first and refuses the second with its sequence",
      (log, address) =>
        Effect.gen(function* () {
          const create = log.append(address, {
            kind: "mail",
            body: body("start"),
            guard: { after: 0 },
          });
          const { sequence } = yield* create;
          const error = yield* Effect.flip(create);
          assert.equal(error._tag, "AlreadyExists");
          assert.equal(error._tag === "AlreadyExists" && error.sequence, sequence);
        }),
    );

    test(
      "an append that names an older last record is refused with the actual one",
      (log, address) =>
        Effect.gen(function* () {
          const first = yield* log.append(address, {
            kind: "event",
            body: body("1"),
            guard: { after: 0 },
          });
          const second = yield* log.append(address, {
            kind: "event",
            body: body("2"),
            guard: { after: first.sequence },
          });
          const error = yield* Effect.flip(
            log.append(address, {
              kind: "event",
              body: body("x"),
              guard: { after: first.sequence },
            }),
          );
          assert.ok(error._tag === "SequenceConflict");
          assert.deepEqual([error.expected, error.actual], [first.sequence, second.sequence]);
        }),
    );

    test("the same message id is stored once", (log, address) =>
      Effect.gen(function* () {
        const id = clientMessageId({ subject: subjectOf(address, "mail"), verb: "signal" }, "key");
        const message: Message = { kind: "mail", body: body("signal"), id };
        const first = yield* log.append(address, message);
        const again = yield* log.append(address, message);
        assert.deepEqual(again, { sequence: first.sequence, duplicate: true });
        assert.equal((yield* collect(log.read(executionFilter(address)))).length, 1);
      }));

    test(
      "attack 5: one idempotency key on two executions stores both",
      (log, address) =>
        Effect.gen(function* () {
          const other = executionAddress(log.layout, tenant, uniqueExecution());
          for (const to of [address, other]) {
            const id = clientMessageId(
              { subject: subjectOf(to, "mail"), verb: "signal" },
              "same-key",
            );
            const { duplicate } = yield* log.append(to, { kind: "mail", body: body("signal"), id });
            assert.equal(duplicate, false);
          }
        }),
    );

    test(
      "appends of one execution keep the order in which they were made",
      (log, address) =>
        Effect.gen(function* () {
          const bodies = Array.from({ length: 50 }, (_, i) => String(i));
          yield* Effect.forEach(
            bodies,
            (each) => log.append(address, { kind: "log", body: body(each) }),
            { concurrency: "unbounded" },
          );
          assert.deepEqual(
            (yield* collect(log.read(executionFilter(address, "log")))).map(text),
            bodies,
          );
        }),
    );

    test(
      "a payload above the limit is refused and leaves nothing",
      (log, address) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(
            log.append(address, { kind: "log", body: new Uint8Array(2 * 1024 * 1024 + 1) }),
          );
          assert.equal(error._tag, "PayloadTooLarge");
          assert.deepEqual(yield* collect(log.read(executionFilter(address))), []);
        }),
    );

    test(
      "what has to fit in a message is taken up to what has room there, and refused above",
      (log, address) =>
        Effect.gen(function* () {
          const { maxMessageBytes } = log;
          const put = (kind: "store" | "snap", size: number) => {
            const message: Message = { kind, body: new Uint8Array(size) };
            return log.append(address, kind === "snap" ? { ...message, replaces: true } : message);
          };
          for (const kind of ["store", "snap"] as const) {
            yield* put(kind, maxMessageBytes);
            const error = yield* Effect.flip(put(kind, 1024 * 1024));
            assert.equal(error._tag, "PayloadTooLarge");
            assert.doesNotMatch(error.message, /raise maxPayloadBytes/);
            const { body } = Option.getOrThrow(yield* log.last(address, kind));
            assert.equal(body.length, maxMessageBytes);
          }
        }),
    );

    test(
      "a payload at the limit, above what a message holds, reads back whole",
      (log, address) =>
        Effect.gen(function* () {
          const large = new Uint8Array(2 * 1024 * 1024).map((_, i) => i * 7);
          const { sequence } = yield* log.append(address, { kind: "log", body: large });
          const [entry] = yield* collect(log.read(executionFilter(address)));
          assert.equal(entry!.sequence, sequence);
          assert.deepEqual(entry!.body, large);
          assert.deepEqual(Option.getOrThrow(yield* log.last(address, "log")).body, large);
        }),
    );
  });

  describe(`${name}: fence`, () => {
    for (const kind of ownerKinds) {
      test(`a stale owner's ${kind} record is refused`, (log, address) =>
        Effect.gen(function* () {
          const fence = yield* claim(log, address, 0);
          const write = log.append(address, {
            kind,
            body: body("mine"),
            guard: fence,
            ...keyOf(kind),
          });
          yield* write;
          yield* move(log, address, fence);
          const error = yield* Effect.flip(write);
          assert.ok(error._tag === "StaleFence");
          assert.equal(error.landed, "no");
          const stored = yield* collect(
            log.read({
              shard: address.shard,
              subject: `${subjectOf(address, kind)}${isKeyed(kind) ? ".*" : ""}`,
            }),
          );
          assert.equal(stored.length, 1);
        }));
    }

    test(
      "a renewal moves the fence on for the owner's later records",
      (log, address) =>
        Effect.gen(function* () {
          const fence = yield* claim(log, address, 0);
          yield* Effect.all([
            log.append(address, { kind: "log", body: body("before"), guard: fence }),
            log.append(address, {
              kind: "lease",
              body: body("renewed"),
              guard: fence,
              onStored: (sequence) => fence.advance(sequence),
            }),
            log.append(address, { kind: "log", body: body("after"), guard: fence }),
          ], { concurrency: "unbounded" });
          assert.deepEqual((yield* collect(log.read(executionFilter(address, "log")))).map(text), [
            "before",
            "after",
          ]);
        }),
    );

    test("a fence that was lost stays lost", (log, address) =>
      Effect.gen(function* () {
        const fence = yield* claim(log, address, 0);
        yield* move(log, address, fence);
        yield* Effect.flip(log.append(address, { kind: "log", body: body("x"), guard: fence }));
        assert.equal(fence.lost, true);
      }));

    test(
      "an execution's fence says nothing about another execution",
      (log, address) =>
        Effect.gen(function* () {
          const fence = yield* claim(log, address, 0);
          const other = executionAddress(log.layout, tenant, uniqueExecution());
          const theirs = yield* claim(log, other, 0);
          yield* move(log, other, theirs);
          yield* log.append(address, { kind: "log", body: body("mine"), guard: fence });
        }),
    );
  });

  describe(`${name}: batch`, () => {
    test(
      "a batch has consecutive sequences from the one that it returns",
      (log, address) =>
        Effect.gen(function* () {
          const messages = ["a", "b", "c"].map((each): Message => ({
            kind: "event",
            body: body(each),
          }));
          const { sequence } = yield* log.appendBatch(address, messages);
          const entries = yield* collect(log.read(executionFilter(address)));
          assert.deepEqual(entries.map((entry) => entry.sequence), [
            sequence,
            sequence + 1,
            sequence + 2,
          ]);
          assert.deepEqual(entries.map(text), ["a", "b", "c"]);
        }),
    );

    test(
      "a stale fence inside a batch refuses all of it",
      (log, address) =>
        Effect.gen(function* () {
          const fence = yield* claim(log, address, 0);
          yield* move(log, address, fence);
          const error = yield* Effect.flip(log.appendBatch(address, [
            { kind: "log", body: body("1"), guard: fence },
            { kind: "done", body: body("2"), guard: fence },
          ]));
          assert.equal(error._tag, "StaleFence");
          assert.deepEqual(yield* collect(log.read(executionFilter(address))), []);
        }),
    );

    test(
      "a batch of kinds under one fence is stored whole",
      (log, address) =>
        Effect.gen(function* () {
          const fence = yield* claim(log, address, 0);
          yield* log.appendBatch(address, [
            { kind: "log", body: body("step"), guard: fence },
            { kind: "tag", body: body("tag"), guard: fence },
            { kind: "done", body: body("done"), guard: fence },
          ]);
          assert.deepEqual((yield* collect(log.read(executionFilter(address)))).map(text), [
            "step",
            "tag",
            "done",
          ]);
        }),
    );

    test(
      "an empty batch and one above the limit are refused",
      (log, address) =>
        Effect.gen(function* () {
          for (const size of [0, 1001]) {
            const messages = Array.from(
              { length: size },
              (): Message => ({ kind: "event", body: body("x") }),
            );
            const error = yield* Effect.flip(log.appendBatch(address, messages));
            assert.ok(error._tag === "InvalidBatch");
            assert.equal(error.size, size);
          }
          assert.deepEqual(yield* collect(log.read(executionFilter(address))), []);
        }),
    );

    test("a batch at the limit is stored whole", (log, address) =>
      Effect.gen(function* () {
        const messages = Array.from(
          { length: 1000 },
          (_, i): Message => ({ kind: "event", body: body(String(i)) }),
        );
        yield* log.appendBatch(address, messages);
        const stored = yield* collect(log.read(executionFilter(address, "event")));
        assert.deepEqual(stored.map(text), messages.map((_, i) => String(i)));
      }));
  });

  describe(`${name}: read`, () => {
    test(
      "reading after a sequence is exclusive, and up to one inclusive",
      (log, address) =>
        Effect.gen(function* () {
          const sequences: Array<number> = [];
          for (const each of ["1", "2", "3", "4"]) {
            sequences.push(
              (yield* log.append(address, { kind: "log", body: body(each) })).sequence,
            );
          }
          const entries = yield* collect(
            log.read(executionFilter(address), { after: sequences[0]!, upTo: sequences[2]! }),
          );
          assert.deepEqual(entries.map(text), ["2", "3"]);
          for (
            const nothing of [
              { after: sequences[3]! },
              { after: sequences[2]!, upTo: sequences[0]! },
            ]
          ) assert.deepEqual(yield* collect(log.read(executionFilter(address), nothing)), []);
        }),
    );

    test(
      "the last record of a subject that has none is none",
      (log, address) =>
        Effect.gen(function* () {
          assert.ok(Option.isNone(yield* log.last(address, "log")));
        }),
    );

    test(
      "an execution's read does not show its neighbours, its lease or its timers",
      (log, address) =>
        Effect.gen(function* () {
          const other = executionAddress(log.layout, tenant, uniqueExecution());
          const fence = yield* claim(log, address, 0);
          yield* log.append(other, { kind: "log", body: body("theirs") });
          yield* log.append(address, {
            kind: "timer",
            key: "sleep",
            body: body("timer"),
            guard: fence,
          });
          yield* log.append(address, { kind: "log", body: body("mine"), guard: fence });
          assert.deepEqual((yield* collect(log.read(executionFilter(address)))).map(text), [
            "mine",
          ]);
        }),
    );

    test("a tenant's read shows every execution of that tenant only", (log) =>
      Effect.gen(function* () {
        const owner = uniqueTenant();
        const stranger = uniqueTenant();
        for (const [who, what] of [[owner, "a"], [stranger, "b"], [owner, "c"]] as const) {
          yield* log.append(executionAddress(log.layout, who, uniqueExecution()), {
            kind: "index",
            body: body(what),
          });
        }
        const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);
        const found = yield* Effect.forEach(
          shards,
          (shard) => collect(log.read(tenantFilter(log.layout, shard, "index", owner))),
        );
        assert.deepEqual(found.flat().map(text).sort(), ["a", "c"]);
      }));

    test(
      "following shows what is stored and then what comes, once each",
      (log, address) =>
        Effect.gen(function* () {
          yield* log.append(address, { kind: "log", body: body("old") });
          const following = yield* log.follow(executionFilter(address)).pipe(
            Stream.take(3),
            Stream.runCollect,
            Effect.forkChild,
          );
          yield* log.append(address, { kind: "log", body: body("new") });
          yield* log.append(address, { kind: "done", body: body("end") });
          assert.deepEqual((yield* Fiber.join(following)).map(text), ["old", "new", "end"]);
        }),
    );

    test(
      "the tail tells the last sequence and a time that does not run back",
      (log, address) =>
        Effect.gen(function* () {
          const before = yield* log.tail(address.shard);
          const { sequence } = yield* log.append(address, { kind: "log", body: body("x") });
          const after = yield* log.tail(address.shard);
          assert.equal(after.sequence, sequence);
          const entry = Option.getOrThrow(yield* log.last(address, "log"));
          assert.ok(before.at <= after.at && entry.at <= after.at);
        }),
    );

    test(
      "a record that replaces others is the only one left",
      (log, address) =>
        Effect.gen(function* () {
          yield* log.append(address, { kind: "snap", body: body("1") });
          yield* log.append(address, { kind: "snap", body: body("2"), replaces: true });
          assert.deepEqual((yield* collect(log.read(executionFilter(address, "snap")))).map(text), [
            "2",
          ]);
        }),
    );
  });
};

const isKeyed = (kind: Kind) => kind === "timer" || kind === "lane";
const keyOf = (kind: Kind) => isKeyed(kind) ? { key: "sleep" } : {};
