/**
 * Submitting tasks: one that runs once or by its policy, or several that come after each other. Those
 * that are there already are given as they are, so that a request can be repeated.
 */
import * as Schema from "effect/Schema";
import { UnknownActor } from "../../../schema/execution_errors.ts";
import type { Actor } from "../../actor.ts";
import type { ScheduleTaskOptions, SubmitOptions } from "../../weir.ts";
import { Submitted, SubmittedAll } from "../answers.ts";
import { actorNamed } from "../named.ts";
import { TenantQuery } from "../query.ts";
import { type Call, type Route, route } from "../route.ts";
import { type BulkTasks, type SingleTask, TasksRequest } from "../task_request.ts";

// deno-lint-ignore no-explicit-any -- an actor's types are its own business here
export type AnyActor = Actor<any, any>;

export type ActorOf = (name: string) => AnyActor;

/** The actors whose tasks are taken; any by its name, if nobody says which. */
export const actorsAmong = (actors: ReadonlyArray<AnyActor> | undefined): ActorOf => {
  if (actors === undefined) return actorNamed;
  const known = new Map(actors.map((actor) => [actor.name, actor]));
  return (name) => {
    const actor = known.get(name);
    if (actor === undefined) throw new UnknownActor({ actor: name });
    return actor;
  };
};

type Submission = Call<never, typeof TenantQuery.Type, typeof TasksRequest.Type>;
type Single = typeof SingleTask.Type;
type Bulk = typeof BulkTasks.Type;

const isSingle = (body: Single | Bulk): body is Single => "actor" in body;

const submitOne = async ({ weir, tenant }: Submission, task: Single, actorOf: ActorOf) => {
  const { actor, input, policy, misfire, overlap, grace, ...rest } = task;
  // What the options mean is checked by the verbs, durations among it.
  const options = { ...rest, tenant } as SubmitOptions;
  if (policy === undefined || policy.type === "once") {
    const { id, created } = await weir.submit(actorOf(actor), input, options);
    return { id, tenant, created, kind: "run" };
  }
  const scheduled = {
    ...options,
    policy,
    ...(misfire === undefined ? {} : { misfire }),
    ...(overlap === undefined ? {} : { overlap }),
    ...(grace === undefined ? {} : { grace }),
  } as ScheduleTaskOptions;
  const { id, created } = await weir.schedule(actorOf(actor), input, scheduled);
  return { id, tenant, created, kind: "schedule" };
};

const submitAll = async ({ weir, tenant }: Submission, tasks: Bulk, actorOf: ActorOf) => {
  const requests = tasks.map(({ actor, input, ...options }) => ({
    ...options as SubmitOptions,
    actor: actorOf(actor),
    input,
  }));
  const started = await weir.submitAll(requests, { tenant });
  return started.map(({ id, created }) => ({ id, tenant, created, kind: "run" }));
};

const placeOf = (kind: string, id: string): string =>
  `/api/v1/${kind === "run" ? "runs" : "schedules"}/${encodeURIComponent(id)}`;

export const taskRoutes = (actorOf: ActorOf, base: string): ReadonlyArray<Route> => [
  route({
    method: "POST",
    path: "/api/v1/tasks",
    verb: "tasks.submit",
    access: "submit",
    summary: "Submits a task, to run once or by its policy, or several that run once",
    query: TenantQuery,
    body: TasksRequest,
    answers: {
      200: {
        description: "All were there already",
        schema: Schema.Union([Submitted, SubmittedAll]),
      },
      201: { description: "It is stored", schema: Schema.Union([Submitted, SubmittedAll]) },
    },
    handle: async (call) => {
      const { body } = call;
      if (isSingle(body)) {
        const submitted = await submitOne(call, body, actorOf);
        const location = `${base}${placeOf(submitted.kind, submitted.id)}`;
        return {
          status: submitted.created ? 201 : 200,
          body: submitted,
          headers: { location },
        };
      }
      const tasks = await submitAll(call, body, actorOf);
      return { status: tasks.some(({ created }) => created) ? 201 : 200, body: { tasks } };
    },
  }),
];
