/**
 * Schedules: which there are, where one stands, the runs that it has started, and what people ask of
 * it. A schedule is submitted as a task with a policy, and cancelled as any execution.
 */
import * as Schema from "effect/Schema";
import type { Cursor } from "../../../schema/cursor.ts";
import { Overlap } from "../../../schema/overlap.ts";
import type { ScheduleOptions } from "../../executions/task.ts";
import type { Schedule } from "../../schedule.ts";
import { Asked, Page, ScheduleDescription } from "../answers.ts";
import { askSchedule } from "../named.ts";
import { defaultLimit, listOf, PageQuery, SchedulesQuery, TenantQuery } from "../query.ts";
import { type Call, type Route, route } from "../route.ts";
import { grace, MisfireRequest, RunPolicyRequest } from "../task_request.ts";

const Instant = Schema.String.check(
  Schema.isPattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/, {
    expected: "a time like 2026-11-22T08:00:00Z",
  }),
);

const TriggerRequest = Schema.Struct({
  id: Schema.optionalKey(
    Schema.String.annotate({
      description: "The same id starts no second run while the first is kept",
    }),
  ),
}).annotate({ identifier: "TriggerRequest" });

const BackfillRequest = Schema.Struct({ from: Instant, to: Instant }).annotate({
  identifier: "BackfillRequest",
});

const ChangeRequest = Schema.Struct({
  policy: Schema.optionalKey(RunPolicyRequest),
  misfire: Schema.optionalKey(MisfireRequest),
  overlap: Schema.optionalKey(Overlap),
  grace,
}).annotate({ identifier: "ChangeRequest" });

interface Asking<Body> {
  readonly verb: string;
  readonly summary: string;
  readonly body?: Schema.Codec<Body, unknown>;
  readonly isBodyOptional?: boolean;
  /** Says of which execution it is, if not of the schedule. */
  readonly ask: (schedule: Schedule, body: Body) => Promise<{ readonly id: string } | void>;
}

const asking = <Body = unknown>(
  { verb, summary, body, isBodyOptional = true, ask }: Asking<Body>,
): Route =>
  route({
    method: "POST",
    path: `/api/v1/schedules/{id}/${verb}`,
    verb: `schedules.${verb}`,
    access: "control",
    summary,
    query: TenantQuery,
    ...(body === undefined ? {} : { body }),
    isBodyOptional,
    answers: { 202: { description: "It is asked for", schema: Asked } },
    handle: async (call: Call<"id", unknown, Body>) => {
      const asked = await askSchedule(call, (schedule) => ask(schedule, call.body));
      const { id } = asked ?? call.path;
      return { status: 202, body: { id, tenant: call.tenant, asked: verb } };
    },
  });

export const scheduleRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v1/schedules",
    verb: "schedules.list",
    access: "read",
    summary: "Schedules, newest first, a page at a time",
    query: SchedulesQuery,
    answers: { 200: { description: "A page", schema: Page } },
    handle: async (call) => ({
      status: 200,
      body: await call.weir.schedules.list(listOf(call)),
    }),
  }),
  route({
    method: "GET",
    path: "/api/v1/schedules/{id}",
    verb: "schedules.describe",
    access: "read",
    summary: "Where a schedule stands, and when its next run is due",
    query: TenantQuery,
    answers: { 200: { description: "As it stands", schema: ScheduleDescription } },
    handle: async (call) => ({
      status: 200,
      body: await askSchedule(call, (schedule) => schedule.describe()),
    }),
  }),
  route({
    method: "GET",
    path: "/api/v1/schedules/{id}/runs",
    verb: "schedules.runs",
    access: "read",
    summary: "The runs of a schedule, newest first, a page at a time",
    query: PageQuery,
    answers: { 200: { description: "A page", schema: Page } },
    handle: async (call) => {
      const { limit = defaultLimit, from } = call.query;
      const page = await askSchedule(call, async (schedule) => {
        await schedule.describe();
        return await schedule.runs({
          limit,
          ...(from === undefined ? {} : { from: from as Cursor }),
        });
      });
      return { status: 200, body: page };
    },
  }),
  asking({
    verb: "trigger",
    summary: "Starts one run more, at once; the answer has its id",
    body: TriggerRequest,
    ask: async (schedule, body: typeof TriggerRequest.Type | undefined) => {
      const { id } = await schedule.trigger(body);
      return { id };
    },
  }),
  asking({
    verb: "backfill",
    summary: "Starts the runs of a time that is over, each once; at most 1,000 at a time",
    body: BackfillRequest,
    isBodyOptional: false,
    ask: (schedule, { from, to }) => schedule.backfill({ from: new Date(from), to: new Date(to) }),
  }),
  asking({
    verb: "pause",
    summary: "Starts no runs until it is resumed, but those that are asked for",
    ask: (schedule) => schedule.pause(),
  }),
  asking({
    verb: "resume",
    summary: "Goes on; the misfire policy says what becomes of the time between",
    ask: (schedule) => schedule.resume(),
  }),
  asking({
    verb: "change",
    summary: "Follows another policy from now on; runs under way go on",
    body: ChangeRequest,
    isBodyOptional: false,
    // Durations are checked by the verb.
    ask: (schedule, body) => schedule.change(body as ScheduleOptions),
  }),
  asking({
    verb: "finish",
    summary: "Starts no more runs, and ends when the last has",
    ask: (schedule) => schedule.finish(),
  }),
];
