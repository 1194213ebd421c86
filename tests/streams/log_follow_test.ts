/** Following the log over a connection that breaks, as seen by whoever waits for what comes. */
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { Log } from "../../streams/log.ts";
import { executionFilter } from "../../streams/subjects.ts";
import { begin, type Client, message, newExecution, openClient } from "../fixtures/log_client.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
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

it("nothing is left behind", async () => {
  await client.dispose();
  await witness.dispose();
  await proxy.stop();
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
