/** Who holds which shard of Effect's cluster, and what becomes of those who believe that they do. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { Log } from "../../streams/log.ts";
import { addressOf, exitOf, plain } from "../../testing/suites/cluster_requests.ts";
import { runnerOf, shardsOf } from "../../testing/suites/runner_storage.ts";
import {
  counted,
  inMemory,
  onServer,
  processOf,
  runnerProcess,
  type Test,
} from "../fixtures/cluster_storages.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const virtually = inMemory(2);

const hostsOf = ({ runners }: Effect.Success<ReturnType<typeof processOf>>) =>
  Effect.map(runners.getRunners, (found) => found.map(([{ address }]) => address.host).sort());

const three = shardsOf(1, 2, 3);

const onBoth = (test: Test) => {
  test(
    "no two runners have the same machine id, whoever registers at once or comes back",
    Effect.gen(function* () {
      const hosts = Array.from({ length: 100 }, (_, i) => `h${i}`);
      const all = yield* Effect.forEach(hosts, (host) => runnerProcess(host, []), {
        concurrency: "unbounded",
      });
      const ids = all.map(({ machineId }) => machineId);
      assert.equal(new Set(ids).size, 100);
      assert.ok(ids.every((id) => id >= 0 && id < 1024));
      const again = yield* runnerProcess("h0", []);
      assert.ok(!ids.includes(again.machineId));
      assert.deepEqual(yield* hostsOf(again), [...hosts].sort());
      // Whoever is there already keeps its id.
      assert.equal(yield* again.runners.register(runnerOf("h0"), true), again.machineId);
    }),
  );

  test(
    "of all who want the same shards at once each shard has one",
    Effect.gen(function* () {
      const wanted = shardsOf(...Array.from({ length: 50 }, (_, i) => i + 1));
      const all = yield* Effect.forEach(["a", "b", "c"], (host) => runnerProcess(host, []));
      const held = yield* Effect.forEach(
        all,
        ({ runners, address }) => runners.acquire(address, wanted),
        { concurrency: "unbounded" },
      );
      assert.equal(held.flat().length, 50);
      assert.equal(new Set(held.flat()).size, 50);
    }),
  );
};

describe("shards of the cluster, on the log in memory", () => {
  onBoth(virtually);

  virtually(
    "a shard is one runner's until that releases it",
    Effect.gen(function* () {
      const one = yield* runnerProcess("one", three);
      const two = yield* runnerProcess("two", three);
      assert.deepEqual([one.held, two.held], [three, []]);
      yield* one.runners.release(one.address, three[1]!);
      assert.deepEqual(yield* two.runners.acquire(two.address, three), shardsOf(2));
      // What it has no more it cannot release, however often it tries.
      yield* one.runners.release(one.address, three[1]!);
      yield* one.runners.releaseAll(one.address);
      assert.deepEqual(yield* two.runners.refresh(two.address, shardsOf(2)), shardsOf(2));
      assert.deepEqual(yield* one.runners.refresh(one.address, three), []);
      assert.deepEqual(yield* two.runners.acquire(two.address, three), three);
    }),
  );

  virtually(
    "whoever stood still has no shard when it goes on, and cannot reply any more",
    Effect.gen(function* () {
      const one = yield* runnerProcess("one", three);
      const request = plain(1);
      yield* one.messages.saveRequest(request);
      assert.equal((yield* one.messages.unprocessedMessages(three)).length, 1);
      yield* Effect.sleep("34 seconds");
      const two = yield* runnerProcess("two", three);
      assert.deepEqual(two.held, []);
      assert.deepEqual(yield* hostsOf(two), ["one", "two"]);
      yield* Effect.sleep("3 seconds");
      assert.deepEqual(yield* hostsOf(two), ["two"]);
      assert.deepEqual(yield* two.runners.acquire(two.address, three), three);
      assert.equal((yield* two.messages.unprocessedMessages(three)).length, 1);

      const refused = yield* Effect.flip(
        one.messages.saveReply(exitOf(request, Exit.succeed("stale"))),
      );
      assert.equal(refused._tag, "PersistenceError");
      assert.equal((refused.cause as { readonly _tag: string })._tag, "StaleFence");
      yield* two.messages.saveReply(exitOf(request, Exit.succeed("fresh")));
      yield* Effect.flip(one.messages.saveReply(exitOf(request, Exit.succeed("stale again"))));
      const replies = yield* two.messages.repliesForUnfiltered([request.envelope.requestId]);
      assert.deepEqual(
        replies.map((reply) => reply._tag === "WithExit" && reply.exit),
        [{ _tag: "Success", value: "fresh" }],
      );

      yield* one.runners.release(one.address, three[0]!);
      const third = yield* runnerProcess("third", three);
      assert.deepEqual(third.held, []);
      assert.deepEqual(yield* one.runners.refresh(one.address, three), []);
      assert.deepEqual(yield* one.runners.acquire(one.address, three), []);
      const machineId = yield* one.runners.register(runnerOf("one"), true);
      assert.notEqual(machineId, one.machineId);
      assert.deepEqual(yield* one.runners.acquire(one.address, three), []);
      assert.deepEqual(yield* two.runners.refresh(two.address, three), three);
    }),
  );

  virtually(
    "what is not refreshed is lost, also if nobody wanted it meanwhile",
    Effect.gen(function* () {
      const one = yield* runnerProcess("one", three);
      yield* Effect.sleep("36 seconds");
      assert.deepEqual(yield* one.runners.refresh(one.address, three), []);
      yield* one.runners.register(runnerOf("one"), true);
      assert.deepEqual(yield* one.runners.acquire(one.address, three), three);
      yield* Effect.repeat(
        Effect.andThen(Effect.sleep("10 seconds"), one.runners.refresh(one.address, three)),
        { times: 10 },
      );
      assert.deepEqual(yield* one.runners.refresh(one.address, three), three);
    }),
  );

  virtually(
    "who starts anew under the same address has its shards at once, and the former one has none",
    Effect.gen(function* () {
      const former = yield* runnerProcess("one", three);
      const anew = yield* runnerProcess("one", three);
      assert.deepEqual(anew.held, three);
      yield* Effect.sleep("2 seconds");
      assert.deepEqual(yield* former.runners.refresh(former.address, three), []);
      yield* former.runners.releaseAll(former.address);
      assert.deepEqual(yield* anew.runners.refresh(anew.address, three), three);
    }),
  );

  virtually(
    "who leaves is not listed, and has its shards until it releases them",
    Effect.gen(function* () {
      const one = yield* runnerProcess("one", three);
      const two = yield* runnerProcess("two", []);
      yield* one.runners.unregister(one.address);
      assert.deepEqual(yield* hostsOf(two), ["two"]);
      assert.deepEqual(yield* two.runners.acquire(two.address, three), []);
      assert.deepEqual(yield* one.runners.refresh(one.address, three), three);
      yield* one.runners.release(one.address, three[0]!);
      assert.deepEqual(yield* two.runners.acquire(two.address, three), shardsOf(1));
      yield* one.runners.releaseAll(one.address);
      assert.deepEqual(yield* two.runners.acquire(two.address, three), three);
    }),
  );

  virtually(
    "what was taken for somebody who never asked for it again is given up",
    Effect.gen(function* () {
      const one = yield* runnerProcess("one", three);
      const two = yield* runnerProcess("two", []);
      for (let i = 0; i < 5; i++) {
        yield* Effect.sleep("10 seconds");
        yield* one.runners.refresh(one.address, shardsOf(1));
        yield* two.runners.refresh(two.address, []);
      }
      assert.deepEqual(yield* two.runners.acquire(two.address, three), shardsOf(2, 3));
    }),
  );

  virtually(
    "a refresh is one write, however many shards there are, and none right after another",
    Effect.gen(function* () {
      const { log, taken } = counted(yield* Log);
      const many = shardsOf(...Array.from({ length: 300 }, (_, i) => i + 1));
      const one = yield* Effect.provideService(runnerProcess("one", many), Log, log);
      assert.equal(one.held.length, 300);
      assert.deepEqual(taken(), { append: 301, readThrough: 4 });
      yield* one.runners.refresh(one.address, shardsOf(7));
      assert.deepEqual(taken(), {});
      yield* Effect.sleep("5 seconds");
      assert.deepEqual(yield* one.runners.refresh(one.address, many), many);
      assert.deepEqual(taken(), { append: 1 });
      // Whether the storage is there at all.
      yield* one.runners.refresh(one.address, []);
      assert.deepEqual(taken(), { append: 1 });
    }),
  );

  virtually(
    "without a lock nobody replies in a shard that was ever locked",
    Effect.gen(function* () {
      const client = yield* processOf();
      const request = plain(1);
      const other = plain(2, addressOf("b", 9));
      for (const one of [request, other]) yield* client.messages.saveRequest(one);
      const owner = yield* runnerProcess("one", shardsOf(1));
      yield* owner.runners.releaseAll(owner.address);
      const refused = yield* Effect.flip(
        client.messages.saveReply(exitOf(request, Exit.succeed("no"))),
      );
      assert.equal((refused.cause as { readonly _tag: string })._tag, "AlreadyExists");
      yield* client.messages.saveReply(exitOf(other, Exit.succeed("yes")));
      const replies = yield* client.messages.repliesFor([request, other]);
      assert.deepEqual(
        replies.map(({ requestId }) => requestId),
        [other.envelope.requestId],
      );
    }),
  );
});

describe("shards of the cluster, on JetStream", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  onBoth(onServer(() => server.url, 2));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
