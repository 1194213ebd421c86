/**
 * `deno task demo`: an execution that survives kill -9, on the embedded server, told as it happens.
 * It ends with 0 only if everything that it claims was seen to be so. `--store <folder>` says where
 * the server keeps its data, which stays there to be looked at.
 */
import { relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connect, type Weir } from "@weir/weir";
import { makeBoard } from "./demo/board.ts";
import { openBucket } from "./demo/bucket.ts";
import { makeClaims } from "./demo/claims.ts";
import { type Begun, makeCrew } from "./demo/crew.ts";
import { makeScreen } from "./demo/screen.ts";
import { tell } from "./demo/story.ts";
import { timeline } from "./demo/timeline.ts";

const namespace = "demo";
const names = ["worker-1", "worker-2"] as const;
const { values } = parseArgs({
  options: {
    store: { type: "string", default: fileURLToPath(new URL("../.cache/demo", import.meta.url)) },
  },
});
const store = relative(process.cwd(), values.store) || ".";
/** The same store serves many runs. */
const batch = Math.floor(Date.now() / 1_000).toString(36).slice(-4);

const board = makeBoard(names);
const screen = makeScreen({
  output: process.stdout,
  term: process.env["TERM"],
  noColor: process.env["NO_COLOR"],
  picture: (columns) => timeline(board.rows(), board.now(), columns),
});
const { say } = screen;
// Whatever happens, the terminal gets its cursor back.
process.once("exit", screen.close);
/** What happens, and when. */
const note = (line: string) => {
  if (isInterrupted) return;
  say(`${(performance.now() / 1_000).toFixed(1).padStart(5)} s  ${line}`);
};

let weir: Weir | undefined;
let crew: ReturnType<typeof makeCrew> | undefined;
let bucket: Awaited<ReturnType<typeof openBucket>> | undefined;
let isInterrupted = false;

const interrupted = async (code: number) => {
  // Who asks twice has waited long enough; the server ends by itself when this process has.
  if (isInterrupted) process.exit(code);
  isInterrupted = true;
  screen.close();
  crew?.killAll();
  await bucket?.close();
  await weir?.close();
  process.exit(code);
};
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  process.on(signal, () => void interrupted(code));
}

const play = async (): Promise<number> => {
  say("Four orders, two workers, one kill -9. A real nats-server keeps the log.");
  say();
  // Nothing is to stay behind on a server that others use.
  delete process.env["NATS_URL"];
  weir = await connect({
    namespace,
    embedded: { store: values.store, onProgress: note },
  });
  const { url } = weir.server!;
  const begun: Array<Begun> = [];
  crew = makeCrew({
    url,
    namespace,
    batch,
    onBegun: (step) => {
      begun.push(step);
      board.works(step.execution.slice("order/".length), step.worker, step.step);
    },
    onWords: note,
  });
  bucket = await openBucket(url, namespace);
  note(`nats-server ${bucket.serverVersion} is up, with its data in ${store}.`);
  const workers = await Promise.all(names.map((name) => crew!.hire(name)));
  note(`${workers.map(({ name, pid }) => `${name} is process ${pid}`).join(", ")}.`);

  const claims = makeClaims(note);
  const { dismiss } = crew;
  const scene = { weir, bucket, workers, begun, board, claims, batch, note, dismiss };
  const { run, cursor } = await tell(scene);
  screen.close();
  const flags = `--store ${store} --namespace ${namespace}`;
  say();
  if (claims.failed > 0) {
    say(`${claims.failed} of the claims did not hold. What was seen is above; please report it.`);
    return 1;
  }
  say("Everything that was claimed was seen. The log is still there, to be asked:");
  say(`  deno task weir ls ${flags}`);
  say(`  deno task weir history ${run.id} ${flags}`);
  say(`  deno task weir tail completions --after ${cursor} ${flags}`);
  say("  (without Deno: npx -y deno task …; where the package is installed: npx weir …)");
  say("Next: docs/guide.md to write your own, docs/semantics.md for what happens if…,");
  say("and examples/ for programs that run.");
  return 0;
};

let exitCode = 1;
try {
  exitCode = await play();
} catch (error) {
  if (!isInterrupted) {
    screen.close();
    console.error(`The demo could not go on: ${error instanceof Error ? error.message : error}`);
    crew?.killAll();
  }
}
if (!isInterrupted) {
  await bucket?.close();
  await weir?.close();
  process.exit(exitCode);
}
