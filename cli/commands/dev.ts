/**
 * `weir dev`: the server, as long as it runs, and what executions do on it. It keeps their list up, so
 * that there is one without any worker. Who else uses the server keeps it when this one ends.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Command from "effect/cli/Command";
import { Connection } from "../../streams/connection.ts";
import { ExecutionIndex, type ListedExecution } from "../../streams/execution_index.ts";
import { fields, json, makeList, makeTable } from "../report.ts";
import { layer, root, tenant } from "../root.ts";
import { Screen } from "../screen.ts";
import { executionColumns } from "./ls.ts";

const lookEvery = "500 millis";
const largestPage = 1_000;
/** For what stands above the table, and the prompt below it. */
const reservedRows = 8;
const leastRows = 5;

const greet = Effect.gen(function* () {
  const screen = yield* Screen;
  const flags = yield* root;
  const { server, nats, durability } = yield* Connection;
  const url = server?.url ?? `nats://${nats.getServer()}`;
  if (flags.json) {
    const { store, pid } = server ?? {};
    const version = nats.info?.version;
    return yield* screen.write(`${json({ server: { url, version, durability, store, pid } })}\n`);
  }
  const lines = server === undefined
    ? [...fields([["server", `nats-server ${nats.info?.version} at ${url}`]])]
    : [
      ...fields([
        ["server", `nats-server ${server.version}, ${server.durability}`],
        ["store", server.store],
        ["programs", "connect() finds it by itself; or else"],
        ["", `export NATS_URL=${url}`],
      ]),
    ];
  yield* screen.write(`${lines.join("\n")}\n\n`);
});

/** The newest on a screen, drawn again and again in the same place. */
const watch = Effect.fnUntraced(function* (
  look: (count: number) => Effect.Effect<ReadonlyArray<ListedExecution>, unknown>,
) {
  const screen = yield* Screen;
  let drawn = 0;
  const draw = Effect.gen(function* () {
    const found = yield* look(Math.max(leastRows, (yield* screen.rows) - reservedRows));
    const table = makeTable(executionColumns, screen);
    const rows = table.rows(found);
    const lines = found.length === 0 ? ["No executions yet."] : [table.head(), ...rows];
    const back = drawn === 0 ? "" : `\u001b[${drawn}A\u001b[J`;
    drawn = lines.length;
    // Without the terminal's own line breaks, so that the lines can be counted.
    yield* screen.write(`${back}\u001b[?7l${lines.join("\n")}\u001b[?7h\n`);
  });
  yield* Effect.repeat(draw, Schedule.spaced(lookEvery));
});

/** A line for each change that was seen, oldest first. */
const tell = Effect.fnUntraced(function* (
  look: (count: number) => Effect.Effect<ReadonlyArray<ListedExecution>, unknown>,
) {
  const print = yield* makeList(executionColumns);
  const told = new Map<string, string>();
  const draw = Effect.gen(function* () {
    const found = [...yield* look(largestPage)].reverse();
    const keyOf = ({ execution, life }: ListedExecution) => `${execution} ${life}`;
    const news = found.filter((each) => told.get(keyOf(each)) !== each.status);
    told.clear();
    for (const each of found) told.set(keyOf(each), each.status);
    yield* print(news);
  });
  yield* Effect.repeat(draw, Schedule.spaced(lookEvery));
});

export const dev = Command.make("dev", {}, () =>
  Effect.gen(function* () {
    const screen = yield* Screen;
    const flags = yield* root;
    const index = yield* ExecutionIndex;
    const of = yield* tenant;
    yield* greet;
    yield* Effect.forkScoped(index.project);
    const look = (count: number) =>
      Effect.map(
        index.list({ tenant: of, limit: Math.min(count, largestPage) }),
        ({ executions }) => executions,
      );
    yield* screen.isTerminal && !flags.json ? watch(look) : tell(look);
  }).pipe(Effect.scoped, Effect.provide(layer()))).pipe(
    Command.withDescription("Run the embedded server and watch the executions on it"),
    Command.withExamples([{ command: "weir dev --store ./.weir" }]),
  );
