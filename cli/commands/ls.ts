/** `weir ls`: which executions there are, newest first. */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import type { Cursor } from "../../schema/cursor.ts";
import { ActorName } from "../../schema/ids.ts";
import {
  ExecutionIndex,
  type ExecutionPage,
  type ExecutionQuery,
  type ListedExecution,
} from "../../streams/execution_index.ts";
import { type ExecutionStatus, statuses } from "../../streams/execution_index/status.ts";
import { checked, given, limit, tagQuery } from "../flags.ts";
import { type Column, json, makeList } from "../report.ts";
import { existing, root, tenant } from "../root.ts";
import { iso, Screen } from "../screen.ts";
import { statusColor } from "../status_color.ts";

/** An execution of the list, as it is shown. */
export const executionColumns: ReadonlyArray<Column<ListedExecution>> = [
  { title: "EXECUTION", of: ({ execution }) => execution },
  {
    title: "STATUS",
    of: ({ status }) => status,
    color: ({ status }) => statusColor(status),
  },
  { title: "STARTED", of: ({ startedAt }) => iso(startedAt) },
  { title: "ENDED", of: ({ endedAt }) => endedAt === undefined ? "-" : iso(endedAt) },
  {
    title: "TAGS",
    of: ({ tags }) =>
      Object.entries(tags).map(([name, value]) => `${name}=${value}`).join(" ") || "-",
  },
];

const largestPage = 1_000;
/** A list that is kept up is never this far behind. */
const staleMs = 10_000;

/** What the reader should know of the last page, in words. */
const remarks = ({ next, asOf }: ExecutionPage, now: number): ReadonlyArray<string> => [
  ...(next === undefined ? [] : [`There are more: go on with --from ${next}`]),
  ...(asOf === 0
    ? ["Nobody has listed the executions yet: run a worker, or `weir dev`."]
    : asOf < now - staleMs
    ? [`The list is of ${iso(asOf)}: run a worker, or \`weir dev\`, to have it kept up.`]
    : []),
];

/** Which part of a list is wanted. */
export const pageFlags = {
  limit: limit.pipe(Flag.withDefault(50)),
  all: Flag.Boolean("all").pipe(
    Flag.withDescription("All there are, however many"),
    Flag.withDefault(false),
  ),
  from: Flag.String("from").pipe(
    Flag.withMetavar("cursor"),
    Flag.withDescription("Where the page before ended"),
    Flag.optional,
  ),
};

/** Prints the executions that a query finds, and what the reader should know of the list. */
export const printExecutions = Effect.fnUntraced(function* (
  query: Omit<ExecutionQuery, "limit" | "from">,
  { limit, all, from }: {
    readonly limit: number;
    readonly all: boolean;
    readonly from: Option.Option<string>;
  },
) {
  const screen = yield* Screen;
  const flags = yield* root;
  const index = yield* ExecutionIndex;
  const print = yield* makeList(executionColumns);
  let wanted = all ? Infinity : limit;
  // The list checks what it is given as a cursor.
  let after = Option.map(from, (text) => text as Cursor);
  let page: ExecutionPage;
  do {
    page = yield* index.list({
      ...query,
      ...given("from", after),
      limit: Math.min(wanted, largestPage),
    });
    yield* print(page.executions);
    wanted -= page.executions.length;
    after = Option.fromUndefinedOr(page.next);
  } while (wanted > 0 && Option.isSome(after));
  const { next, asOf } = page;
  if (flags.json) {
    return yield* screen.note(json({ ...(next === undefined ? {} : { next }), asOf }));
  }
  yield* Effect.forEach(
    remarks(page, yield* Clock.currentTimeMillis),
    screen.note,
    { discard: true },
  );
});

/** Which of a tenant's are wanted, whatever they are. */
export const filterFlags = {
  status: Flag.Literals("status", statuses).pipe(
    Flag.withDescription("Those in this state"),
    Flag.optional,
  ),
  actor: Flag.String("actor").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Those of this actor"),
    Flag.optional,
  ),
};

/** What these flags mean, of the tenant that the flags name. */
export const filterOf = Effect.fnUntraced(function* (
  { status, actor }: {
    readonly status: Option.Option<ExecutionStatus>;
    readonly actor: Option.Option<string>;
  },
) {
  return {
    tenant: yield* tenant,
    ...given("status", status),
    ...given("actor", yield* checked(ActorName, "actor name", actor)),
  };
});

export const ls = Command.make(
  "ls",
  { ...filterFlags, tag: tagQuery, ...pageFlags },
  ({ status, actor, tag, ...page }) =>
    Effect.gen(function* () {
      const filter = yield* filterOf({ status, actor });
      yield* printExecutions({ ...filter, ...given("tag", tag) }, page);
    }).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("List executions, newest first"),
  Command.withExamples([
    { command: "weir ls --status failed --actor order", description: "What went wrong" },
    { command: "weir ls --tag team.name=checkout --all --json", description: "For a program" },
  ]),
);
