/** What is cleared, swept or lost of what processes of Effect's cluster told each other. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Logger from "effect/Logger";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { callsFilter, entityAddress, entityFilter } from "../../streams/cluster/places.ts";
import { Log } from "../../streams/log.ts";
import {
  ackOf,
  addressOf,
  chunkOf,
  exitOf,
  idOf,
  keyed,
  many,
  plain,
} from "../../testing/suites/cluster_requests.ts";
import { shardsOf } from "../../testing/suites/runner_storage.ts";
import {
  inMemory,
  one,
  processOf,
  read,
  runnerProcess,
  until,
} from "../fixtures/cluster_storages.ts";
import { type IsLost, losing } from "../fixtures/losing_log.ts";

describe("messages of a cluster that go", () => {
  const test = inMemory(1);

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
