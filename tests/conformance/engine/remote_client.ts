/** A remote worker as the protocol sees it: what it says, and what it is answered. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type { Tenant } from "../../../schema/ids.ts";
import type { RemoteRefusal, RemoteStep } from "../../../schema/remote_protocol.ts";
import { Log } from "../../../streams/log.ts";
import { remoteSubject, Requests } from "../../../streams/requests.ts";
import { until } from "./stage.ts";

// deno-lint-ignore no-explicit-any -- a worker of any language knows what it was promised
type Answer = any;

/** Says something once; nothing is answered by nobody. */
export const sayOnce = (tenant: Tenant, verb: string, body: string, withinMs = 2_000) =>
  Effect.gen(function* () {
    const { layout } = yield* Log;
    const { ask } = yield* Requests;
    const answer = yield* ask({ subject: remoteSubject(layout, tenant, verb), body }, withinMs);
    return answer === undefined ? undefined : JSON.parse(answer) as Answer;
  });

/** Says something until somebody answers it. */
export const say = (
  tenant: Tenant,
  verb: string,
  body: object,
  withinMs?: number,
): Effect.Effect<Answer, unknown, Log | Requests> =>
  sayOnce(tenant, verb, JSON.stringify(body), withinMs).pipe(
    Effect.repeat({
      until: (answer) =>
        answer !== undefined && (answer.ok === true || answer.error.retryable !== true),
      schedule: Schedule.spaced("200 millis"),
    }),
    Effect.timeout("60 seconds"),
  );

export const refusedAs = (answer: Answer): RemoteRefusal["error"]["code"] | "accepted" =>
  answer.ok ? "accepted" : answer.error.code;

export interface Registration {
  readonly identity: string;
  readonly capabilities: ReadonlyArray<string>;
  readonly department?: string;
  readonly heartbeatMs?: number;
}

/** Registers a worker. */
export const arrive = (tenant: Tenant, registration: Registration) =>
  Effect.map(say(tenant, "register", { heartbeatMs: 60_000, ...registration }), (answer) => {
    assert.ok(answer.ok, JSON.stringify(answer));
    const session: string = answer.session;
    return {
      session,
      say: (verb: string, body: object = {}) => say(tenant, verb, { session, ...body }),
      /** Asks for something to do until there is something. */
      claim: until(
        "something to do",
        Effect.map(
          say(tenant, "claim", { session, waitMs: 1_000 }),
          ({ step }): RemoteStep | undefined => step ?? undefined,
        ),
      ),
      /** Asks for something to do that is not there. */
      claimNothing: Effect.map(say(tenant, "claim", { session }), ({ ok, step }) => {
        assert.deepEqual({ ok, step }, { ok: true, step: null });
      }),
      of: ({ step, fence }: RemoteStep) => ({
        finish: (output?: unknown) => say(tenant, "finish", { session, step, fence, output }),
        say: (verb: string, body: object = {}) =>
          say(tenant, verb, { session, step, fence, ...body }),
      }),
    };
  });
