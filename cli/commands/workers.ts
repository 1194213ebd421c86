/** `weir workers`: who is there to run executions, and how busy each is. */
import * as Effect from "effect/Effect";
import * as Command from "effect/cli/Command";
import { type Session, Sessions } from "../../streams/session.ts";
import { type Column, printList } from "../report.ts";
import { existing } from "../root.ts";
import { iso } from "../screen.ts";

const columns: ReadonlyArray<Column<Session>> = [
  { title: "WORKER", of: ({ worker }) => worker },
  { title: "HOST", of: ({ host, pid }) => `${host ?? "-"}/${pid ?? "-"}` },
  { title: "SEEN", of: ({ at }) => iso(at) },
  {
    title: "RUNNING",
    of: ({ load }) => load === undefined ? "-" : `${load.running}/${load.concurrency}`,
  },
  { title: "RESIDENT", of: ({ load }) => load === undefined ? "-" : String(load.resident) },
  { title: "LANES", of: ({ lanes = [] }) => lanes.join(",") || "-" },
  { title: "CAPABILITIES", of: ({ capabilities = [] }) => capabilities.join(",") || "-" },
  { title: "ACTORS", of: ({ actors = [] }) => actors.join(",") || "-" },
];

export const workers = Command.make("workers", {}, () =>
  Effect.gen(function* () {
    const found = yield* (yield* Sessions).list;
    yield* printList(columns, [...found].sort((a, b) => a.worker < b.worker ? -1 : 1));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the workers that are alive"),
  );
