/**
 * Reading executions: pages of them, and of each where it stands, how it ended and what happened. A
 * task is an execution, so that both words lead here.
 */
import type { Description as DescriptionOf, HistoryEntry } from "../../executions.ts";
import { Description, Ended, History, NotEnded, Page, Waitpoints } from "../answers.ts";
import { waitForEnd, type Waits } from "../long_poll.ts";
import { runOf } from "../named.ts";
import {
  defaultLimit,
  HistoryQuery,
  listOf,
  ListQuery,
  ResultQuery,
  tagOf,
  TenantQuery,
} from "../query.ts";
import { type Call, type Route, route } from "../route.ts";

type Listing = Call<never, typeof ListQuery.Type>;

const list = async (call: Listing) => {
  const { tag } = call.query;
  const page = await call.weir.list({
    ...listOf(call),
    ...(tag === undefined ? {} : { tag: tagOf(tag) }),
  });
  return { status: 200, body: page };
};

const describe = async (call: Call<"id">) => ({ status: 200, body: await runOf(call).describe() });

const resultOf = ({ execution: id, tenant, status, outcome, reason, why }: DescriptionOf) =>
  outcome === undefined
    ? { status: 202, body: { id, tenant, status, reason, why }, headers: { "retry-after": "1" } }
    : { status: 200, body: { id, tenant, status, outcome } };

const history = async (call: Call<"id", typeof HistoryQuery.Type>) => {
  const { limit = defaultLimit, from = 0 } = call.query;
  const entries: Array<HistoryEntry> = [];
  for await (const entry of runOf(call).history()) {
    if (entry.sequence <= from) continue;
    entries.push(entry);
    if (entries.length > limit) break;
  }
  const page = entries.slice(0, limit);
  const next = entries.length > limit ? { next: page.at(-1)!.sequence } : {};
  return { status: 200, body: { entries: page, ...next } };
};

const paths = [["runs", "/api/v1/runs"], ["tasks", "/api/v1/tasks"]] as const;

export const runRoutes = (waits: Waits): ReadonlyArray<Route> => [
  ...paths.flatMap(([word, path]) => [
    route({
      method: "GET",
      path,
      verb: `${word}.list`,
      access: "read",
      summary: "Executions, newest first, a page at a time",
      query: ListQuery,
      answers: { 200: { description: "A page", schema: Page } },
      handle: list,
    }),
    route({
      method: "GET",
      path: `${path}/{id}`,
      verb: `${word}.describe`,
      access: "read",
      summary: "Where an execution stands, and why",
      query: TenantQuery,
      answers: { 200: { description: "As it stands", schema: Description } },
      handle: describe,
    }),
  ]),
  route({
    method: "GET",
    path: "/api/v1/runs/{id}/result",
    verb: "runs.result",
    access: "read",
    summary: "How an execution has ended, when it has",
    query: ResultQuery,
    answers: {
      200: { description: "It has ended, well or not", schema: Ended },
      202: { description: "It has not ended; ask again", schema: NotEnded },
    },
    handle: async (call) => {
      const run = runOf(call);
      const first = resultOf(await run.describe());
      const { wait = 0 } = call.query;
      if (first.status === 200 || wait === 0) return first;
      await waitForEnd(waits, run, { seconds: wait, signal: call.request.signal });
      return resultOf(await run.describe());
    },
  }),
  route({
    method: "GET",
    path: "/api/v1/runs/{id}/pending-waitpoints",
    verb: "runs.pending-waitpoints",
    access: "read",
    summary: "The signals that an execution waits for",
    query: TenantQuery,
    answers: { 200: { description: "None, if it waits for no signal", schema: Waitpoints } },
    handle: async (call) => {
      const { execution: id, tenant, waitingFor } = await runOf(call).describe();
      const pending = waitingFor.filter(({ kind }) => kind === "wait");
      return { status: 200, body: { id, tenant, waitingFor: pending } };
    },
  }),
  route({
    method: "GET",
    path: "/api/v1/runs/{id}/history",
    verb: "runs.history",
    access: "read",
    summary: "Every record of an execution, in the order of the log, a page at a time",
    query: HistoryQuery,
    answers: { 200: { description: "A page", schema: History } },
    handle: history,
  }),
];
