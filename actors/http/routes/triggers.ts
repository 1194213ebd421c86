/** Triggers of a tenant, and the events of one's own that they may wait for. */
import * as Schema from "effect/Schema";
import type { CreateTriggerOptions } from "../../triggers.ts";
import { Emitted, Trigger, TriggerCreated, Triggers } from "../answers.ts";
import { TenantQuery } from "../query.ts";
import { byOf, type Route, route } from "../route.ts";

const CreateTrigger = Schema.Struct({
  id: Schema.optionalKey(Schema.String.annotate({ description: "Makes a repetition harmless" })),
  when: Schema.Unknown.annotate({
    description:
      "One of { completed, outcome? }, { state, is }, { budget, dimension, percent } and" +
      " { event }",
  }),
  then: Schema.Unknown.annotate({
    description: "One of { promote }, { signal, name, payload? } and { submit, input?, options? }",
  }),
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

const one = "/api/v1/triggers/{id}";

export const triggerRoutes: ReadonlyArray<Route> = [
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
    summary: "Has something done when something happens",
    query: TenantQuery,
    body: CreateTrigger,
    answers: {
      200: { description: "It was there", schema: TriggerCreated },
      201: { description: "It is created", schema: TriggerCreated },
    },
    handle: async (call) => {
      const { tenant, body } = call;
      // The door checks the rest, which no type has seen.
      const asked = { ...body, tenant, ...byOf(call) } as CreateTriggerOptions;
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
