import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { problemOf } from "../../../actors/http/problem.ts";
import * as Errors from "../../../schema/errors.ts";
import * as Executions from "../../../schema/execution_errors.ts";
import { NobodyKeepsTriggers, TriggerNotFound } from "../../../schema/trigger_errors.ts";

const secret = "hunter2";

describe("what a client is told of an error", () => {
  it("is whether it may have been stored, and nothing of where the server runs", () => {
    const problems = [
      new Errors.Unavailable({ operation: "append", reason: secret, landed: "unknown" }),
      new Errors.ConnectionFailed({ servers: [`nats://weir:${secret}@host`], reason: "refused" }),
      new Errors.ServerFailed({ store: "/srv", reason: "died", logTail: secret }),
      new Errors.ServerRefused({ operation: "append", errorCode: 1, description: secret }),
      new Errors.CorruptRecord({ subject: secret, sequence: 1, reason: "torn" }),
      new Error(secret),
      secret,
      { message: secret, _tag: "InvalidInput", code: "X", retryable: true },
    ].map(problemOf);
    assert.deepEqual(problems.map(({ status }) => status), [
      503,
      503,
      503,
      502,
      500,
      500,
      500,
      500,
    ]);
    assert.ok(problems.every(({ isOurs }) => isOurs));
    assert.ok(!JSON.stringify(problems).includes(secret));
    assert.deepEqual(problems[0]!.body.error.details, { landed: "unknown" });
    assert.deepEqual(problems[0]!.headers, { "retry-after": "1" });
  });

  it("is its code, its message and what it is about, where that is the client's matter", () => {
    const { status, body } = problemOf(
      new Executions.ExecutionEnded({
        execution: "order/o-1",
        outcome: "success",
        attempt: 1,
        epoch: 2,
      }),
    );
    assert.equal(status, 409);
    const { message, ...error } = body.error;
    assert.match(message, /order\/o-1 has ended/);
    assert.deepEqual(error, {
      code: "WEIR_EXECUTION_ENDED",
      retryable: false,
      details: { execution: "order/o-1", outcome: "success", attempt: 1, epoch: 2 },
    });
  });

  it("has a status for what is full, refused, or of another layer", () => {
    const full = new Errors.NoSpace({ stream: "KV_weir", reason: "insufficient storage" });
    assert.equal(problemOf(full).status, 507);
    const coded = (tag: string, retryable: boolean) =>
      Object.assign(new Error(secret), { _tag: tag, code: "WEIR_X", retryable });
    const statuses = [
      coded("Forbidden", false),
      coded("TenantNotFound", false),
      coded("Novel", true),
      coded("Novel", false),
      coded("constructor", false),
    ].map((error) => problemOf(error).status);
    assert.deepEqual(statuses, [403, 404, 503, 500, 500]);
    const unkept = new NobodyKeepsTriggers({ trigger: "t" });
    assert.equal(problemOf(new TriggerNotFound({ trigger: "t" })).status, 404);
    assert.equal(problemOf(unkept).status, 422);
    assert.equal(problemOf(unkept).body.error.message, unkept.message);
  });
});
