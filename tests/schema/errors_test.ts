import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import * as Schema from "effect/Schema";
import * as access from "../../schema/access_errors.ts";
import * as budget from "../../schema/budget_errors.ts";
import * as errors from "../../schema/errors.ts";
import * as execution from "../../schema/execution_errors.ts";
import * as outbox from "../../schema/outbox_errors.ts";
import * as trigger from "../../schema/trigger_errors.ts";
import * as surface from "../../schema/mod.ts";

const failure = { name: "CardDeclined", message: "no funds" };

/** At least one of each class, and both ends of those whose message depends on a field. */
const samples: ReadonlyArray<
  | access.AccessProblem
  | budget.BudgetProblem
  | errors.WeirError
  | execution.ExecutionProblem
  | outbox.OutboxProblem
  | trigger.TriggerProblem
> = [
  new errors.InvalidInput({ what: "tenant", value: "", rule: "expected a non-empty string" }),
  new errors.StaleFence({ execution: "order/o-1", revision: 7, landed: "no" }),
  new errors.StaleFence({ execution: "order/o-1", revision: 7, landed: "unknown" }),
  new errors.AlreadyExists({ subject: "weir.mail.0.order.acme.o-1", sequence: 7 }),
  new errors.SequenceConflict({ subject: "order/o-1", expected: 3, actual: 4 }),
  new errors.PayloadTooLarge({ sizeBytes: 2_000_000, limitBytes: 1_048_576 }),
  new errors.PayloadTooLarge({ sizeBytes: 2_000_000, limitBytes: 1_044_480, isFixed: true }),
  new errors.InvalidBatch({ size: 0, limit: 1_000 }),
  new errors.InvalidBatch({ size: 1_001, limit: 1_000 }),
  new errors.Unavailable({ operation: "append", reason: "timeout", landed: "no" }),
  new errors.Unavailable({
    operation: "append",
    reason: "timeout",
    landed: "unknown",
    cause: new Error("socket closed"),
  }),
  new errors.NoSpace({ stream: "KV_weir", reason: "insufficient storage" }),
  new errors.ServerRefused({ operation: "append", errorCode: 10_000, description: "no" }),
  new errors.LeaseHeld({ execution: "order/o-1", owner: "w-1", expiresAt: 1_700_000_000_000 }),
  new errors.LeaseNotHeld({ execution: "order/o-1" }),
  new errors.CorruptRecord({ subject: "weir.log.0.order.acme.o-1", sequence: 7, reason: "empty" }),
  new errors.UnknownRecordKind({ kind: "taskMoved", subject: "copies", sequence: 7 }),
  new errors.UnsupportedRecordVersion({ kind: "event", version: 2, supported: 1 }),
  new errors.CursorGap({ requested: "AwE", earliest: "AwI" }),
  new errors.StreamDisconnected({ cursor: "AwE", reason: "the server is gone" }),
  new errors.SubscriptionConflict({
    family: "completions",
    subscription: "billing",
    requested: '{"tenant":"acme"}',
    stored: "{}",
  }),
  new errors.SubscriptionNotFound({ family: "completions", subscription: "billing" }),
  new errors.InvalidCursor({ reason: "foreign", detail: '"1-0" was not issued by Weir' }),
  new errors.InvalidCursor({ reason: "malformed", detail: '"" is empty', of: "list" }),
  new errors.ServerTooOld({ version: "2.10.0", required: "2.14.0", missing: ["schedules"] }),
  new errors.TopologyDrift({
    stream: "KV_weir",
    differences: [{ field: "max_age", expected: "0", actual: "60" }],
  }),
  new errors.NamespaceNotFound({ namespace: "weir" }),
  new errors.CipherMissing({ namespace: "weir", key: "2026-11" }),
  new errors.UnsupportedRecordVersion({
    kind: "start",
    version: 1_000,
    supported: 1,
    key: "2026-11",
  }),
  new errors.ConnectionFailed({ servers: ["nats://127.0.0.1:4222"], reason: "refused" }),
  new errors.ConnectionClosed({ landed: "no" }),
  new errors.ConnectionClosed({ landed: "unknown" }),
  new errors.ServerNotFound({ refusals: [{ source: "PATH", reason: "none" }] }),
  new errors.ServerFailed({ store: "store", reason: "exit code 1", logTail: "[FTL] no" }),
  new errors.ServerFailed({ store: "store", reason: "exit code 1", logTail: "" }),
  new execution.ExecutionNotFound({ execution: "order/o-1" }),
  new execution.ExecutionEnded({
    execution: "order/o-1",
    outcome: "success",
    attempt: 0,
    epoch: 1,
  }),
  new execution.ExecutionNotEnded({ execution: "order/o-1", status: "active" }),
  new execution.ExecutionFailed({ execution: "order/o-1", failure }),
  new execution.ExecutionCancelled({ execution: "order/o-1" }),
  new execution.ExecutionCancelled({ execution: "order/o-1", reason: "too late" }),
  new execution.ExecutionExpired({ execution: "order/o-1", outcome: "expired" }),
  new execution.UnknownActor({ actor: "order" }),
  new execution.DependencyCycle({ executions: ["load/a", "load/b"] }),
  new execution.HierarchyTooDeep({ parent: "load/a", deepest: 8 }),
  new execution.NobodyKeepsQueues({ queue: "cards" }),
  new execution.NobodyKeepsQueues({ queue: "cards", of: "task" }),
  new execution.IntakeClosed({
    execution: "order/o-1",
    state: "draining",
    tenant: "acme",
    lane: "gpu",
    since: 1_767_225_600_000,
    reason: "end of contract",
    by: "ana",
  }),
  new trigger.NobodyKeepsTriggers({ trigger: "on-paid" }),
  new trigger.TriggerNotFound({ trigger: "on-paid" }),
  new execution.ScheduleFailed({ execution: "report/r", created: 5 }),
  new execution.SignalLimitExceeded({ execution: "order/o-1", limit: 10_000 }),
  new execution.RetryLimitExceeded({ execution: "order/o-1", limit: 10 }),
  new execution.NameInUse({ execution: "order/o-1", step: "charge" }),
  new execution.KindMismatch({
    execution: "order/o-1",
    step: "charge",
    recorded: "run",
    requested: "sleep",
  }),
  new execution.StepFailed({ step: "charge", failure }),
  new execution.ChildFailed({ execution: "invoice/i-1", outcome: "cancelled" }),
  new execution.ChildFailed({ execution: "invoice/i-1", outcome: "failure", failure }),
  new execution.Cancelled({ execution: "order/o-1" }),
  new execution.Cancelled({ execution: "order/o-1", reason: "too late" }),
  new execution.NonRetryable({ reason: "the card is stolen" }),
  new execution.OutsideBody({ execution: "Order/o-1", verb: "DurableMailbox.take" }),
  new execution.VersionNotSupported({
    execution: "Order/o-1",
    change: "tax",
    version: 1,
    min: 2,
    max: 3,
  }),
  new execution.OutputClosed({ execution: "order/o-1", output: "tokens", step: "write" }),
  new execution.NotAwaited({ execution: "order/o-1", verb: "run", step: "charge" }),
  new execution.InsideStep({ execution: "order/o-1", verb: "run", step: "charge" }),
  new execution.ContextClosed({ execution: "order/o-1", verb: "run" }),
  new execution.NondeterministicProgram({
    execution: "order/o-1",
    step: "charge",
    first: 'ctx.run "charge"',
    second: 'ctx.run "charge 2"',
  }),
  new access.Forbidden({
    principal: "ana",
    verb: "run.cancel",
    capabilities: ["cancel"],
    tenant: "acme",
  }),
  new access.Forbidden({ principal: "ana", verb: "workers", capabilities: ["read"] }),
  new access.Forbidden({ principal: "ana", verb: "unheard", capabilities: [] }),
  new access.TenantNotFound({ tenant: "acme" }),
  new access.InvalidToken({}),
  new access.NoTokenKeys({}),
  new outbox.DuplicateEvent({ token: "o-1/paid" }),
  new outbox.EventLockLost({ event: "e-1", owner: "w-1", lock: 7 }),
  new outbox.DatabaseRefused({
    operation: "insert",
    sqlState: "42P01",
    description: 'relation "outbox" does not exist',
  }),
  new outbox.PublishFailed({ event: "e-1", eventType: "order.paid", reason: "no answer" }),
  new outbox.PublishRefused({ event: "e-1", eventType: "order.paid", reason: "no such topic" }),
  new execution.BudgetExhausted({
    execution: "order/o-1",
    budget: "task:t-1",
    dimension: "token",
  }),
  new budget.BudgetNotFound({ budget: "task:t-1" }),
  new budget.DimensionNotAllocated({ budgets: ["task:t-1", "tenant"], dimension: "token" }),
  new budget.ZeroLimit({ budget: "task:t-1", dimension: "token" }),
  new budget.TooManyDimensions({ budget: "task:t-1", limit: 32 }),
];

