import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, signal } from "@weir/weir";
import { weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";
import { requests } from "./http/requests.ts";
import { type Client, client, documentOf, type OpenApi, placesOf } from "./http/api.ts";

const go = signal<number>("go");

const order = actor("order", (ctx, cents: number) => ctx.run("charge", () => cents * 2));
const waits = actor("waits", (ctx) => ctx.wait(go));
const asks = actor("asks", async (ctx) => {
  await ctx.emit("token", await ctx.token(go));
  return await ctx.wait(go);
});
const fails = actor("fails", () => Promise.reject(new RangeError("no rows")));

const at = (id: string, more = "") => `/api/v1/runs/${encodeURIComponent(id)}${more}`;

describe("executions over HTTP", () => {
  let weir: MemoryWeir;
  let document: OpenApi;
  let api: Client;
  let ask: Client["ask"];
  before(async () => {
    weir = await inMemory({ tokenKeys: [{ id: "k", secret: "secret".padEnd(32, "0") }] });
    await weir.worker([order, waits, asks, fails]);
    const handler = weirHandler({ weir, open: true, control: true });
    document = await documentOf(handler);
    api = client(handler, document);
    ask = api.ask;
  });
  after(() => weir.close());

  it("says that it is up, and that the log answers", async () => {
    assert.deepEqual((await ask("GET", "/healthz")).body, { status: "ok" });
    assert.deepEqual((await ask("GET", "/ready")).body, { status: "ready" });
  });

  it("takes a task once, and says where it is", async () => {
    const body = {
      actor: "order",
      input: 21,
      id: "o-1",
      retry: { attempts: 2, delay: "1 second" },
      timeout: "5 minutes",
      tags: { "team.name": "checkout" },
      priority: 3,
      description: "the first",
    };
    const first = await ask("POST", "/api/v1/tasks", { body });
    assert.equal(first.status, 201);
    assert.equal(first.headers.get("location"), at("order/o-1"));
    const submitted = { id: "order/o-1", tenant: "default", kind: "run" };
    assert.deepEqual(first.body, { ...submitted, created: true });
    const again = await ask("POST", "/api/v1/tasks", { body });
    assert.deepEqual([again.status, again.body.created], [200, false]);
    await weir.advance("1 second");
    const described = await ask("GET", first.headers.get("location")!);
    assert.equal(described.body.status, "completed");
    const result = await ask("GET", at("order/o-1", "/result"));
    assert.deepEqual([result.status, result.body.outcome], [200, { type: "success", value: 42 }]);
    assert.equal((await ask("GET", "/api/v1/tasks/order%2Fo-1")).body.execution, "order/o-1");
  });

  it("takes tasks that come after each other, all or none", async () => {
    const tasks = [
      { actor: "order", input: 1, id: "b-2", after: ["order/b-1"] },
      { actor: "order", input: 1, id: "b-1" },
    ];
    const taken = await ask("POST", "/api/v1/tasks", { body: tasks });
    assert.equal(taken.status, 201);
    assert.deepEqual(taken.body.tasks.map(({ id }: { readonly id: string }) => id), [
      "order/b-2",
      "order/b-1",
    ]);
    const circle = [{ ...tasks[0], id: "c-1", after: ["order/c-2"] }, {
      ...tasks[0],
      id: "c-2",
      after: ["order/c-1"],
    }];
    const refused = await ask("POST", "/api/v1/tasks", { body: circle });
    assert.deepEqual([refused.status, refused.body.error.code], [422, "WEIR_DEPENDENCY_CYCLE"]);
    assert.deepEqual(refused.body.error.details.executions.length, 2);
    assert.equal((await ask("GET", at("order/c-1"))).status, 404);
    assert.equal((await ask("POST", "/api/v1/tasks", { body: tasks })).status, 200);
  });

  it("lists by status, actor and tag, page by page", async () => {
    for (let i = 0; i < 5; i++) {
      const body = { actor: "order", input: i, tags: { "list.name": i < 3 ? "a" : "b" } };
      await ask("POST", "/api/v1/tasks", { body });
    }
    await weir.advance("1 second");
    const query = "status=completed&actor=order&tag=list.name";
    const first = await ask("GET", `/api/v1/runs?${query}&limit=2`);
    const second = await ask("GET", `/api/v1/runs?${query}&limit=3&from=${first.body.next}`);
    const ids = [...first.body.executions, ...second.body.executions].map((each) => each.execution);
    assert.deepEqual([new Set(ids).size, second.body.next], [5, undefined]);
    const tagged = await ask("GET", "/api/v1/tasks?tag=list.name%3Da");
    assert.equal(tagged.body.executions.length, 3);
    assert.deepEqual((await ask("GET", "/api/v1/runs?tenant=nobody")).body.executions, []);
  });

  it("gives how one has ended, well or not, and says of others that they have not", async () => {
    await ask("POST", "/api/v1/tasks", { body: { actor: "fails", id: "f-1" } });
    await ask("POST", "/api/v1/tasks", { body: { actor: "waits", id: "w-1" } });
    await weir.advance("1 second");
    const failed = await ask("GET", at("fails/f-1", "/result?wait=1"));
    assert.equal(failed.status, 200);
    assert.deepEqual(failed.body.outcome.failure.message, "no rows");
    const waiting = await ask("GET", at("waits/w-1", "/result"));
    assert.deepEqual([waiting.status, waiting.body.reason], [202, "signal"]);
    assert.ok(waiting.headers.has("retry-after"));
    const missing = await ask("GET", at("order/nothing", "/result"));
    assert.deepEqual([missing.status, missing.body.error.code], [404, "WEIR_EXECUTION_NOT_FOUND"]);
  });

  it("sends signals, of which a repeated one is harmless", async () => {
    const headers = { "idempotency-key": "once" };
    const first = await ask("POST", at("waits/w-1", "/signals/go"), { body: 7, headers });
    assert.equal(first.status, 202);
    const again = await ask("POST", at("waits/w-1", "/signals/go"), { body: 8, headers });
    // Either it is known, or the first has ended what it was for.
    if (again.status === 202) assert.equal(again.body.signalId, first.body.signalId);
    await weir.advance("1 second");
    const { body } = await ask("GET", at("waits/w-1", "/result"));
    assert.deepEqual(body.outcome, { type: "success", value: 7 });
    const late = await ask("POST", at("waits/w-1", "/signals/go"), { body: 9 });
    assert.deepEqual([late.status, late.body.error.details.outcome], [409, "success"]);
  });

  it("tells the history page by page", async () => {
    const { body } = await ask("GET", at("waits/w-1", "/history?limit=2"));
    assert.equal(body.entries.length, 2);
    assert.equal(body.entries[0].record.kind, "start");
    let last = body;
    const kinds = last.entries.map((entry: { record: { kind: string } }) => entry.record.kind);
    while (last.next !== undefined) {
      last = (await ask("GET", at("waits/w-1", `/history?limit=2&from=${last.next}`))).body;
      kinds.push(...last.entries.map((entry: { record: { kind: string } }) => entry.record.kind));
    }
    assert.equal(kinds.at(-1), "done");
    let count = 0;
    for await (const _ of weir.get(waits, "w-1").history()) count++;
    assert.equal(kinds.length, count);
  });

  it("cancels, and says of what has ended how", async () => {
    await ask("POST", "/api/v1/tasks", { body: { actor: "waits", id: "w-2" } });
    await weir.advance("1 second");
    const answers: Array<readonly [number, string]> = [];
    for (let i = 0; i < 2; i++) {
      const body = { reason: "out of stock" };
      const { status, body: said } = await ask("POST", at("waits/w-2", "/cancel"), { body });
      answers.push([status, said.status]);
      await weir.advance("1 second");
    }
    const done = await ask("POST", "/api/v1/tasks/order%2Fo-1/cancel");
    answers.push([done.status, done.body.status]);
    assert.deepEqual(answers, [[202, "canceled"], [200, "already_canceled"], [
      200,
      "already_terminal",
    ]]);
    const { body } = await ask("GET", at("waits/w-2", "/result"));
    assert.deepEqual(body.outcome, { type: "cancelled", reason: "out of stock" });
  });

  it("pauses, resumes, retries, and takes from an owner", async () => {
    await ask("POST", "/api/v1/tasks", { body: { actor: "waits", id: "w-3" } });
    await weir.advance("1 second");
    const revoked = await ask("POST", at("waits/w-3", "/revoke-lease"), { body: {} });
    assert.deepEqual([revoked.status, revoked.body.asked], [202, "revoke-lease"]);
    await weir.advance("1 minute");
    assert.equal(
      (await ask("POST", at("waits/w-3", "/pause"), { body: { reason: "audit" } })).status,
      202,
    );
    await weir.advance("1 minute");
    assert.deepEqual((await ask("GET", at("waits/w-3"))).body.paused, { reason: "audit" });
    assert.equal((await ask("POST", at("waits/w-3", "/resume"))).status, 202);
    assert.equal((await ask("POST", at("waits/w-3", "/promote"))).status, 202);
    await weir.advance("1 minute");
    assert.equal((await ask("GET", at("waits/w-3"))).body.paused, undefined);
    const early = await ask("POST", at("waits/w-3", "/retry"));
    assert.deepEqual([early.status, early.body.error.retryable], [409, true]);
    assert.equal(
      (await ask("POST", at("fails/f-1", "/retry"), { body: { from: "start" } })).status,
      202,
    );
    await weir.advance("1 second");
    assert.equal((await ask("GET", at("fails/f-1"))).body.replays, 1);
  });

  it("keeps schedules, and steers them", async () => {
    const policy = { type: "cron", expression: "0 9 * * *", timeZone: "Europe/Berlin" };
    const body = {
      actor: "order",
      input: 1,
      id: "daily",
      policy,
      misfire: "skip",
      overlap: "skip",
      grace: "5 minutes",
    };
    const graces = async () => {
      const found: Array<unknown> = [];
      for await (const { record } of weir.get(order, "daily").history()) {
        if (record.kind === "start") found.push(record.task?.schedule?.graceMs);
        if (record.kind === "signal" && "payload" in record) {
          const { graceMs } = record.payload as { readonly graceMs?: number };
          if (graceMs !== undefined) found.push(graceMs);
        }
      }
      return found;
    };
    const made = await ask("POST", "/api/v1/tasks", { body });
    assert.deepEqual([made.status, made.body.kind], [201, "schedule"]);
    const place = made.headers.get("location")!;
    assert.equal(place, "/api/v1/schedules/order%2Fdaily");
    await weir.advance("1 second");
    const triggered = await ask("POST", `${place}/trigger`, { body: { id: "x" } });
    assert.equal(triggered.body.id, "order/daily~now-x");
    const from = "2026-01-01T00:00:00Z";
    const backfilled = { body: { from, to: "2026-01-03T00:00:00Z" } };
    assert.equal((await ask("POST", `${place}/backfill`, backfilled)).status, 202);
    const early = { body: { from, to: "2999-01-01T00:00:00Z" } };
    assert.equal((await ask("POST", `${place}/backfill`, early)).status, 422);
    await weir.advance("1 minute");
    assert.equal((await ask("GET", `${place}/runs?limit=2`)).body.executions.length, 2);
    assert.equal((await ask("GET", place)).body.schedule.created, 3);
    assert.equal((await ask("POST", `${place}/pause`)).status, 202);
    await weir.advance("1 minute");
    assert.equal((await ask("GET", place)).body.schedule.paused, true);
    const weekly = { ...body, id: "weekly", policy: { ...policy, expression: "0 9 * * mon" } };
    assert.equal((await ask("POST", "/api/v1/tasks", { body: weekly })).status, 201);
    await weir.advance("1 minute");
    const { body: first } = await ask("GET", "/api/v1/schedules?limit=1");
    const { body: second } = await ask("GET", `/api/v1/schedules?limit=1&from=${first.next}`);
    const listed = [...first.executions, ...second.executions];
    assert.deepEqual(
      listed.map(({ execution, status }) => [execution, status]),
      [["order/weekly", "suspended"], ["order/daily", "suspended"]],
    );
    assert.equal(second.next, undefined);
    const nobodys = await ask("GET", "/api/v1/schedules?actor=waits");
    assert.deepEqual([nobodys.status, nobodys.body.executions], [200, []]);
    assert.equal((await ask("GET", "/api/v1/schedules?tag=a.b")).status, 400);
    const repeat = { type: "repeat", count: 2, interval: "1 hour" };
    const every = { body: { policy: repeat, grace: "10 minutes" } };
    assert.equal((await ask("POST", `${place}/change`, every)).status, 202);
    const late = { body: { ...body, id: "late", grace: "1 ms" } };
    assert.equal((await ask("POST", "/api/v1/tasks", late)).status, 422);
    await weir.advance("1 second");
    assert.deepEqual(await graces(), [300_000, 600_000]);
    assert.equal((await ask("POST", `${place}/resume`)).status, 202);
    await weir.advance("1 minute");
    assert.equal((await ask("POST", `${place}/finish`)).status, 202);
    await weir.advance("1 minute");
    assert.equal((await ask("GET", `${at("order/daily")}/result`)).status, 200);
    const other = await ask("POST", "/api/v1/schedules/order%2Fo-1/pause");
    assert.equal(other.status, 404);
    const { body: told } = await ask("POST", at("waits/w-3", "/signals/weir.schedule"), {
      body: {},
    });
    assert.equal(told.error.code, "WEIR_FORBIDDEN");
  });

  it("counts what there is, and who works", async () => {
    const { body } = await ask("GET", "/api/v1/stats");
    assert.ok(body.runs.completed > 5 && body.runs.cancelled === 1);
    assert.ok(body.runs.suspended >= 1, JSON.stringify(body.runs));
    assert.deepEqual(body.capped, []);
    const [worker, ...others] = (await ask("GET", "/api/v1/workers")).body.workers;
    assert.deepEqual([worker.actors, others], [["order", "waits", "asks", "fails"], []]);
  });

  it("tells Prometheus what it knows, each metric once", async () => {
    const { body, headers } = await ask("GET", "/metrics");
    assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
    const types = [...body.matchAll(/^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/gm)]
      .map(([, name]) => name);
    assert.equal(new Set(types).size, types.length);
    assert.match(body, /^actionqueue_runs_ready\{tenant="default"\} 0$/m);
    assert.match(body, /^actionqueue_runs_running \d+$/m);
    assert.match(body, /^weir_workers 1$/m);
    assert.match(body, /^actionqueue_runs_total\{state="completed"\} [1-9]\d*$/m);
    assert.match(body, /^actionqueue_attempts_total\{.*result="success".*\} [1-9]\d*$/m);
    assert.match(body, /^actionqueue_executor_duration_seconds_bucket\{.*le="\+Inf"\} [1-9]\d*$/m);
    assert.match(body, /^actionqueue_scheduling_lag_seconds_count [1-9]\d*$/m);
    assert.match(body, /^actionqueue_wal_append_total \d+$/m);
    assert.match(body, /^actionqueue_wal_append_failures_total \d+$/m);
    assert.match(body, /^# TYPE actionqueue_recovery_time_seconds histogram$/m);
    assert.match(body, /^actionqueue_recovery_events_applied_total [1-9]\d*$/m);
    for (const line of body.trimEnd().split("\n")) {
      assert.match(line, /^(# (HELP|TYPE) .+|[a-zA-Z_:][\w:]*(\{.*\})? [-+.\deInNaf]+)$/);
    }
  });

  it("takes the signal that a token is for, of whoever has it", async () => {
    const run = await weir.start(asks, undefined, { id: "a-1" });
    for await (const { frame } of run.output("token")) {
      const { status } = await ask("POST", `/api/v1/tokens/${frame}`, { body: 7 });
      assert.equal(status, 202);
    }
    assert.equal(await run.result(), 7);
  });

  it("answers HEAD as GET, without the body, and names the request", async () => {
    const headers = { "x-request-id": "abc-1" };
    const head = await ask("HEAD", "/api/v1/runs", { headers });
    assert.deepEqual([head.status, head.body], [200, ""]);
    assert.equal(head.headers.get("x-request-id"), "abc-1");
    const drawn = (await ask("GET", "/nowhere")).headers.get("x-request-id");
    assert.match(drawn!, /^[0-9a-f-]{36}$/);
  });

  it("has nothing that its document has not, and nothing in it that was not served", () => {
    // The others are served in http_namespace_test.ts.
    const elsewhere = requests("acme").map(({ verb }) => verb);
    const streams = ["streams", "openapi", "runs.output", "runs.pending-waitpoints"];
    streams.push("schedules.cancel", ...elsewhere);
    const declared = placesOf(document).map(({ operation }) => operation.operationId);
    assert.equal(new Set(declared).size, declared.length);
    const missing = declared.filter((id) => !api.served.has(id) && !streams.includes(id));
    assert.deepEqual(missing, []);
    assert.equal(document.openapi, "3.1.0");
  });
});

it("takes no tasks but those of the actors that it is given", async () => {
  await using weir = await inMemory();
  await weir.worker([order, waits]);
  const handler = weirHandler({ weir, actors: [order], open: true });
  const { ask } = client(handler, await documentOf(handler));
  const refused = await ask("POST", "/api/v1/tasks", { body: { actor: "waits" } });
  assert.deepEqual([refused.status, refused.body.error.code], [422, "WEIR_UNKNOWN_ACTOR"]);
  assert.equal(
    (await ask("POST", "/api/v1/tasks", { body: { actor: "order", input: 1 } })).status,
    201,
  );
});

it("is served below a base as well", async () => {
  await using weir = await inMemory();
  await weir.worker([order]);
  const handler = weirHandler({ weir, base: "/weir", open: true });
  const status = async (path: string) =>
    (await handler(new Request(`http://weir.test${path}`))).status;
  assert.deepEqual(await Promise.all(["/weir/ready", "/ready", "/weirready"].map(status)), [
    200,
    404,
    404,
  ]);
  const response = await handler(
    new Request("http://weir.test/weir/api/v1/tasks", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ actor: "order", input: 1, id: "o-1" }),
    }),
  );
  assert.equal(response.headers.get("location"), "/weir/api/v1/runs/order%2Fo-1");
});
