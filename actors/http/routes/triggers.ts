/**
 * Triggers of a tenant, and the events of one's own that they may wait for. Who creates a trigger must
 * be allowed to do at once what it is to do.
 */
import * as Schema from "effect/Schema";
import { Json } from "../../../schema/json.ts";
import type { CreateTriggerOptions } from "../../triggers.ts";
import { Emitted, Trigger, TriggerCreated, Triggers } from "../answers.ts";
import { TenantQuery } from "../query.ts";
import { type Besides, byOf, type Route, route } from "../route.ts";
import type { SignalOf } from "../signals.ts";
import type { ActorOf } from "./tasks.ts";

const Then = Schema.Union([
  Schema.Struct({ promote: Schema.String }),
  Schema.Struct({
    signal: Schema.String,
    name: Schema.String,
    payload: Schema.optionalKey(
      Json.annotate({ description: "What has happened, if left out" }),
    ),
  }),
  Schema.Struct({
    submit: Schema.String.annotate({ description: "An actor" }),
    input: Schema.optionalKey(Json.annotate({ description: "What has happened, if left out" })),
    options: Schema.optionalKey(
      Schema.Unknown.annotate({ description: "Those of a task but for its times" }),
    ),
  }),
]).annotate({ identifier: "TriggerThen", description: "What it does" });

const CreateTrigger = Schema.Struct({
  id: Schema.optionalKey(Schema.String.annotate({ description: "Makes a repetition harmless" })),
  when: Schema.Unknown.annotate({
    description:
      "One of { completed, outcome? }, { state, is }, { budget, dimension, percent } and" +
      " { event }",
  }),
  then: Then,
  standing: Schema.optionalKey(
    Schema.Boolean.annotate({ description: "Whether it fires each time" }),
  ),
  unserved: Schema.optionalKey(Schema.Boolean),
}).annotate({ identifier: "CreateTrigger" });

const EventRequest = Schema.Struct({
  payload: Schema.optionalKey(Schema.Unknown),
  id: Schema.optionalKey(Schema.String.annotate({ description: "Makes a repetition harmless" })),
  execution: Schema.optionalKey(
    Schema.String.annotate({ description: "Whose code emits it" }),
  ),
}).annotate({ identifier: "EventRequest" });

const besides = ({ then }: typeof CreateTrigger.Type): Besides => {
  if ("promote" in then) return { verb: "runs.promote", execution: then.promote };
  if ("signal" in then) return { verb: "runs.signal", execution: then.signal };
  return { verb: "tasks.submit" };
};

const one = "/api/v1/triggers/{id}";

export const triggerRoutes = (actorOf: ActorOf, signalOf: SignalOf): ReadonlyArray<Route> => [
  route({
    method: "GET",
    path: "/api/v1/triggers",
    verb: "triggers.list",
    access: "read",
    summary: "The triggers of a tenant, those that are over for seven days",
    query: TenantQuery,
    answers: { 200: { description: "All of them", schema: Triggers } },
    handle: async ({ weir, tenant }) => ({
      status: 200,
      body: { triggers: await weir.triggers.list({ tenant }) },
    }),
  }),
  route({
    method: "POST",
    path: "/api/v1/triggers",
    verb: "triggers.create",
    access: "submit",
    summary: "Has something done when something happens, by who may do it",
    query: TenantQuery,
    body: CreateTrigger,
    besides,
    answers: {
      200: { description: "It was there", schema: TriggerCreated },
      201: { description: "It is created", schema: TriggerCreated },
    },
    handle: async (call) => {
      const { tenant, body } = call;
      const { then: given } = body;
      const then = "signal" in given
        ? { ...given, name: signalOf(given.name) }
        : "submit" in given
        ? { ...given, submit: actorOf(given.submit) }
        : given;
      // The door checks the rest, which no type has seen.
      const asked = { ...body, then, tenant, ...byOf(call) } as CreateTriggerOptions;
      const created = await call.weir.triggers.create(asked);
      return { status: created.created ? 201 : 200, body: created };
    },
  }),
  route({
    method: "GET",
    path: one,
    verb: "triggers.describe",
    access: "read",
    summary: "A trigger, and what it fired for last",
    query: TenantQuery,
    answers: { 200: { description: "As it stands", schema: Trigger } },
    handle: async ({ weir, tenant, path: { id } }) => ({
      status: 200,
      body: await weir.triggers.describe(id, { tenant }),
    }),
  }),
  route({
    method: "POST",
    path: `${one}/cancel`,
    verb: "triggers.cancel",
    access: "control",
    summary: "Ends a trigger",
    query: TenantQuery,
    answers: { 200: { description: "As it stands", schema: Trigger } },
    handle: async (call) => {
      const { weir, tenant, path: { id } } = call;
      return { status: 200, body: await weir.triggers.cancel(id, { tenant, ...byOf(call) }) };
    },
  }),
  route({
    method: "POST",
    path: "/api/v1/events/{key}",
    verb: "emit",
    access: "submit",
    summary: "Emits an event, unless one has its id already",
    query: TenantQuery,
    body: EventRequest,
    answers: {
      200: { description: "It was there", schema: Emitted },
      201: { description: "It is emitted", schema: Emitted },
    },
    handle: async ({ weir, tenant, path: { key }, body: { payload, ...options } }) => {
      const emitted = await weir.emit(key, payload, { ...options, tenant });
      return { status: emitted.emitted ? 201 : 200, body: emitted };
    },
  }),
];