const classes = Object.entries({
  ...access,
  ...budget,
  ...errors,
  ...execution,
  ...outbox,
  ...trigger,
}).filter(
  (
    [, value],
  ) => typeof value === "function" && value.prototype instanceof Error,
);

const catalogue = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8")
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter((cells) => cells[1]?.startsWith("`WEIR_") === true)
  .map(([, code, name, retryable]) =>
    [code?.replaceAll("`", ""), name?.replaceAll("`", ""), retryable] as const
  );

/** Words that a last sentence tells the reader what to do with; `InvalidInput` ends with its rule. */
const instruction = new RegExp(
  "(^|[;:,] |\\band |\\bor )(allocate|ask|check|choose|connect|correct|edit|expected|free|go on|hand|install|" +
    "leave|look|read|repeat|run|split|start|stop|store|try again|upgrade|wait)\\b",
  "i",
);

describe("errors", () => {
  it("all have a sample here", () => {
    assert.deepEqual(
      [...new Set(samples.map(({ _tag }) => _tag))].sort(),
      classes.map(([name]) => name).sort(),
    );
  });

  it("have one code each, formed after the name", () => {
    for (const error of samples) {
      const words = error._tag.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
      assert.equal(error.code, `WEIR_${words}`);
    }
    assert.equal(new Set(samples.map(({ code }) => code)).size, classes.length);
  });

  it("are catalogued in docs/errors.md with code, class and whether a retry can help", () => {
    const listed = samples.map(({ code, _tag, retryable }) =>
      [code, _tag, retryable ? "yes" : "no"] as const
    );
    assert.deepEqual(
      [...catalogue].sort(),
      [...new Map(listed.map((row) => [row[0], row])).values()].sort(),
    );
  });

  it("are exported for users", () => {
    const exported: Readonly<Record<string, unknown>> = surface;
    for (const [name, value] of classes) assert.equal(exported[name], value, name);
  });

  it("say in the end what to do", () => {
    for (const error of samples) {
      const last = error.message.split(/(?<=[.!])\s+|\n/).at(-1) ?? "";
      assert.match(last, instruction, `${error._tag}: ${error.message}`);
      assert.match(last, /\.$/, error._tag);
    }
  });

  it("travel as JSON and come back as the same class with the same message", () => {
    for (const error of samples) {
      const codec = Schema.toCodecJson(error.constructor as unknown as Schema.Codec<Error, object>);
      const wire = JSON.parse(JSON.stringify(Schema.encodeSync(codec)(error)));
      const back = Schema.decodeUnknownSync(codec)(wire);
      assert.ok(back instanceof error.constructor);
      assert.equal(back.message, error.message);
      assert.deepEqual({ ...back }, { ...error });
    }
  });
});
