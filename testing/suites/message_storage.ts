/** What is asked of Effect's `MessageStorage`, whoever implements it. */
import assert from "node:assert/strict";
import type { PersistenceError } from "effect/cluster/ClusterError";
import { MessageStorage } from "effect/cluster/MessageStorage";
import type * as Reply from "effect/cluster/Reply";
import * as ShardId from "effect/cluster/ShardId";
import type * as Snowflake from "effect/cluster/Snowflake";
import * as DateTime from "effect/DateTime";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import type * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import {
  ackOf,
  addressOf,
  chunkOf,
  exitOf,
  idOf,
  ids,
  interruptOf,
  keyed,
  later,
  many,
  type Plain,
  plain,
} from "./cluster_requests.ts";
import { cases, type SuiteOptions } from "./suite.ts";

/** Reads what is unprocessed, by request. */
const unprocessed = (
  shards?: ReadonlyArray<number>,
  options?: Parameters<MessageStorage["Service"]["unprocessedMessages"]>[1],
): Effect.Effect<ReadonlyArray<Snowflake.Snowflake>, PersistenceError, MessageStorage> =>
  MessageStorage.use((storage) =>
    storage.unprocessedMessages((shards ?? [1]).map((id) => ShardId.make("default", id)), options)
  ).pipe(Effect.map((messages) => messages.map(idOf)));

