/** What the log does for retention: schedules into `gc`, floors, and payloads that go. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AckPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Option from "effect/Option";
import * as Ref from "effect/Ref";
import * as Stream from "effect/Stream";
import { Timestamp } from "../../schema/ids.ts";
import { Connection } from "../../streams/connection.ts";
import { noFloors, raiseFloors, readFloors } from "../../streams/floor.ts";
import { Log } from "../../streams/log.ts";
import { type Due, Expiries, lastExpiry, removeLater } from "../../streams/retention.ts";
import { layerJetStream } from "../../streams/retention/jetstream.ts";
import { executionFilter, keyedFilter, shardRoot, streamName } from "../../streams/subjects.ts";
import { collect } from "../conformance/log_suite/log_case.ts";
import { body } from "../conformance/subject_matter.ts";
import { newAddress, publish, scratchNamespace } from "../fixtures/scratch_namespace.ts";
import { leftovers } from "../fixtures/server.ts";
import { until } from "../conformance/engine/stage.ts";

describe("retention on a server", () => {
  const spillThresholdBytes = 1_024;
  const { test } = scratchNamespace({ spillThresholdBytes, giveUpAfter: "1 second" });
  const large = new Uint8Array(3 * 128 * 1_024 + 7).map((_, i) => i);

  /** Objects and their pieces, whosever they are. */
  const objects = Effect.gen(function* () {
    const { manager } = yield* Connection;
    const stream = `OBJ_${shardRoot((yield* Log).layout, 0)}`;
    const { state } = yield* Effect.promise(() =>
      manager.streams.info(stream, { subjects_filter: ">" })
    );
    return Object.keys(state.subjects ?? {});
  });

  test("an end comes to a janitor when it is due, and again until it was handled", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const address = yield* newAddress;
      const { at } = yield* log.tail(0);
      yield* removeLater(log, address, { life: 3, end: 9, at: Timestamp.make(at + 300) });
      const given = yield* Ref.make<ReadonlyArray<Due>>([]);
      const expiries = yield* Expiries;
      const janitor = yield* Effect.forkChild(expiries.serve((due) =>
        Effect.gen(function* () {
          const all = yield* Ref.updateAndGet(given, (before) => [...before, ...due]);
          return all.length < 2 ? due : [];
        })
      ));
      const [first, second] = yield* until(
        "it came twice",
        Effect.map(Ref.get(given), (all) => all.length === 2 && all),
      );
      assert.deepEqual(first, second);
      assert.ok(first!.kind === "retention");
      assert.deepEqual([first!.life, first!.end, first!.address.tail], [3, 9, address.tail]);
      assert.ok(Option.isSome(yield* log.last(address, "gc")));
      assert.deepEqual(yield* collect(log.read(keyedFilter(address, "gc"))), []);
      yield* Fiber.interrupt(janitor);
      yield* log.purge(executionFilter(address, "gc"), { upTo: first!.sequence });
    }).pipe(Effect.provide(layerJetStream)));

  test("what is removed takes nothing from who has yet to acknowledge the rest", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const { jetStream, manager } = yield* Connection;
      const [waits, goes, comes] = [yield* newAddress, yield* newAddress, yield* newAddress];
      const stream = streamName(log.layout, 0);
      for (const address of [waits, goes, comes]) {
        yield* log.append(address, { kind: "gc", body: body(address.label) });
      }
      yield* Effect.promise(() =>
        manager.consumers.add(stream, {
          durable_name: "reader",
          filter_subject: `${waits.root}.gc.>`,
          ack_policy: AckPolicy.Explicit,
          ack_wait: nanos(1_000),
        })
      );
      const consumer = yield* Effect.promise(() => jetStream.consumers.get(stream, "reader"));
      const next = Effect.promise(() => consumer.next({ expires: 10_000 }));
      const first = yield* next;
      yield* next;
      const last = yield* next;
      assert.equal(yield* log.purge(executionFilter(goes, "gc"), { upTo: last!.seq }), 1);
      yield* Effect.promise(() => last!.ackAck());
      first!.nak(100);
      const again = yield* next;
      assert.deepEqual([again?.seq, again?.info.deliveryCount], [first!.seq, 2]);
    }));

  test("what is none of ours is passed over", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const address = yield* newAddress;
      yield* publish(`${address.root}.gc.${address.tail}`, body("nonsense"));
      yield* publish(`${address.root}.gc.9.a.b.c`, body('{"v":1,"kind":"retention"}'));
      const { at } = yield* log.tail(0);
      yield* removeLater(log, address, { life: 1, end: 2, at: Timestamp.make(at) });
      const given = yield* Ref.make<ReadonlyArray<Due>>([]);
      const janitor = yield* Effect.forkChild(
        (yield* Expiries).serve((due) => Effect.as(Ref.set(given, due), [])),
      );
      const [only, ...others] = yield* until(
        "ours came",
        Effect.map(Ref.get(given), (all) => all.length > 0 && all),
      );
      assert.deepEqual([only!.kind === "retention" && only!.end, others], [2, []]);
      yield* Fiber.interrupt(janitor);
    }).pipe(Effect.provide(layerJetStream)));

  test("what is of a later release is left to those who can read it", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const { jetStream } = yield* Connection;
      const [later, ours] = [yield* newAddress, yield* newAddress];
      const { seq } = yield* publish(
        `${later.root}.gc.${later.tail}`,
        body('{"v":2,"kind":"retention"}'),
      );
      assert.equal((yield* Effect.flip(lastExpiry(log, later)))._tag, "UnsupportedRecordVersion");
      const { at } = yield* log.tail(0);
      yield* removeLater(log, ours, { life: 1, end: 2, at: Timestamp.make(at) });
      const given = yield* Ref.make<ReadonlyArray<Due>>([]);
      const janitor = yield* Effect.forkChild(
        (yield* Expiries).serve((due) =>
          Effect.as(Ref.update(given, (before) => [...before, ...due]), [])
        ),
      );
      yield* until("ours came", Effect.map(Ref.get(given), ({ length }) => length === 1));
      yield* Fiber.interrupt(janitor);
      const consumer = yield* Effect.promise(() =>
        jetStream.consumers.get(streamName(log.layout, 0), "gc")
      );
      const again = yield* Effect.promise(() => consumer.next({ expires: 10_000 }));
      assert.equal(again?.seq, seq);
      yield* Effect.promise(() => again!.ackAck());
      yield* log.remove(0, seq);
    }).pipe(Effect.provide(layerJetStream)));

  test("floors only rise, whoever raises them, and leave one record", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      assert.deepEqual(yield* readFloors(log, 0), noFloors);
      yield* Effect.forEach(
        Array.from({ length: 10 }, (_, i) => i),
        (i) => raiseFloors(log, 0, { ...noFloors, done: i, tag: 10 - i }),
        { concurrency: "unbounded", discard: true },
      );
      yield* raiseFloors(log, 0, { ...noFloors, done: 3 });
      assert.deepEqual(yield* readFloors(log, 0), { ...noFloors, done: 9, tag: 10 });
      const all = yield* collect(log.read({ shard: 0, subject: "$KV.weir.floor.*" }));
      assert.equal(all.length, 1);
    }));

  test("payloads go with their execution, those of failed appends too, and no other's", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const [gone, kept] = [yield* newAddress, yield* newAddress];
      for (const address of [gone, kept]) {
        yield* log.append(address, { kind: "log", body: large });
        yield* Effect.flip(
          log.append(address, { kind: "mail", body: large, guard: { after: 77 } }),
        );
      }
      // As if the process had died between two chunks.
      yield* publish(`$O.weir.C.${gone.tail}.half`, body("half"));
      assert.equal((yield* objects).length, 9);
      assert.equal(yield* log.dropPayloads(gone), false);
      yield* until("they are old enough", log.dropPayloads(gone));
      assert.equal((yield* objects).length, 4);
      const error = yield* Effect.flip(log.last(gone, "log"));
      assert.equal(error._tag, "CorruptRecord");
      const filter = executionFilter(gone, "log");
      const { sequence: through } = yield* log.tail(0);
      const all = { withLost: true };
      for (
        const lost of [
          yield* collect(log.read(filter, all)),
          yield* log.readThrough(filter, { ...all, through }),
          yield* collect(Stream.take(log.follow(filter, all), 1)),
        ]
      ) {
        assert.equal(lost.length, 1);
        assert.equal(JSON.parse(new TextDecoder().decode(lost[0]!.body)).kind, "object");
      }
      const [intact] = yield* log.readThrough(executionFilter(kept, "log"), { ...all, through });
      assert.deepEqual(intact!.body, large);
      assert.deepEqual([...(yield* log.lastSequences(gone, ["log", "mail"])).keys()], ["log"]);
      const last = Option.getOrThrow(yield* log.last(kept, "log"));
      assert.deepEqual(last.body, large);
    }));

  test("what is stored for somebody else along with an execution does not go with it", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const [gone, kept] = [yield* newAddress, yield* newAddress];
      const before = yield* objects;
      const message = { kind: "log", of: kept, body: large } as const;
      yield* log.append(gone, message);
      yield* log.appendBatch(gone, [message, { kind: "mail", body: large }]);
      yield* until("they are old enough", log.dropPayloads(gone));
      for (const { body } of yield* collect(log.read(executionFilter(kept, "log")))) {
        assert.deepEqual(body, large);
      }
      assert.equal(yield* log.dropPayloads(kept), true);
      assert.deepEqual(yield* objects, before);
    }));

  test("payloads can be fetched more often than a stream has consumers", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const address = yield* newAddress;
      yield* log.append(address, { kind: "log", body: large.subarray(0, 2_000) });
      yield* Effect.forEach(
        Array.from({ length: 1_100 }),
        () => log.last(address, "log"),
        { concurrency: 32, discard: true },
      );
    }));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
