/**
 * What those look at who run it: whether it is up, whether the log answers, what was counted, and who
 * works. None of it is of a tenant but the numbers of one.
 */
import { Health, Stats, Workers } from "../answers.ts";
import { countRuns } from "../counts.ts";
import { mediaType, metricsText } from "../metrics_text.ts";
import { prompt } from "../prompt.ts";
import { TenantQuery } from "../query.ts";
import { Refusal } from "../refusal.ts";
import { type Route, route, type ServedWeir } from "../route.ts";

const notReady = () =>
  new Refusal({
    status: 503,
    code: "WEIR_UNAVAILABLE",
    message: "The log does not answer.",
    retryable: true,
    headers: { "retry-after": "1" },
  });

/** Asks the log something, whoever else waits for it. */
const askLog = async (weir: ServedWeir): Promise<void> => {
  const workers = await prompt(weir.workers()).catch(() => undefined);
  if (workers === undefined) throw notReady();
};

/** @param weir the connection itself, whoever asks. */
export const operationRoutes = (weir: ServedWeir): ReadonlyArray<Route> => [
  route({
    method: "GET",
    path: "/healthz",
    verb: "healthz",
    access: "anybody",
    summary: "Whether the process is up",
    answers: { 200: { description: "It is", schema: Health } },
    handle: () => ({ status: 200, body: { status: "ok" } }),
  }),
  route({
    method: "GET",
    path: "/ready",
    verb: "ready",
    access: "operate",
    summary: "Whether the log answers",
    answers: { 200: { description: "It does", schema: Health } },
    handle: async () => {
      await askLog(weir);
      return { status: 200, body: { status: "ready" } };
    },
  }),
  route({
    method: "GET",
    path: "/metrics",
    verb: "metrics",
    access: "operate",
    summary: "What is counted, in the text format of Prometheus",
    query: TenantQuery,
    answers: { 200: { description: "All metrics", mediaType } },
    handle: async (call) =>
      new Response(await metricsText(call.weir, call.tenant), {
        headers: { "content-type": mediaType },
      }),
  }),
  route({
    method: "GET",
    path: "/api/v1/stats",
    verb: "stats",
    access: "read",
    summary: "How many executions are in which state, each counted to 1,000",
    query: TenantQuery,
    answers: { 200: { description: "The numbers", schema: Stats } },
    handle: async ({ weir, tenant }) => ({
      status: 200,
      body: { tenant, ...await countRuns(weir, tenant) },
    }),
  }),
  route({
    method: "GET",
    path: "/api/v1/workers",
    verb: "workers",
    access: "operate",
    summary: "The workers of the namespace that are alive",
    answers: { 200: { description: "All of them", schema: Workers } },
    handle: async ({ weir }) => ({ status: 200, body: { workers: await weir.workers() } }),
  }),
];