export const messageStorageSuite = (
  name: string,
  makeLayer: () => Layer.Layer<MessageStorage, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases(name, makeLayer, options);

  test(
    "what was asked is there in its order, until it has an exit",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const requests = [plain(1), plain(2, addressOf("b")), plain(3)];
      for (const request of requests) {
        assert.equal((yield* storage.saveRequest(request))._tag, "Success");
      }
      assert.deepEqual(yield* unprocessed(), requests.map(idOf));
      yield* storage.saveReply(exitOf(requests[1]!, Exit.succeed("done")));
      yield* storage.resetShards([ShardId.make("default", 1)]);
      assert.deepEqual(yield* unprocessed(), [requests[0], requests[2]].map((one) => idOf(one!)));
      assert.deepEqual(yield* unprocessed([2]), []);
      const [reply] = yield* storage.repliesFor(requests);
      assert.equal(reply?.requestId, idOf(requests[1]!));
      assert.deepEqual(reply?._tag === "WithExit" && reply.exit, Exit.succeed("done"));
    }),
  );

  test(
    "what an entity is asked comes back as it was asked, whatever the entity is called",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const names = ["", " ", "a.b", "*", ">", "a/b", "käse 🎉", "e".repeat(300)];
      for (const [n, name] of names.entries()) {
        yield* storage.saveRequest(plain(n, addressOf(name, 1, `type ${name}`)));
      }
      const found = yield* storage.unprocessedMessages([ShardId.make("default", 1)]);
      assert.deepEqual(
        found.map(({ envelope }) => [envelope.address.entityType, envelope.address.entityId]),
        names.map((name) => [`type ${name}`, name]),
      );
      assert.deepEqual(
        found.map((one) => one._tag === "IncomingRequest" && one.envelope.payload),
        names.map((_, n) => ({ n })),
      );
    }),
  );

  test(
    "a primary key is used once, and whoever uses it again is given the first one's reply",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const address = addressOf("a");
      const lookUp = storage.requestIdForPrimaryKey({ address, tag: "Keyed", id: "k" });
      assert.deepEqual(yield* lookUp, Option.none());
      const first = keyed("k", address);
      assert.equal((yield* storage.saveRequest(first))._tag, "Success");
      assert.deepEqual(yield* lookUp, Option.some(idOf(first)));
      const again = yield* storage.saveRequest(keyed("k", address));
      assert.equal(again._tag, "Duplicate");
      if (again._tag !== "Duplicate") return;
      assert.deepEqual([again.originalId, again.lastReceivedReply], [idOf(first), Option.none()]);
      assert.equal((yield* storage.saveRequest(keyed("other", address)))._tag, "Success");
      assert.equal((yield* storage.saveRequest(keyed("k", addressOf("b"))))._tag, "Success");
      const exit = exitOf(first, Exit.succeed("done"));
      yield* storage.saveReply(exit);
      const late = yield* storage.saveRequest(keyed("k", address));
      assert.equal(late._tag, "Duplicate");
      if (late._tag !== "Duplicate") return;
      assert.equal(late.originalId, idOf(first));
      assert.equal(Option.getOrUndefined(late.lastReceivedReply)?.id, exit.reply.id);
      yield* storage.resetAddress(address);
      assert.ok(!(yield* unprocessed()).includes(idOf(first)));
    }),
  );

  test(
    "of many who use a primary key at once one is first",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const requests = Array.from({ length: 10 }, () => keyed("k"));
      const results = yield* Effect.forEach(requests, (one) => storage.saveRequest(one), {
        concurrency: "unbounded",
      });
      const first = results.findIndex(({ _tag }) => _tag === "Success");
      assert.equal(results.filter(({ _tag }) => _tag === "Success").length, 1);
      for (const result of results) {
        if (result._tag === "Duplicate") assert.equal(result.originalId, idOf(requests[first]!));
      }
      assert.deepEqual(yield* unprocessed(), [idOf(requests[first]!)]);
    }),
  );

  test(
    "what has been read is not read again before it is given back",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const requests = [plain(1), plain(2, addressOf("b")), plain(3, addressOf("c", 2))];
      for (const request of requests) yield* storage.saveRequest(request);
      const [one, two, three] = requests.map(idOf) as [
        Snowflake.Snowflake,
        Snowflake.Snowflake,
        Snowflake.Snowflake,
      ];
      const both = unprocessed([1, 2]);
      assert.deepEqual([...yield* both].sort(), [one, two, three].sort());
      assert.deepEqual(yield* both, []);
      yield* storage.resetRequests([two]);
      assert.deepEqual(yield* both, [two]);
      yield* storage.resetAddresses([addressOf("a"), addressOf("nobody")]);
      assert.deepEqual(yield* both, [one]);
      yield* storage.resetShards([ShardId.make("default", 2)]);
      assert.deepEqual(yield* both, [three]);
      const byId = yield* storage.unprocessedMessagesById([two, one]);
      assert.deepEqual(byId.map(idOf), [one, two]);
    }),
  );

  test(
    "only what is asked for is read, and only what is read is claimed",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const requests = [1, 2, 3, 4].map((n) => plain(n, addressOf(n % 2 === 0 ? "even" : "odd")));
      for (const request of requests) yield* storage.saveRequest(request);
      const [one, two, three, four] = requests.map(idOf);
      assert.deepEqual(yield* unprocessed([1], { addresses: [] }), []);
      assert.deepEqual(yield* unprocessed([1], { addresses: [addressOf("even")] }), [two, four]);
      assert.deepEqual(yield* unprocessed([1], { limit: 1 }), [one]);
      assert.deepEqual(yield* unprocessed(), [three]);
    }),
  );

  test(
    "what is for later is handed out when it is due",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const { epochMilliseconds: now } = yield* DateTime.now;
      const due = later(now - 1);
      const soon = later(now + 3_000);
      yield* storage.saveRequest(soon);
      yield* storage.saveRequest(due);
      assert.deepEqual(yield* unprocessed(), [idOf(due)]);
      assert.deepEqual(yield* storage.unprocessedMessagesById([idOf(soon)]), []);
      const found = yield* unprocessed().pipe(
        Effect.repeat({ until: (read) => read.length > 0, schedule: Schedule.spaced("50 millis") }),
      );
      assert.deepEqual(found, [idOf(soon)]);
      const { epochMilliseconds: then } = yield* DateTime.now;
      assert.ok(then >= now + 3_000);
    }),
  );

  test(
    "chunks are there until they are acknowledged, and the exit for good",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const request = many();
      yield* storage.saveRequest(request);
      const replies = Effect.map(
        storage.repliesFor([request]),
        (found) => found.map(({ id }) => id),
      );
      const chunks = [chunkOf(request, 0), chunkOf(request, 1)] as const;
      yield* storage.saveReply(chunks[0]);
      assert.deepEqual(yield* replies, [chunks[0].reply.id]);
      yield* storage.saveEnvelope(ackOf(request, chunks[0]));
      assert.deepEqual(yield* replies, []);
      yield* storage.saveReply(chunks[1]);
      const exit = exitOf(request, Exit.void);
      assert.deepEqual(yield* replies, [chunks[1].reply.id]);
      yield* storage.saveEnvelope(ackOf(request, chunks[1]));
      yield* storage.saveReply(exit);
      assert.deepEqual(yield* replies, [exit.reply.id]);
      const all = yield* storage.repliesForUnfiltered([idOf(request)]);
      assert.deepEqual(
        all.map(({ id }) => id),
        [...chunks.map(({ reply }) => reply.id), exit.reply.id].map(String),
      );
    }),
  );

  test(
    "who goes on with a request is given the last chunk that was sent",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const request = many();
      yield* storage.saveRequest(request);
      const chunk = chunkOf(request, 0);
      yield* storage.saveReply(chunk);
      yield* storage.saveEnvelope(ackOf(request, chunk));
      const found = yield* storage.unprocessedMessages([ShardId.make("default", 1)]);
      const [first] = found.filter((one) => one._tag === "IncomingRequest");
      assert.equal(
        Option.getOrUndefined(first?.lastSentReply ?? Option.none())?.id,
        `${chunk.reply.id}`,
      );
      const acks = found.flatMap(({ envelope }) =>
        envelope._tag === "AckChunk" ? [envelope.replyId] : []
      );
      assert.deepEqual(acks, [chunk.reply.id]);
    }),
  );

  test(
    "an interrupt is handed out after its request",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const request = plain(1);
      yield* storage.saveRequest(request);
      const read = Effect.map(
        storage.unprocessedMessages([ShardId.make("default", 1)]),
        (found) => found.map(({ envelope }) => envelope._tag),
      );
      yield* storage.saveEnvelope(interruptOf(request));
      assert.deepEqual(yield* read, ["Request", "Interrupt"]);
      assert.deepEqual(yield* read, []);
    }),
  );

  test(
    "replies are cleared, if they are still what they were",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const request = plain(1);
      yield* storage.saveRequest(request);
      assert.deepEqual(yield* unprocessed(), [idOf(request)]);
      const exit = exitOf(request, Exit.succeed("first"));
      yield* storage.saveReply(exit);
      yield* storage.clearReplies(idOf(request), { expectedReplyId: ids.nextUnsafe() });
      assert.equal((yield* storage.repliesFor([request])).length, 1);
      assert.deepEqual(yield* unprocessed(), []);
      yield* storage.clearReplies(idOf(request), { expectedReplyId: exit.reply.id });
      assert.deepEqual(yield* storage.repliesFor([request]), []);
      assert.deepEqual(yield* storage.repliesForUnfiltered([idOf(request)]), []);
      assert.deepEqual(yield* unprocessed(), [idOf(request)]);
      yield* storage.saveReply(exitOf(request, Exit.succeed("second")));
      yield* storage.clearReplies(idOf(request), { expectedReplyId: exit.reply.id });
      const [reply] = yield* storage.repliesFor([request]);
      assert.deepEqual(reply?._tag === "WithExit" && reply.exit, Exit.succeed("second"));
      yield* storage.clearReplies(idOf(request));
      assert.deepEqual(yield* unprocessed(), [idOf(request)]);
      yield* storage.clearReplies(idOf(request));
      assert.deepEqual(yield* unprocessed(), [idOf(request)]);
      yield* storage.clearReplies(ids.nextUnsafe());
    }),
  );

  test(
    "an address that is cleared has no messages, no replies and no primary keys",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const [gone, other] = [addressOf("gone"), addressOf("other")];
      const done = plain(0, gone);
      yield* storage.saveRequest(done);
      yield* storage.saveReply(exitOf(done, Exit.succeed("done")));
      yield* storage.saveRequest(plain(1, gone));
      yield* storage.saveRequest(keyed("k", gone));
      const kept = plain(2, other);
      yield* storage.saveRequest(kept);
      yield* storage.clearAddress(gone);
      assert.deepEqual(yield* unprocessed(), [idOf(kept)]);
      assert.deepEqual(yield* storage.repliesForUnfiltered([idOf(done)]), []);
      const again = keyed("k", gone);
      assert.equal((yield* storage.saveRequest(again))._tag, "Success");
      assert.deepEqual(yield* unprocessed(), [idOf(again)]);
    }),
  );

  test(
    "an exit that is saved in a transaction which fails never was",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const request = plain(1);
      yield* storage.saveRequest(request);
      assert.deepEqual(yield* unprocessed(), [idOf(request)]);
      const save = storage.saveReply(exitOf(request, Exit.succeed("done")));
      const replies = storage.repliesFor([request]);
      const failed = yield* Effect.flip(
        storage.withTransaction(Effect.andThen(save, Effect.fail("no" as const))),
      );
      assert.equal(failed, "no");
      assert.deepEqual(yield* replies, []);
      yield* storage.withTransaction(
        Effect.gen(function* () {
          yield* storage.withTransaction(save);
          assert.deepEqual(yield* replies, []);
        }),
      );
      assert.equal((yield* replies).length, 1);
      yield* storage.resetAddress(addressOf("a"));
      assert.deepEqual(yield* unprocessed(), []);
    }),
  );

  test(
    "whoever waits is told of the reply, and after a transaction when that is committed",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const told = yield* Deferred.make<Reply.Reply<typeof Plain>>();
      const request = plain(
        1,
        addressOf("a"),
        (reply) => Effect.asVoid(Deferred.succeed(told, reply)),
      );
      const waiting = yield* Effect.forkChild(storage.registerReplyHandler(request), {
        startImmediately: true,
      });
      yield* storage.saveRequest(request);
      yield* storage.withTransaction(Effect.gen(function* () {
        yield* storage.saveReply(exitOf(request, Exit.succeed("done")));
        assert.equal(yield* Deferred.isDone(told), false);
      }));
      const reply = yield* Deferred.await(told);
      assert.deepEqual(reply._tag === "WithExit" && reply.exit, Exit.succeed("done"));
      yield* Fiber.join(waiting);
    }),
  );

  test(
    "whoever waits is told that nobody here will reply",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const requests = [plain(1), plain(2, addressOf("b", 2))] as const;
      const waiting = yield* Effect.forEach(
        requests,
        (request) =>
          Effect.forkChild(Effect.flip(storage.registerReplyHandler(request)), {
            startImmediately: true,
          }),
      );
      yield* storage.unregisterReplyHandler(idOf(requests[0]));
      yield* storage.unregisterShardReplyHandlers(ShardId.make("default", 2));
      for (const fiber of waiting) {
        assert.equal((yield* Fiber.join(fiber))._tag, "EntityNotAssignedToRunner");
      }
    }),
  );

  test(
    "there is no reply to a request that nobody made",
    Effect.gen(function* () {
      const storage = yield* MessageStorage;
      const request = plain(1);
      yield* storage.saveReply(exitOf(request, Exit.succeed("done")));
      assert.deepEqual(yield* storage.repliesFor([request]), []);
      assert.deepEqual(yield* storage.repliesForUnfiltered([idOf(request)]), []);
    }),
  );

  if (options.run !== undefined) {
    test(
      "what was read long ago and has no reply is read again",
      Effect.gen(function* () {
        const storage = yield* MessageStorage;
        const request = plain(1);
        yield* storage.saveRequest(request);
        assert.deepEqual(yield* unprocessed(), [idOf(request)]);
        yield* Effect.sleep("9 minutes");
        assert.deepEqual(yield* unprocessed(), []);
        yield* Effect.sleep("2 minutes");
        assert.deepEqual(yield* unprocessed(), [idOf(request)]);
      }),
    );
  }
};
