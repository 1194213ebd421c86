/** Following the log over a connection that breaks, as seen by whoever waits for what comes. */
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Latch from "effect/Latch";
import * as Stream from "effect/Stream";
import { Log } from "../../streams/log.ts";
import { executionFilter, subjectOf } from "../../streams/subjects.ts";
import { begin, type Client, message, newExecution, openClient } from "../fixtures/log_client.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
import { readersOf } from "../fixtures/readers.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

let server: ScratchServer;
let proxy: Proxy;
let witness: Client;
let client: Client;

before(async () => {
  server = await scratchServer({ durability: "bounded" });
  proxy = await startProxy(server.port);
  witness = openClient({ servers: server.url });
  client = openClient({ servers: proxy.url });
});
after(async () => {
  await client.dispose();
  await witness.dispose();
  await proxy.stop();
  await server.stop();
});

it("a follower goes on at once though nobody answers for its consumer after a break", async () => {
  const execution = await witness.runPromise(newExecution);
  const append = () =>
    witness.runPromise(
      Effect.flatMap(Log, (log) => log.append(execution, message("mail"))),
    );
  const got: Array<number> = [];
  const following = begin(
    client,
    Effect.flatMap(Log, (log) =>
      log.follow(executionFilter(execution)).pipe(
        Stream.take(3),
        Stream.runForEach(({ sequence }) => Effect.sync(() => got.push(sequence))),
      )),
  );
  const sequences = [(await append()).sequence];
  await eventually("the first record comes", () => got.length === 1 || undefined);
  proxy.toServer = ({ words: [subject = ""] }) =>
    subject.startsWith("$JS.API.CONSUMER.INFO.") ? "lose" : "pass";
  proxy.cut();
  sequences.push((await append()).sequence, (await append()).sequence);
  await eventually("the others come, too", () => got.length === 3 || undefined);
  await following;
  assert.deepEqual(got, sequences);
});

it("whoever stops before he hears of his consumer leaves none", async () => {
  const execution = await witness.runPromise(newExecution);
  const followers = () => readersOf(server.url, executionFilter(execution).subject);
  let isAsked = false;
  proxy.toServer = ({ words: [subject = ""] }) => {
    isAsked ||= subject.startsWith("$JS.API.CONSUMER.CREATE.");
    return "pass";
  };
  proxy.toClient = () => isAsked ? "lose" : "pass";
  await client.runPromise(
    Effect.raceFirst(
      Effect.flatMap(Log, (log) => Stream.runDrain(log.follow(executionFilter(execution)))),
      Effect.promise(() =>
        eventually("it is there", async () => await followers() === 1 || undefined)
      ),
    ),
  );
  await eventually("it is gone", async () => await followers() === 0 || undefined);
  proxy.toServer = proxy.toClient = () => "pass";
  proxy.cut();
});

it("a follower goes on at once though a server has not heard of its consumer yet", async () => {
  const execution = await witness.runPromise(newExecution);
  const { sequence } = await witness.runPromise(
    Effect.flatMap(Log, (log) => log.append(execution, message("mail"))),
  );
  let unheard = 0;
  // Whoever asks a subject that nobody serves is told so.
  proxy.toServer = ({ words: [subject = "", reply] }) => {
    if (!subject.startsWith("$JS.API.CONSUMER.MSG.NEXT.") || ++unheard > 2) return "pass";
    return new TextEncoder().encode(`PUB nobody.serves.this ${reply} 0\r\n\r\n`);
  };
  const got: Array<number> = [];
  const following = begin(
    client,
    Effect.flatMap(Log, (log) =>
      log.follow(executionFilter(execution)).pipe(
        Stream.take(1),
        Stream.runForEach((entry) => Effect.sync(() => got.push(entry.sequence))),
      )),
  );
  await eventually("the record comes", () => got.length === 1 || undefined);
  await following;
  assert.deepEqual(got, [sequence]);
  assert.ok(unheard > 2);
});

it("a follower that misses a message begins behind the last that it has", async () => {
  const execution = await witness.runPromise(newExecution);
  const log = await witness.runPromise(Log);
  const sequences: Array<number> = [];
  for (let i = 0; i < 3; i++) {
    sequences.push((await witness.runPromise(log.append(execution, message("mail")))).sequence);
  }
  let lost = 0;
  // The second of them, once.
  proxy.toServer = () => "pass";
  proxy.toClient = ({ words: [, , reply = ""] }) =>
    reply.startsWith("$JS.ACK.") && reply.split(".")[6] === "2" && lost++ === 0 ? "lose" : "pass";
  const got = await client.runPromise(
    Effect.flatMap(Log, (log) =>
      log.follow(executionFilter(execution)).pipe(
        Stream.take(3),
        Stream.map(({ sequence }) => sequence),
        Stream.runCollect,
      )),
  );
  proxy.toClient = () => "pass";
  assert.deepEqual(got, sequences);
  assert.ok(lost > 0);
});

it("a follower asks for no more than it has room for, and gets all of it", async () => {
  const execution = await witness.runPromise(newExecution);
  const count = 1_000;
  const prefetch = 256;
  await witness.runPromise(
    Effect.flatMap(
      Log,
      (log) => log.appendBatch(execution, Array.from({ length: count }, () => message("mail"))),
    ),
  );
  let sent = 0;
  let taken = 0;
  let most = 0;
  proxy.toClient = ({ words: [subject = ""] }) => {
    if (subject === subjectOf(execution, "mail")) most = Math.max(most, ++sent - taken);
    return "pass";
  };
  const latch = Latch.makeUnsafe();
  const following = begin(
    client,
    Effect.flatMap(Log, (log) =>
      log.follow(executionFilter(execution)).pipe(
        Stream.take(count),
        Stream.runForEach(() => Effect.andThen(latch.await, Effect.sync(() => taken++))),
      )),
  );
  await eventually("as much comes as there is room for", () => sent >= prefetch || undefined);
  // Whatever it asks for meanwhile comes before the answers to these.
  for (let i = 0; i < 20; i++) {
    await client.runPromise(Effect.flatMap(Log, (log) => log.tail(execution.shard)));
  }
  latch.openUnsafe();
  await following;
  proxy.toClient = () => "pass";
  assert.equal(taken, count);
  // What was handed on in one lot is taken one by one, while the next is fetched.
  assert.ok(most <= 2 * prefetch, `${most} were sent and not taken`);
});

it("nothing is left behind", async () => {
  await client.dispose();
  await witness.dispose();
  await proxy.stop();
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
