/** What several processes of Effect's cluster tell each other through the log, and what stays of it. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Persisted } from "effect/cluster/ClusterSchema";
import * as Entity from "effect/cluster/Entity";
import type { MessageStorage } from "effect/cluster/MessageStorage";
import type * as Reply from "effect/cluster/Reply";
import * as RunnerHealth from "effect/cluster/RunnerHealth";
import * as Runners from "effect/cluster/Runners";
import * as Sharding from "effect/cluster/Sharding";
import * as ShardingConfig from "effect/cluster/ShardingConfig";
import type { Snowflake } from "effect/cluster/Snowflake";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as DateTime from "effect/DateTime";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Logger from "effect/Logger";
import * as Option from "effect/Option";
import * as Rpc from "effect/rpc/Rpc";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { Namespace } from "../../schema/ids.ts";
import { callsFilter, entityAddress, entityFilter } from "../../streams/cluster/places.ts";
import * as Storage from "../../streams/cluster/storage.ts";
import * as Wakes from "../../streams/cluster/wakes.ts";
import * as Connection from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import {
  ackOf,
  addressOf,
  chunkOf,
  exitOf,
  idOf,
  keyed,
  later,
  many,
  type Plain,
  plain,
} from "../../testing/suites/cluster_requests.ts";
import { shardsOf } from "../../testing/suites/runner_storage.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { counted, processOf, runnerProcess } from "../fixtures/cluster_storages.ts";
import { type IsLost, losing } from "../fixtures/losing_log.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

type Needed = Log | ServerClock.ServerClock | Scope.Scope;
type Run = (title: string, effect: Effect.Effect<unknown, unknown, Needed>) => void;

const [first] = shardsOf(1);
const one = [first!];

const read = (storage: MessageStorage["Service"]) =>
  Effect.map(storage.unprocessedMessages(one), (found) => found.map(idOf));

const exitsOf = (replies: ReadonlyArray<Reply.Reply<typeof Plain> | Reply.Encoded>) =>
  replies.flatMap((reply) => reply._tag === "WithExit" ? [`${reply.id}`] : []);

/** In virtual time at once, and otherwise soon. */
const until = <A, E, R>(effect: Effect.Effect<A, E, R>, isSo: (value: A) => boolean) =>
  effect.pipe(
    Effect.repeat({ until: isSo, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("30 seconds"),
  );

const onBoth = (test: Run) => {
  test(
    "what one process asks is news where its shard is, and the reply where it was asked",
    Effect.gen(function* () {
      const client = yield* processOf();
      const owner = yield* runnerProcess("owner", one);
      assert.deepEqual(yield* read(owner.messages), []);
      const told = yield* Deferred.make<Reply.Reply<typeof Plain>>();
      const request = plain(
        1,
        addressOf("a"),
        (reply) => Effect.asVoid(Deferred.succeed(told, reply)),
      );
      const waiting = yield* Effect.forkChild(client.messages.registerReplyHandler(request), {
        startImmediately: true,
      });
      yield* client.messages.saveRequest(request);
      yield* Effect.timeout(owner.news, "30 seconds");
      assert.deepEqual(yield* read(owner.messages), [idOf(request)]);
      const exit = exitOf(request, Exit.succeed("done"));
      yield* owner.messages.saveReply(exit);
      const reply = yield* Effect.timeout(Deferred.await(told), "30 seconds");
      assert.deepEqual(reply._tag === "WithExit" && reply.exit, Exit.succeed("done"));
      yield* Fiber.join(waiting);
    }),
  );

  test(
    "who waits is told of each chunk once, in order, also of what came before it waited",
    Effect.gen(function* () {
      const client = yield* processOf();
      const owner = yield* runnerProcess("owner", one);
      const heard: Array<string> = [];
      const request = many(addressOf("a"), (reply) =>
        Effect.sync(() => {
          heard.push(reply._tag === "Chunk" ? `chunk ${reply.sequence}` : "exit");
        }));
      yield* client.messages.saveRequest(request);
      yield* owner.messages.saveReply(chunkOf(request, 0));
      const waiting = yield* Effect.forkChild(client.messages.registerReplyHandler(request), {
        startImmediately: true,
      });
      yield* until(Effect.sync(() => heard.length), (length) => length === 1);
      yield* owner.messages.saveReply(chunkOf(request, 1));
      yield* owner.messages.saveReply(exitOf(request, Exit.void));
      yield* Effect.timeout(Fiber.join(waiting), "30 seconds");
      yield* until(Effect.sync(() => heard.length), (length) => length === 3);
      assert.deepEqual(heard, ["chunk 0", "chunk 1", "exit"]);
    }),
  );

  test(
    "what was not ended is there when everything was started anew, as far as it had come",
    Effect.gen(function* () {
      const [done, open, streamed, unacked] = [plain(1), plain(2), many(), many()];
      const late = later((yield* DateTime.now).epochMilliseconds + 60_000);
      const chunk = chunkOf(streamed, 0);
      yield* Effect.scoped(Effect.gen(function* () {
        const { messages } = yield* runnerProcess("owner", one);
        for (const request of [done, open]) yield* messages.saveRequest(request);
        for (const request of [streamed, unacked]) yield* messages.saveRequest(request);
        yield* messages.saveRequest(late);
        assert.equal((yield* read(messages)).length, 4);
        yield* messages.saveReply(exitOf(done, Exit.succeed("done")));
        yield* messages.saveReply(chunk);
        yield* messages.saveEnvelope(ackOf(streamed, chunk));
        yield* messages.saveReply(chunkOf(unacked, 0));
      }));
      const { messages } = yield* runnerProcess("owner", one);
      const found = yield* messages.unprocessedMessages(one);
      assert.deepEqual(
        found.map(({ envelope }) => [envelope._tag, envelope.requestId]),
        [
          ["Request", idOf(open)],
          ["Request", idOf(streamed)],
          ["AckChunk", idOf(streamed)],
        ],
      );
      const [, again] = found;
      assert.equal(
        again?._tag === "IncomingRequest" && Option.getOrUndefined(again.lastSentReply)?.id,
        `${chunk.reply.id}`,
      );
      const [exit] = yield* messages.repliesFor([done]);
      assert.equal(exit?._tag, "WithExit");
    }),
  );

  test(
    "a request has one exit, and the same one may be saved again",
    Effect.gen(function* () {
      const { messages } = yield* runnerProcess("owner", one);
      const request = plain(1);
      yield* messages.saveRequest(request);
      const exits = [1, 2, 3, 4].map((n) => exitOf(request, Exit.succeed(`${n}`)));
      const saved = yield* Effect.forEach(
        exits,
        (exit) => Effect.exit(messages.saveReply(exit)),
        { concurrency: "unbounded" },
      );
      assert.deepEqual(saved.map(Exit.isSuccess), [true, false, false, false]);
      yield* messages.saveReply(exits[0]!);
      const replies = yield* messages.repliesForUnfiltered([idOf(request)]);
      assert.deepEqual(exitsOf(replies), [`${exits[0]!.reply.id}`]);
    }),
  );

  test(
    "a transaction is committed as a whole, or not at all",
    Effect.gen(function* () {
      const { messages, runners, address } = yield* runnerProcess("owner", one);
      const request = plain(1);
      yield* messages.saveRequest(request);
      assert.deepEqual(yield* read(messages), [idOf(request)]);
      const further = keyed("k");
      const both = Effect.gen(function* () {
        const saved = yield* messages.saveRequest(further);
        const again = yield* messages.saveRequest(keyed("k"));
        assert.deepEqual(
          [saved._tag, again._tag === "Duplicate" && again.originalId],
          ["Success", idOf(further)],
        );
        yield* messages.saveReply(exitOf(request, Exit.succeed("done")));
        yield* Effect.flip(messages.saveReply(exitOf(request, Exit.succeed("other"))));
        assert.deepEqual(yield* read(messages), []);
        assert.deepEqual(yield* messages.repliesFor([request]), []);
      });
      yield* Effect.flip(messages.withTransaction(Effect.andThen(both, Effect.fail("no"))));
      assert.deepEqual(yield* read(messages), []);
      yield* messages.withTransaction(both);
      assert.deepEqual(yield* read(messages), [idOf(further)]);
      assert.equal((yield* messages.repliesFor([request])).length, 1);

      // What one of them must not do, none does.
      yield* runners.releaseAll(address);
      const other = yield* runnerProcess("other", one);
      assert.deepEqual(other.held, one);
      const lost = plain(3);
      const refused = yield* Effect.exit(messages.withTransaction(Effect.gen(function* () {
        yield* messages.saveRequest(lost);
        yield* messages.saveReply(exitOf(further, Exit.succeed("stale")));
      })));
      assert.ok(Exit.isFailure(refused) && Cause.hasDies(refused.cause));
      assert.deepEqual(yield* read(other.messages), [idOf(further)]);
      assert.deepEqual(yield* messages.repliesForUnfiltered([idOf(further)]), []);
    }),
  );

  test(
    "replies are cleared from elsewhere, and whoever has the shard processes them again",
    Effect.gen(function* () {
      const client = yield* processOf();
      const owner = yield* runnerProcess("owner", one);
      const request = plain(1);
      yield* owner.messages.saveRequest(request);
      const exit = exitOf(request, Exit.succeed("done"));
      yield* owner.messages.saveReply(exit);
      const both = [client, owner].map(({ messages }) =>
        messages.clearReplies(idOf(request), { expectedReplyId: exit.reply.id })
      );
      yield* Effect.all(both, { concurrency: "unbounded" });
      assert.deepEqual(yield* read(owner.messages), [idOf(request)]);
      assert.deepEqual(yield* read(owner.messages), []);
      yield* owner.messages.saveReply(exitOf(request, Exit.succeed("again")));
      const gone = plain(2, addressOf("gone"));
      yield* client.messages.saveRequest(gone);
      yield* client.messages.clearAddress(addressOf("gone"));
      assert.deepEqual(yield* read(owner.messages), []);
    }),
  );

  test(
    "whoever takes a shard over has all that was asked, and nothing that was done",
    Effect.gen(function* () {
      const client = yield* processOf();
      const former = yield* runnerProcess("former", one);
      const asked = [1, 2, 3, 4].map((n) => plain(n));
      for (const request of asked.slice(0, 2)) yield* client.messages.saveRequest(request);
      assert.equal((yield* read(former.messages)).length, 2);
      yield* former.messages.saveReply(exitOf(asked[0]!, Exit.succeed("done")));
      yield* former.runners.releaseAll(former.address);
      const next = yield* runnerProcess("next", one);
      const [reading] = yield* Effect.all([
        read(next.messages),
        client.messages.saveRequest(asked[2]!),
      ], { concurrency: "unbounded" });
      yield* client.messages.saveRequest(asked[3]!);
      const rest = yield* read(next.messages);
      assert.deepEqual([...reading, ...rest], asked.slice(1).map(idOf));
      // And back again, though it had been there before.
      yield* next.messages.saveReply(exitOf(asked[1]!, Exit.succeed("done")));
      yield* next.runners.releaseAll(next.address);
      assert.deepEqual(yield* former.runners.acquire(former.address, one), one);
      assert.deepEqual(yield* read(former.messages), asked.slice(2).map(idOf));
    }),
  );
};

describe("a cluster on the log in memory", () => {
  const testOn = (shards: number): Run => (title, effect) =>
    it(title, () =>
      new VirtualClock(Date.now()).run(
        Effect.orDie(Effect.asVoid(Effect.provide(
          Effect.scoped(effect),
          ServerClock.layer.pipe(
            Layer.provideMerge(
              layerMemory({ layout: { namespace: Namespace.make("memory"), shards, parts: 4 } }),
            ),
          ),
        ))),
      ));
  const test = testOn(1);

  onBoth(test);

  testOn(4)(
    "a transaction over two shards of the log is refused, and its reply may be saved by itself",
    Effect.gen(function* () {
      const { messages } = yield* runnerProcess("owner", one);
      const isRefused = Effect.fnUntraced(function* (other: number) {
        const request = plain(1);
        yield* messages.saveRequest(request);
        yield* read(messages);
        const exit = exitOf(request, Exit.succeed("done"));
        const committed = yield* Effect.exit(messages.withTransaction(Effect.andThen(
          messages.saveReply(exit),
          messages.saveRequest(plain(2, addressOf("b", other))),
        )));
        if (Exit.isSuccess(committed)) return false;
        assert.match(`${Cause.squash(committed.cause)}`, /in 2 shards of the log/);
        assert.deepEqual(yield* messages.repliesFor([request]), []);
        yield* messages.saveReply(exit);
        assert.equal((yield* messages.repliesFor([request])).length, 1);
        return true;
      });
      const others = Array.from({ length: 8 }, (_, i) => i + 2);
      const refused = yield* Effect.forEach(others, isRefused);
      assert.ok(refused.includes(true) && refused.includes(false), `${refused}`);
    }),
  );

  test(
    "what falls due is news, and not before",
    Effect.gen(function* () {
      const client = yield* processOf();
      const owner = yield* runnerProcess("owner", one);
      assert.deepEqual(yield* read(owner.messages), []);
      const { epochMilliseconds: now } = yield* DateTime.now;
      const asked = new Map<number, Snowflake>();
      for (const at of [3_600_000, 60_000]) {
        const request = later(now + at);
        asked.set(at, idOf(request));
        yield* client.messages.saveRequest(request);
        yield* owner.news;
        assert.deepEqual(yield* read(owner.messages), []);
      }
      for (const at of [60_000, 3_600_000]) {
        yield* owner.news;
        assert.equal((yield* DateTime.now).epochMilliseconds, now + at);
        assert.ok((yield* read(owner.messages)).includes(asked.get(at)!));
      }
    }),
  );

  test(
    "what is asked while a shard is being read is not missed",
    Effect.gen(function* () {
      const client = yield* processOf();
      const known = yield* Log;
      const [reached, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()];
      const slow: Log["Service"] = {
        ...known,
        readThrough: (filter, options) =>
          filter.subject.includes(".call.")
            ? Effect.tap(
              known.readThrough(filter, options),
              () => Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(gate)),
            )
            : known.readThrough(filter, options),
      };
      const owner = yield* Effect.provideService(runnerProcess("owner", one), Log, slow);
      const [earlier, meanwhile] = [plain(1), plain(2)];
      yield* client.messages.saveRequest(earlier);
      const reading = yield* Effect.forkChild(read(owner.messages));
      yield* Deferred.await(reached);
      yield* client.messages.saveRequest(meanwhile);
      yield* Effect.sleep("1 second");
      yield* Deferred.succeed(gate, undefined);
      assert.deepEqual(yield* Fiber.join(reading), [earlier, meanwhile].map(idOf));
    }),
  );

  test(
    "a request that has lost its payload is passed over with a warning, and no other is",
    Effect.gen(function* () {
      const [lost, swept, open] = [plain(1), plain(2), plain(3)];
      const client = yield* runnerProcess("client", one);
      for (const request of [lost, swept, open]) yield* client.messages.saveRequest(request);
      yield* read(client.messages);
      yield* client.messages.saveReply(exitOf(swept, Exit.succeed("done")));
      yield* client.runners.releaseAll(client.address);
      const isLost: IsLost = (kind, name) => kind === "call" && name !== `${idOf(open)}`;
      const log = losing(isLost)(yield* Log);
      const warnings: Array<string> = [];
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") warnings.push(String(message));
      });
      const owner = yield* Effect.provideService(runnerProcess("owner", one), Log, log);
      const found = yield* Effect.provide(read(owner.messages), Logger.layer([logger]));
      assert.deepEqual(found, [idOf(open)]);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0]!, new RegExp(`${idOf(lost)} is passed over`));
    }),
  );

  test(
    "a sweep that ended between a payload and its request spoils no shard and is taken up again",
    Effect.gen(function* () {
      const shards = shardsOf(1, 2);
      const known = yield* Log;
      const callsLeft = Effect.map(
        Stream.runCollect(known.read(callsFilter(known.layout, 0))),
        (entries) => Array.from(entries, ({ sequence }) => sequence),
      );
      const dropped = new Set<string>();
      let stuck: number | undefined;
      const reason = "it is away";
      const away = new Unavailable({ operation: "remove", reason, landed: "no" });
      const log: Log["Service"] = {
        ...losing((kind, name) => kind === "call" && dropped.has(name))(known),
        dropPayloads: ({ tail }) =>
          Effect.sync(() => {
            dropped.add(tail.slice(tail.lastIndexOf(".") + 1));
            return true;
          }),
        remove: (shard, sequence) =>
          sequence === stuck ? Effect.fail(away) : known.remove(shard, sequence),
      };
      const ownerOf = (host: string) =>
        runnerProcess(host, shards, { keepProcessed: "1 hour" }).pipe(
          Effect.provideService(Log, log),
          Effect.map(({ messages, runners, address }) => ({
            messages,
            pass: Effect.repeat(
              Effect.andThen(Effect.sleep("10 seconds"), runners.refresh(address, shards)),
              { times: 450 },
            ),
            leave: runners.releaseAll(address),
          })),
        );
      const [ended, open, elsewhere] = [plain(1), plain(2), plain(3, addressOf("b", 2))];
      yield* Effect.scoped(Effect.gen(function* () {
        const { messages, pass, leave } = yield* ownerOf("first");
        for (const request of [ended, open, elsewhere]) yield* messages.saveRequest(request);
        yield* messages.unprocessedMessages(shards);
        for (const request of [ended, elsewhere]) {
          yield* messages.saveReply(exitOf(request, Exit.succeed("done")));
        }
        const calls = yield* callsLeft;
        stuck = calls[0];
        yield* pass;
        assert.deepEqual(yield* callsLeft, calls.slice(0, 2));
        yield* leave;
      }));
      const { messages, pass } = yield* ownerOf("second");
      assert.deepEqual((yield* messages.unprocessedMessages(shards)).map(idOf), [idOf(open)]);
      const [, kept] = yield* callsLeft;
      stuck = undefined;
      yield* pass;
      assert.deepEqual(yield* callsLeft, [kept]);
    }),
  );

  test(
    "a request whose exit is stored is given out no more, also if nobody heard that it is",
    Effect.gen(function* () {
      const known = yield* Log;
      const lost = new Unavailable({
        operation: "append",
        reason: "the answer was lost",
        landed: "unknown",
      });
      let isLost = true;
      const log: Log["Service"] = {
        ...known,
        append: (to, message) =>
          Effect.flatMap(
            known.append(to, message),
            (stored) =>
              isLost && message.kind === "reply" ? Effect.fail(lost) : Effect.succeed(stored),
          ),
      };
      const { messages } = yield* Effect.provideService(runnerProcess("owner", one), Log, log);
      const [polled, byId, refused, open] = [plain(1), plain(2), plain(3), plain(4)];
      const ended = [polled, byId, refused];
      for (const request of [...ended, open]) yield* messages.saveRequest(request);
      assert.equal((yield* read(messages)).length, 4);
      for (const request of ended) {
        yield* Effect.flip(messages.saveReply(exitOf(request, Exit.succeed("done"))));
      }
      isLost = false;
      assert.deepEqual(yield* messages.unprocessedMessagesById([idOf(byId)]), []);
      yield* Effect.flip(messages.saveReply(exitOf(refused, Exit.succeed("again"))));
      yield* Effect.sleep("10 minutes");
      assert.deepEqual(yield* read(messages), [idOf(open)]);
      yield* messages.resetShards(one);
      assert.deepEqual(yield* read(messages), [idOf(open)]);
      yield* messages.clearReplies(idOf(polled));
      assert.deepEqual(yield* read(messages), [idOf(polled)]);
    }),
  );

  test(
    "an exit that was not stored is not taken for one, and may be saved again",
    Effect.gen(function* () {
      const known = yield* Log;
      const lost = new Unavailable({
        operation: "append",
        reason: "the connection was lost",
        landed: "unknown",
      });
      let isLost = true;
      const log: Log["Service"] = {
        ...known,
        append: (to, message) =>
          isLost && message.kind === "reply" ? Effect.fail(lost) : known.append(to, message),
      };
      const { messages } = yield* Effect.provideService(runnerProcess("owner", one), Log, log);
      const request = plain(1);
      yield* messages.saveRequest(request);
      yield* read(messages);
      const exit = exitOf(request, Exit.succeed("done"));
      yield* Effect.flip(messages.saveReply(exit));
      isLost = false;
      yield* messages.resetRequests([idOf(request)]);
      assert.deepEqual(yield* read(messages), [idOf(request)]);
      yield* messages.saveReply(exit);
      assert.deepEqual(exitsOf(yield* messages.repliesFor([request])), [`${exit.reply.id}`]);
      yield* messages.resetShards(one);
      assert.deepEqual(yield* read(messages), []);
    }),
  );

  const goneAddress = addressOf("gone");
  const left = Effect.flatMap(Log, ({ layout, read }) => {
    const entity = entityAddress(layout, goneAddress);
    const both = Stream.concat(
      read(entityFilter(entity, "call")),
      read(entityFilter(entity, "reply")),
    );
    return Effect.map(
      Stream.runCollect(both),
      (entries) => entries.filter(({ subject }) => !subject.endsWith(".cleared.all")).length,
    );
  });

  test(
    "whoever clears an address hears that it could not be done, and it is done when it can be",
    Effect.gen(function* () {
      const known = yield* Log;
      const away = new Unavailable({ operation: "remove", reason: "it is away", landed: "no" });
      let isAway = true;
      const deletion = Effect.suspend(() => Effect.fail(away));
      const log: Log["Service"] = {
        ...known,
        remove: (...of) => isAway ? deletion : known.remove(...of),
        purge: (...of) => isAway ? deletion : known.purge(...of),
      };
      const client = yield* Effect.provideService(processOf(), Log, log);
      yield* client.messages.saveRequest(plain(1, goneAddress));
      yield* client.messages.saveRequest(keyed("k", goneAddress));
      const refused = yield* Effect.flip(client.messages.clearAddress(goneAddress));
      assert.equal(refused.cause, away);
      const since = plain(2, goneAddress);
      yield* client.messages.saveRequest(since);
      yield* Effect.sleep("30 minutes");
      isAway = false;
      yield* until(left, (count) => count === 1);
      assert.equal((yield* client.messages.saveRequest(keyed("k", goneAddress)))._tag, "Success");
      yield* Effect.sleep("2 hours");
      const { messages } = yield* runnerProcess("owner", one);
      assert.equal((yield* read(messages)).length, 2);
    }),
  );

  for (const isThere of [true, false]) {
    test(
      isThere
        ? "what is cleared by one who dies over it is removed by whoever has the shard"
        : "what is cleared by one who dies over it is removed by whoever takes the shard next",
      Effect.gen(function* () {
        const memory = yield* Log;
        const owner = isThere ? yield* runnerProcess("owner", one) : undefined;
        if (owner !== undefined) yield* read(owner.messages);
        yield* Effect.scoped(Effect.gen(function* () {
          const reached = yield* Deferred.make<void>();
          const dying = Effect.andThen(Deferred.succeed(reached, undefined), Effect.never);
          const log: Log["Service"] = { ...memory, remove: () => dying, purge: () => dying };
          const client = yield* Effect.provideService(processOf(), Log, log);
          yield* client.messages.saveRequest(plain(1, goneAddress));
          yield* client.messages.saveRequest(keyed("k", goneAddress));
          yield* Effect.forkScoped(client.messages.clearAddress(goneAddress));
          yield* Deferred.await(reached);
        }));
        assert.equal(yield* left, 2);
        const { messages } = owner ?? (yield* runnerProcess("owner", one));
        const since = plain(2, goneAddress);
        yield* messages.saveRequest(since);
        const again = keyed("k", goneAddress);
        assert.equal((yield* messages.saveRequest(again))._tag, "Success");
        const known = yield* messages.saveRequest(keyed("k", goneAddress));
        assert.ok(known._tag === "Duplicate" && known.originalId === idOf(again));
        assert.deepEqual(yield* read(messages), [idOf(since), idOf(again)]);
        yield* until(left, (count) => count === 2);
        yield* Effect.sleep("2 hours");
        yield* messages.resetShards(one);
        assert.deepEqual(yield* read(messages), [idOf(since), idOf(again)]);
      }),
    );
  }

  test(
    "asking again for what has not come costs nothing, and each message a request or two",
    Effect.gen(function* () {
      const { log, taken } = counted(yield* Log);
      const client = yield* processOf();
      const owner = yield* Effect.provideService(runnerProcess("owner", one), Log, log);
      yield* read(owner.messages);
      const asked = plain(1, addressOf("b", 2));
      yield* owner.messages.saveRequest(asked);
      yield* owner.messages.repliesFor([asked]);
      yield* Effect.sleep("1 second");
      taken();
      yield* read(owner.messages);
      assert.deepEqual(taken(), { next: 1 });
      for (let i = 0; i < 100; i++) yield* owner.messages.repliesFor([asked]);
      assert.deepEqual(taken(), {});
      const request = plain(2);
      yield* client.messages.saveRequest(request);
      yield* owner.news;
      assert.deepEqual(yield* read(owner.messages), [idOf(request)]);
      yield* owner.messages.saveReply(exitOf(request, Exit.succeed("done")));
      assert.deepEqual(taken(), { append: 1, next: 1 });
      yield* Effect.sleep("1 hour");
      assert.deepEqual(taken(), {});
    }),
  );

  test(
    "what had its exit for long is removed if that is wanted, and nothing else is",
    Effect.gen(function* () {
      const options = { keepProcessed: "1 hour" } as const;
      const owner = yield* runnerProcess("owner", one, options);
      const { messages, runners, address } = owner;
      const [done, open, reset] = [keyed("done"), keyed("open"), keyed("reset")];
      const streamed = many();
      for (const request of [done, open, reset]) yield* messages.saveRequest(request);
      yield* messages.saveRequest(streamed);
      assert.equal((yield* read(messages)).length, 4);
      const chunk = chunkOf(streamed, 0);
      yield* messages.saveReply(chunk);
      yield* messages.saveEnvelope(ackOf(streamed, chunk));
      yield* messages.saveReply(exitOf(streamed, Exit.void));
      for (const request of [done, reset]) {
        yield* messages.saveReply(exitOf(request, Exit.succeed("done")));
      }
      const pass = (times: number) =>
        Effect.repeat(
          Effect.andThen(Effect.sleep("10 seconds"), runners.refresh(address, one)),
          { times },
        );
      yield* pass(300);
      yield* messages.clearReplies(idOf(reset));
      assert.deepEqual(yield* read(messages), [idOf(open), idOf(reset)]);
      assert.equal((yield* messages.repliesFor([done])).length, 1);
      yield* pass(150);
      assert.deepEqual(yield* messages.repliesForUnfiltered([idOf(done), idOf(streamed)]), []);
      const again = keyed("done");
      assert.equal((yield* messages.saveRequest(again))._tag, "Success");
      assert.equal((yield* messages.saveRequest(keyed("open")))._tag, "Duplicate");
      assert.equal((yield* messages.saveRequest(keyed("reset")))._tag, "Duplicate");
      yield* messages.resetShards(one);
      assert.deepEqual(yield* read(messages), [idOf(open), idOf(reset), idOf(again)]);
      const { layout, read: readLog } = yield* Log;
      const left = yield* Effect.map(
        Stream.runCollect(readLog({ shard: 0, subject: `${layout.namespace}.>` })),
        (entries) => Array.from(entries, ({ subject }) => subject.split(".")[1]).sort(),
      );
      assert.deepEqual(left, ["call", "call", "call", "call", "reply"]);
    }),
  );
});

