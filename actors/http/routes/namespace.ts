/** What the tenants of a namespace share: its queues and the durable subscriptions of its readers. */
import * as Schema from "effect/Schema";
import { QueueChange } from "../../../schema/queue_limits.ts";
import type { QueueOptions, Queues, RateOptions } from "../../queues.ts";
import { isFamily } from "../../live_bridge.ts";
import { Deleted, Done, Queue, QueueConfigured, QueueNames, Subscriptions } from "../answers.ts";
import { notFound } from "../refusal.ts";
import { type Route, route } from "../route.ts";

type Change = typeof QueueChange.Type;

const rateOf = (
  rate: { readonly count: number; readonly perMs: number } | null,
): RateOptions | null => rate === null ? null : { count: rate.count, per: rate.perMs };

/** The same change in the words of the verb. */
const optionsOf = ({ rate, tenantRate, keyRate, ageingMs, ...rest }: Change): QueueOptions => ({
  ...rest,
  ...(rate === undefined ? {} : { rate: rateOf(rate) }),
  ...(tenantRate === undefined ? {} : { tenantRate: rateOf(tenantRate) }),
  ...(keyRate === undefined ? {} : { keyRate: rateOf(keyRate) }),
  ...(ageingMs === undefined ? {} : { ageing: ageingMs }),
});

const Body = Schema.Struct(QueueChange.fields).annotate({ identifier: "QueueChange" });

const configure = async (queues: Queues, name: string, options: QueueOptions) => ({
  status: 200,
  body: { name, limits: await queues.configure(name, options) },
});

const pausing = (verb: "pause" | "resume", paused: boolean, summary: string): Route =>
  route({
    method: "POST",
    path: `/api/v1/queues/{name}/${verb}`,
    verb: `queues.${verb}`,
    access: "operate",
    steers: true,
    summary,
    answers: { 200: { description: "What it is to allow", schema: QueueConfigured } },
    handle: ({ weir, path: { name } }) => configure(weir.queues, name!, { paused }),
  });

const ResetRequest = Schema.Struct({
  to: Schema.String.annotate({ description: "A cursor, or earliest or now" }),
}).annotate({ identifier: "SubscriptionReset" });

const familyOf = (text: string) => {
  if (isFamily(text)) return text;
  throw notFound("Ask for leaseHistory, completions, signalDeliveries or instanceTags.");
};

export const namespaceRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v1/queues",
    verb: "queues.list",
    access: "operate",
    summary: "The names of the queues",
    answers: { 200: { description: "All of them", schema: QueueNames } },
    handle: async ({ weir }) => ({ status: 200, body: { queues: await weir.queues.list() } }),
  }),
  route({
    method: "GET",
    path: "/api/v1/queues/{name}",
    verb: "queues.describe",
    access: "operate",
    summary: "What a queue allows, and how many wait and run",
    answers: { 200: { description: "As it stands", schema: Queue } },
    handle: async ({ weir, path: { name } }) => ({
      status: 200,
      body: await weir.queues.describe(name),
    }),
  }),
  route({
    method: "POST",
    path: "/api/v1/queues/{name}/configure",
    verb: "queues.configure",
    access: "operate",
    steers: true,
    summary: "Changes what a queue allows; what is left out stays, and null lifts a limit",
    body: Body,
    answers: { 200: { description: "What it is to allow", schema: QueueConfigured } },
    handle: ({ weir, path: { name }, body }) => configure(weir.queues, name, optionsOf(body)),
  }),
  pausing("pause", true, "Lets nobody in; who runs goes on"),
  pausing("resume", false, "Lets in again who may"),
  route({
    method: "GET",
    path: "/api/v1/subscriptions",
    verb: "subscriptions.list",
    access: "operate",
    summary: "The durable subscriptions, and how far behind each is",
    answers: { 200: { description: "All of them", schema: Subscriptions } },
    handle: async ({ weir }) => ({
      status: 200,
      body: { subscriptions: await weir.subscriptions.list() },
    }),
  }),
  route({
    method: "POST",
    path: "/api/v1/subscriptions/{family}/{name}/reset",
    verb: "subscriptions.reset",
    access: "operate",
    steers: true,
    summary: "Has a subscription go on from elsewhere",
    body: ResetRequest,
    answers: { 200: { description: "It does", schema: Done } },
    handle: async ({ weir, path: { family, name }, body: { to } }) => {
      await weir.subscriptions.reset(familyOf(family), name, to);
      return { status: 200, body: { asked: "reset" } };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/v1/subscriptions/{family}/{name}",
    verb: "subscriptions.delete",
    access: "operate",
    steers: true,
    summary: "Forgets a subscription",
    answers: { 200: { description: "It is gone", schema: Deleted } },
    handle: async ({ weir, path: { family, name } }) => {
      await weir.subscriptions.delete(familyOf(family), name);
      return { status: 200, body: { deleted: true } };
    },
  }),
];
