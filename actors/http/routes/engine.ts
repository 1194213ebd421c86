/**
 * Engine control: what is paused, drained or disabled, and changing that, for one tenant or for all.
 * A client of one tenant changes nothing of others.
 */
import * as Schema from "effect/Schema";
import type { EngineVerbs } from "../../engine_control.ts";
import { EngineChanged, EngineStatus, WorkEvents } from "../answers.ts";
import { defaultLimit, whoseOf, WhosePageQuery, WhoseQuery } from "../query.ts";
import { type Route, route } from "../route.ts";

const ChangeRequest = Schema.Struct({
  lane: Schema.optionalKey(Schema.String.annotate({ description: "One lane; all, if left out" })),
  reason: Schema.optionalKey(Schema.String.annotate({ description: "Why, for who looks later" })),
}).annotate({ identifier: "EngineRequest" });

const changing = (
  verb: keyof Pick<EngineVerbs, "pause" | "drain" | "disable" | "resume">,
  summary: string,
): Route =>
  route({
    method: "POST",
    path: `/api/v1/engine/${verb}`,
    verb: `engine.${verb}`,
    access: "control",
    summary,
    query: WhoseQuery,
    body: ChangeRequest,
    isBodyOptional: true,
    answers: { 200: { description: "What holds now", schema: EngineChanged } },
    handle: async (call) => {
      const { principal: by } = call.caller;
      const change = call.weir.engine[verb];
      const body = await change({
        ...whoseOf(call),
        ...call.body,
        ...(by === undefined ? {} : { by }),
      });
      return { status: 200, body };
    },
  });

export const engineRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v1/engine",
    verb: "engine.status",
    access: "read",
    summary: "What is not open: of a tenant, with what holds for all, or of everybody",
    query: WhosePageQuery,
    answers: { 200: { description: "A page", schema: EngineStatus } },
    handle: async (call) => {
      const { limit = defaultLimit, from } = call.query;
      const page = { limit, ...(from === undefined ? {} : { from }) };
      return { status: 200, body: await call.weir.engine.status({ ...whoseOf(call), ...page }) };
    },
  }),
  route({
    method: "GET",
    path: "/api/v1/engine/history",
    verb: "engine.history",
    access: "read",
    summary: "When work was not taken up any more, and when it was again",
    query: WhoseQuery,
    answers: { 200: { description: "All of it", schema: WorkEvents } },
    handle: async (call) => ({
      status: 200,
      body: { events: await call.weir.engine.history(whoseOf(call)) },
    }),
  }),
  changing("pause", "Takes nothing up any more; what has begun goes on until it waits"),
  changing("drain", "Refuses starts; what is there goes on to its end"),
  changing("disable", "Refuses starts, and takes nothing up any more"),
  changing("resume", "Accepts starts, and has everything go on that was kept"),
];