describe("a cluster on JetStream", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const onServer = () =>
    ServerClock.layer.pipe(
      Layer.provideMerge(layerJetStream({ namespace: `t${randomUUID().slice(24)}`, shards: 1 })),
      Layer.provide(Connection.layer({ servers: server.url })),
    );
  const test: Run = (title, effect) =>
    it(title, () =>
      Effect.runPromise(
        Effect.orDie(Effect.asVoid(Effect.provide(Effect.scoped(effect), onServer()))),
      ));

  onBoth(test);

  test(
    "whoever the server has not heard of in time cannot reply, as the server says",
    Effect.gen(function* () {
      const config = { shardLockExpiration: "2 seconds" } as const;
      const stale = yield* runnerProcess("stale", one, { config });
      const request = plain(1);
      yield* stale.messages.saveRequest(request);
      assert.deepEqual(yield* read(stale.messages), [idOf(request)]);
      const next = yield* runnerProcess("next", []);
      const held = yield* until(
        next.runners.acquire(next.address, one),
        ({ length }) => length > 0,
      );
      assert.deepEqual(held, one);
      const refused = yield* Effect.flip(
        stale.messages.saveReply(exitOf(request, Exit.succeed("stale"))),
      );
      assert.equal((refused.cause as { readonly _tag: string })._tag, "StaleFence");
      assert.deepEqual(yield* read(next.messages), [idOf(request)]);
      const exit = exitOf(request, Exit.succeed("fresh"));
      yield* next.messages.saveReply(exit);
      assert.deepEqual(exitsOf(yield* stale.messages.repliesFor([request])), [`${exit.reply.id}`]);
      assert.deepEqual(yield* stale.runners.refresh(stale.address, one), []);
    }),
  );

  const Counter = Entity.make("Counter", [
    Rpc.make("Add", { payload: { n: Schema.Number }, success: Schema.Number })
      .annotate(Persisted, true),
  ]);

  it("an entity is woken by what another process stored, with no poll to help", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const context = yield* Layer.build(onServer());
        const config = ShardingConfig.layer({
          shardsPerGroup: 10,
          entityMessagePollInterval: "1 hour",
          entityReplyPollInterval: "20 millis",
        });
        let sum = 0;
        const runner = yield* Layer.build(
          Layer.merge(
            Counter.toLayer({ Add: ({ payload }) => Effect.sync(() => sum += payload.n) }),
            Wakes.layer,
          ).pipe(
            Layer.provideMerge(Sharding.layer),
            Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop]),
            Layer.provideMerge(Layer.fresh(Storage.layer())),
            Layer.provide([config, Layer.succeedContext(context)]),
          ),
        );
        const client = yield* Layer.build(
          Sharding.layer.pipe(
            Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop]),
            Layer.provide(Layer.fresh(Storage.layer())),
            Layer.provide([
              ShardingConfig.layer({
                runnerAddress: Option.none(),
                shardsPerGroup: 10,
                entityReplyPollInterval: "20 millis",
              }),
              Layer.succeedContext(context),
            ]),
          ),
        );
        const counterOf = (sharding: Context.Context<Sharding.Sharding>) =>
          Effect.provide(Counter.client, sharding);
        const local = yield* counterOf(runner);
        assert.equal(yield* local("a").Add({ n: 1 }), 1);
        const remote = yield* counterOf(client);
        assert.equal(yield* remote("a").Add({ n: 2 }), 3);
        assert.equal(yield* remote("b").Add({ n: 3 }), 6);
      }).pipe(Effect.scoped, Effect.timeout("60 seconds")),
    ));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
