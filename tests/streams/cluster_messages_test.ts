/** What several processes of Effect's cluster tell each other through the log, and what stays of it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Persisted } from "effect/cluster/ClusterSchema";
import * as Entity from "effect/cluster/Entity";
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
import * as Option from "effect/Option";
import * as Rpc from "effect/rpc/Rpc";
import * as Schema from "effect/Schema";
import { Unavailable } from "../../schema/errors.ts";
import * as Storage from "../../streams/cluster/storage.ts";
import * as Wakes from "../../streams/cluster/wakes.ts";
import { Log } from "../../streams/log.ts";
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
import {
  counted,
  inMemory,
  one,
  onServer,
  processOf,
  read,
  runnerProcess,
  sharedOn,
  type Test,
  until,
} from "../fixtures/cluster_storages.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const exitsOf = (replies: ReadonlyArray<Reply.Reply<typeof Plain> | Reply.Encoded>) =>
  replies.flatMap((reply) => reply._tag === "WithExit" ? [`${reply.id}`] : []);

const onBoth = (test: Test) => {
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
  const test = inMemory(1);

  onBoth(test);

  inMemory(4)(
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
});

describe("a cluster on JetStream", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const test = onServer(() => server.url, 1);

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
        const context = yield* Layer.build(sharedOn(server.url, 1));
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
