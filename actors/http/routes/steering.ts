/**
 * Telling executions something: signals, and what an operator asks for. Each is stored before it is
 * answered; what came of it, the execution itself shows.
 */
import * as Schema from "effect/Schema";
import { ExecutionEnded } from "../../../schema/execution_errors.ts";
import { Json } from "../../../schema/json.ts";
import { scheduleSignal } from "../../../schema/schedule_control.ts";
import type { Run } from "../../run.ts";
import { Asked, Cancelled, Sent } from "../answers.ts";
import { runOf } from "../named.ts";
import { TenantQuery } from "../query.ts";
import { forbidden, invalidRequest } from "../refusal.ts";
import { type Call, type Route, route } from "../route.ts";
import type { SignalOf } from "../signals.ts";

const reason = Schema.optionalKey(
  Schema.String.check(Schema.isMaxLength(2_000)).annotate({
    description: "Why, for who looks later",
  }),
);

const ReasonRequest = Schema.Struct({ reason }).annotate({ identifier: "Reason" });

const CancelRequest = Schema.Struct({
  reason,
  force: Schema.optionalKey(
    Schema.Boolean.annotate({ description: "End it whatever its code does" }),
  ),
}).annotate({ identifier: "CancelRequest" });

const RetryRequest = Schema.Struct({
  from: Schema.optionalKey(Schema.Literals(["failure", "start"])),
}).annotate({ identifier: "RetryRequest" });

type Cancelling = Call<"id", typeof TenantQuery.Type, typeof CancelRequest.Type | undefined>;

const cancel = async (call: Cancelling) => {
  const { tenant, path: { id }, body = {} } = call;
  const answer = (status: number, word: string) => ({ status, body: { id, tenant, status: word } });
  try {
    await runOf(call).cancel(body);
    return answer(202, "canceled");
  } catch (error) {
    if (!(error instanceof ExecutionEnded)) throw error;
    return answer(200, error.outcome === "cancelled" ? "already_canceled" : "already_terminal");
  }
};

const keyHeader = "idempotency-key";

const signal = async (
  call: Call<"id" | "name", typeof TenantQuery.Type, Schema.Json | undefined>,
  signalOf: SignalOf,
) => {
  const { request, caller, tenant, path: { id, name }, body } = call;
  if (name === scheduleSignal) {
    throw forbidden("This signal is the engine's own. Use the routes below /api/v1/schedules.");
  }
  const key = request.headers.get(keyHeader);
  if (key !== null && (key === "" || key.length > 200)) {
    throw invalidRequest(`${keyHeader} has 1 to 200 characters.`);
  }
  const { signalId } = await runOf(call).signal(signalOf(name), body, {
    ...(key === null ? {} : { key }),
    ...(caller.principal === undefined ? {} : { source: caller.principal }),
  });
  return { status: 202, body: { id, tenant, signalId } };
};

/** A request that is passed on as it is. */
const asking = <Body>(
  verb: string,
  summary: string,
  body: Schema.Codec<Body, unknown> | undefined,
  ask: (run: Run, body: Body | undefined) => Promise<void>,
): Route =>
  route({
    method: "POST",
    path: `/api/v1/runs/{id}/${verb}`,
    verb: `runs.${verb}`,
    access: "control",
    summary,
    query: TenantQuery,
    ...(body === undefined ? {} : { body }),
    isBodyOptional: true,
    answers: { 202: { description: "It is asked for", schema: Asked } },
    handle: async (call: Call<"id", unknown, Body | undefined>) => {
      await ask(runOf(call), call.body);
      return { status: 202, body: { id: call.path.id, tenant: call.tenant, asked: verb } };
    },
  });

export const steeringRoutes = (signalOf: SignalOf): ReadonlyArray<Route> => [
  route({
    method: "POST",
    path: "/api/v1/runs/{id}/signals/{name}",
    verb: "runs.signal",
    access: "signal",
    summary: "Sends a signal, whose payload is the body",
    query: TenantQuery,
    headers: { [keyHeader]: "Makes a repeated signal harmless" },
    body: Json.annotate({ identifier: "SignalPayload" }),
    isBodyOptional: true,
    answers: { 202: { description: "It is in the mailbox", schema: Sent } },
    handle: (call) => signal(call, signalOf),
  }),
  ...["runs", "tasks", "schedules"].map((word) =>
    route({
      method: "POST",
      path: `/api/v1/${word as "runs"}/{id}/cancel`,
      verb: `${word}.cancel`,
      access: "control",
      summary: "Asks an execution, or a schedule with its runs, to stop",
      query: TenantQuery,
      body: CancelRequest,
      isBodyOptional: true,
      answers: {
        200: { description: "It has ended already", schema: Cancelled },
        202: { description: "It is asked to stop", schema: Cancelled },
      },
      handle: cancel,
    })
  ),
  asking(
    "pause",
    "Has an execution begin nothing more until it is resumed",
    ReasonRequest,
    (run, body) => run.pause(body),
  ),
  asking("resume", "Has a paused execution go on", undefined, (run) => run.resume()),
  asking(
    "promote",
    "Has an execution that waits for its time, or to be tried again, wait no longer",
    undefined,
    (run) => run.promote(),
  ),
  asking(
    "retry",
    "Runs an execution again that has ended",
    RetryRequest,
    (run, body) => run.retry(body),
  ),
  asking(
    "revoke-lease",
    "Takes an execution from its present owner; another goes on",
    ReasonRequest,
    (run, body) => run.revokeLease(body),
  ),
];
