/**
 * A process that uses the embedded server of the store in its first argument, for tests that kill
 * it. It prints one line of JSON when the server is ready and one for each line that it reads, and
 * ends in order when its standard input ends.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import * as Effect from "effect/Effect";
import { publish } from "../fixtures/embedded_server.ts";
import { acquire } from "../../streams/server.ts";

const say = (answer: unknown) => process.stdout.write(`${JSON.stringify(answer)}\n`);

await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
  const server = yield* acquire({ store: process.argv[2]! });
  say({ url: server.url, pid: server.pid });
  yield* Effect.promise(async () => {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === "publish") say({ sequence: await publish(server.url) });
      if (line === "spawn") say({ pid: spawn("sleep", ["60"], { detached: true }).pid });
    }
  });
})));
process.exit(0);
