/**
 * A process that appends as fast as it is answered, with some in flight, and tells each append that
 * was accepted, with when that was, in a line that has left the process before it goes on.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import * as Effect from "effect/Effect";
import { ExecutionId } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { message, openClient } from "../fixtures/log_client.ts";
import { tenant } from "../conformance/subject_matter.ts";

export interface AppenderOptions {
  readonly servers: ReadonlyArray<string>;
  readonly replicas: number;
}

const inFlight = 16;
const standardOutput = 1;

const { servers, replicas } = JSON.parse(process.argv[2]!) as AppenderOptions;
const client = openClient({ servers }, { replicas });
let next = 0;

const append = Effect.gen(function* () {
  const log = yield* Log;
  const n = next++;
  const to = executionAddress(log.layout, tenant, ExecutionId.make(`order/${n % inFlight}`));
  yield* log.append(to, message("event", undefined, `${n}`));
  writeSync(standardOutput, `${JSON.stringify([n, Date.now()])}\n`);
});

await client.runPromise(
  Effect.forEach(Array.from({ length: inFlight }), () => Effect.forever(append), {
    concurrency: inFlight,
    discard: true,
  }),
).catch(() => process.exit(1));
