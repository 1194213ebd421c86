import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Schema from "effect/Schema";
import { actor, signal } from "@weir/weir";
import { bearer, weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";
import { type Client, client, documentOf } from "./http/api.ts";
import { type Asking, requests } from "./http/requests.ts";

const go = signal<number>("go");
const order = actor("order", async (ctx) => {
  for (const word of ["a", "b", "c"]) await ctx.emit("words", word);
});
const waits = actor("waits", (ctx) => ctx.wait(go));
const tenant = "acme";
type Handler = ReturnType<typeof weirHandler>;

/** A namespace that has what the requests suppose. */
const furnished = async (): Promise<MemoryWeir> => {
  const weir = await inMemory();
  await weir.worker([order, waits], { queues: true });
  await weir.tenants.create(tenant, { name: "Acme Ltd" });
  const run = await weir.start(order, undefined, { id: "done", tenant });
  await run.result();
  for await (const event of weir.completions({ tenant, after: "earliest", durable: "billing" })) {
    if ("executionId" in event) break;
  }
  return weir;
};

describe("a namespace over HTTP", () => {
  let weir: MemoryWeir;
  let ask: Client["ask"];
  let handler: Handler;
  before(async () => {
    weir = await furnished();
    handler = weirHandler({ weir, open: true, control: true });
    ask = client(handler, await documentOf(handler)).ask;
  });
  after(() => weir.close());

  const post = (path: string, body?: unknown) => ask("POST", path, { body });

  it("pauses a tenant, and says so of what waits", async () => {
    const paused = await post("/api/v1/engine/pause?tenant=acme", { reason: "audit" });
    assert.deepEqual(
      [paused.status, paused.body.state, paused.body.tenant, paused.body.changed],
      [200, "paused", "acme", true],
    );
    const run = await weir.start(waits, undefined, { id: "kept", tenant });
    await weir.advance("1 second");
    const { body } = await ask("GET", `/api/v1/runs/${encodeURIComponent(run.id)}?tenant=acme`);
    assert.deepEqual([body.reason, body.heldBy.reason], ["paused", "audit"]);
    assert.equal((await ask("GET", "/api/v1/engine?tenant=rival")).body.scopes.length, 0);
    const { scopes } = (await ask("GET", "/api/v1/engine?allTenants=true")).body;
    assert.deepEqual(scopes.map(({ tenant }: { tenant: string }) => tenant), ["acme"]);
    const both = await ask("GET", "/api/v1/engine?allTenants=true&tenant=acme");
    assert.equal(both.status, 400);
    assert.equal((await post("/api/v1/engine/resume?tenant=acme")).body.state, "open");
    await weir.advance("1 second");
    const waiting = await ask("GET", "/api/v1/runs/waits%2Fkept/pending-waitpoints?tenant=acme");
    assert.deepEqual(
      waiting.body.waitingFor.map(({ signal }: { signal: string }) => signal),
      ["go"],
    );
    const { events } = (await ask("GET", "/api/v1/engine/history?tenant=acme")).body;
    assert.deepEqual(events.map(({ kind }: { kind: string }) => kind), [
      "enginePaused",
      "engineResumed",
    ]);
  });

  it("refuses a start where it drains, with who closed what and since when", async () => {
    await post("/api/v1/engine/drain?tenant=acme", { lane: "gpu", reason: "new drivers" });
    const task = { actor: "waits", id: "late", lane: "gpu" };
    const refused = await post("/api/v1/tasks?tenant=acme", task);
    assert.equal(refused.status, 409);
    const { code, retryable, details, message } = refused.body.error;
    assert.deepEqual([code, retryable], ["WEIR_INTAKE_CLOSED", true]);
    assert.deepEqual([details.state, details.tenant, details.lane], ["draining", "acme", "gpu"]);
    assert.match(message, /new drivers/);
    await post("/api/v1/engine/resume?tenant=acme", { lane: "gpu" });
    assert.equal((await post("/api/v1/tasks?tenant=acme", task)).status, 201);
  });

  it("counts a budget, and refuses what is beyond it", async () => {
    const budget = "/api/v1/budgets/team?tenant=acme";
    const asked = (verb: string) => `/api/v1/budgets/team/${verb}?tenant=acme`;
    assert.equal((await ask("GET", budget)).status, 404);
    assert.equal((await post(asked("allocate"), { limits: { token: 5 } })).body.outcome, "ok");
    const consume = (token: number) => post(asked("consume"), { amounts: { token } });
    assert.equal((await consume(4)).status, 200);
    assert.notEqual((await consume(4)).body.outcome, "ok");
    assert.equal((await ask("GET", budget)).body.dimensions.token.used, 4);
    assert.equal((await post(asked("consume"), { amounts: { other: 1 } })).status, 422);
    assert.equal((await post(asked("allocate"), { limits: { token: 0 } })).status, 422);
    assert.equal((await post(asked("allocate"), { limits: { token: -1 } })).status, 422);
    assert.equal((await ask("DELETE", budget)).body.deleted, true);
    assert.equal((await ask("DELETE", budget)).body.deleted, false);
  });

  it("configures queues, and shows them", async () => {
    const changed = await post("/api/v1/queues/cards/configure", { concurrency: 3 });
    assert.equal(changed.body.limits.concurrency, 3);
    assert.equal((await post("/api/v1/queues/cards/pause")).body.limits.paused, true);
    await weir.advance("1 second");
    assert.equal((await ask("GET", "/api/v1/queues/cards")).body.limits.paused, true);
    const wrong = await post("/api/v1/queues/cards/configure", { concurrency: 0 });
    assert.equal(wrong.status, 422);
    await post("/api/v1/queues/cards/resume");
  });

  it("takes tasks that wait for their turn in a queue", async () => {
    const queues = ["cards", { name: "cards", key: "k", hold: "per-attempt" }];
    for (const [i, queue] of queues.entries()) {
      const task = { actor: "waits", id: `queued-${i}`, queue };
      assert.equal((await post("/api/v1/tasks", task)).status, 201);
      await weir.advance("1 second");
      const { body } = await ask("GET", `/api/v1/runs/waits%2Fqueued-${i}`);
      assert.equal(body.queue, "cards");
    }
    const all = [{ actor: "waits", id: "queued-2", queue: "cards" }];
    assert.equal((await post("/api/v1/tasks", all)).status, 201);
    await weir.advance("1 second");
    assert.equal((await weir.queues.describe("cards")).running, 3);
    for (const queue of [5, { key: "k" }, { name: "cards", until: "noon" }, "no such queue"]) {
      const refused = await post("/api/v1/tasks", { actor: "waits", id: "none", queue });
      assert.deepEqual([refused.status, refused.body.error.code], [422, "WEIR_INVALID_INPUT"]);
    }
  });

  it("streams the frames of an output to their end, from anywhere", async () => {
    const place = "http://weir.test/api/v1/runs/order%2Fdone/outputs/words?tenant=acme";
    const read = async (url: string, headers = {}) => {
      const response = await handler(new Request(url, { headers }));
      assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
      const text = await response.text();
      const data = (of: string) =>
        [...text.matchAll(new RegExp(`event: ${of}\ndata: (.*)`, "g"))].map(([, json]) =>
          JSON.parse(json!)
        );
      const ids = [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id!);
      return { frames: data("frame"), ends: data("end"), errors: data("error"), ids };
    };
    const all = await read(place);
    assert.deepEqual(all.frames.map(({ frame }) => frame), ["a", "b", "c"]);
    assert.equal(all.ends.length, 1);
    const rest = await read(place, { "last-event-id": all.ids[0]! });
    assert.deepEqual(rest.frames.map(({ frame }) => frame), ["b", "c"]);
    const [error] = (await read(`${place}&cursor=nonsense`)).errors;
    assert.equal(error.code, "WEIR_INVALID_CURSOR");
    const missing = await handler(
      new Request("http://weir.test/api/v1/runs/order%2Fnobody/outputs/words"),
    );
    assert.equal(missing.status, 404);
  });

  it("ends the stream of an output with its request", async () => {
    const gone = new AbortController();
    const response = await handler(
      new Request("http://weir.test/api/v1/runs/waits%2Fkept/outputs/words?tenant=acme", {
        signal: gone.signal,
      }),
    );
    const reader = response.body!.getReader();
    assert.match(new TextDecoder().decode((await reader.read()).value), /still here/);
    const rest = reader.read();
    gone.abort();
    assert.ok((await rest).done);
  });

  it("cancels a schedule as any execution", async () => {
    const policy = { type: "repeat", count: 9, interval: "1 day" };
    await post("/api/v1/tasks?tenant=acme", { actor: "order", id: "daily", policy });
    const place = "/api/v1/schedules/order%2Fdaily/cancel?tenant=acme";
    assert.deepEqual((await post(place)).body.status, "canceled");
    await weir.advance("1 second");
    assert.deepEqual((await post(place)).body.status, "already_canceled");
    const done = await post("/api/v1/runs/order%2Fdone/cancel?tenant=acme");
    assert.equal(done.body.status, "already_terminal");
  });

  it("creates no trigger that submits with what no task of a trigger has", async () => {
    const options = { deadline: "1 hour", nonsense: 1, signals: [] };
    for (const bad of [options, { after: "order/done" }, { lane: "no such lane" }]) {
      const { status, body } = await post("/api/v1/triggers?tenant=acme", {
        when: { event: "paid" },
        then: { submit: "order", options: bad },
        standing: true,
        unserved: true,
      });
      assert.deepEqual([status, body.error?.code], [422, "WEIR_INVALID_INPUT"]);
    }
    assert.deepEqual((await ask("GET", "/api/v1/triggers?tenant=acme")).body.triggers, []);
  });

  it("pages a ledger", async () => {
    const ledger = "/api/v2/ledgers/log?tenant=acme";
    for (let n = 0; n < 3; n++) {
      const entry = { kind: "audit", payload: { n }, id: `e-${n}` };
      assert.equal((await post(ledger, entry)).status, 201);
      assert.equal((await post(ledger, entry)).status, 200);
    }
    const first = (await ask("GET", `${ledger}&limit=2`)).body;
    assert.deepEqual(first.entries.map(({ id }: { id: string }) => id), ["e-0", "e-1"]);
    const second = (await ask("GET", `${ledger}&limit=2&from=${first.next}`)).body;
    assert.deepEqual(second.entries.map(({ id }: { id: string }) => id), ["e-2"]);
    assert.equal(second.next, undefined);
  });
});

describe("grants over HTTP", () => {
  let weir: MemoryWeir;
  const held = [
    ["nobody", [], false],
    ["reader", ["read"], false],
    ["operator", ["submit", "execute", "cancel", "read"], false],
    ["canceller", ["cancel"], false],
    ["admin", ["administer", "read"], false],
    ["reader-of-all", ["read"], true],
    ["operator-of-all", ["submit", "execute", "cancel", "read"], true],
    ["admin-of-all", ["administer"], true],
  ] as const;
  const token = (principal: string) => `${principal}-${principal}-token`;
  let handler: Handler;
  before(async () => {
    weir = await furnished();
    for (const [principal, capabilities, everywhere] of held) {
      const where = everywhere ? { allTenants: true } : { tenant };
      for (const each of capabilities) await weir.grants.grant(principal, each, where);
    }
    handler = weirHandler({
      weir,
      control: true,
      grants: true,
      authorize: bearer(held.map(([principal]) => ({ token: token(principal), principal }))),
    });
  });
  after(() => weir.close());

  const ask = (principal: string, { method, path, body }: Asking) =>
    handler(
      new Request(`http://weir.test${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token(principal)}`,
          "content-type": "application/json",
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );

  for (const [principal, capabilities, everywhere] of held) {
    it(`lets ${principal} do what was granted to it, and nothing else`, async () => {
      for (const asked of requests(tenant)) {
        const isGranted = (asked.everywhere !== true || everywhere) &&
          asked.needs.some((need) => (capabilities as ReadonlyArray<string>).includes(need));
        const response = await ask(principal, asked);
        const what = `${asked.method} ${asked.path} answered ${response.status}`;
        const text = await response.text();
        if (isGranted) assert.notEqual(response.status, 403, what);
        else if (response.ok) {
          assert.ok(asked.hidden !== undefined, what);
          assert.deepEqual(JSON.parse(text), asked.hidden);
        } else assert.ok([403, 404].includes(response.status), what);
      }
    });
  }

  it("holds for executions as it does for the rest", async () => {
    const place = "/api/v1/runs/order%2Fdone";
    const status = async (principal: string, method: "GET" | "POST", path: string, body?: object) =>
      (await ask(principal, {
        verb: "",
        needs: [],
        method,
        path: `${path}?tenant=acme`,
        ...(body === undefined ? {} : { body }),
      })).status;
    assert.equal(await status("nobody", "GET", place), 404);
    assert.equal(await status("canceller", "GET", place), 403);
    assert.equal(await status("reader", "GET", place), 200);
    assert.equal(await status("reader", "POST", `${place}/cancel`), 403);
    assert.equal(await status("canceller", "POST", `${place}/cancel`), 200);
    const task = { actor: "order", id: "new" };
    assert.equal(await status("reader", "POST", "/api/v1/tasks", task), 403);
    assert.equal(await status("operator", "POST", "/api/v1/tasks", task), 201);
    const policy = { type: "repeat", count: 9, interval: "1 day" };
    const daily = { actor: "order", id: "daily", policy };
    assert.equal(await status("operator", "POST", "/api/v1/tasks", daily), 201);
    const schedule = "/api/v1/schedules/order%2Fdaily";
    assert.equal(await status("reader", "POST", `${schedule}/pause`), 403);
    assert.equal(await status("canceller", "POST", `${schedule}/pause`), 202);
    assert.equal(
      await status("operator", "POST", `${place.replace("runs", "schedules")}/pause`),
      404,
    );
  });

  it("holds a signal to what its definition says, where that is known, however it is sent", async () => {
    const approve = signal("approve", Schema.Struct({ note: Schema.String }), { needs: "approve" });
    for (const each of ["submit", "approve"]) {
      await weir.grants.grant("head-gatekeeper", each, { tenant });
    }
    await weir.grants.grant("gatekeeper", "approve", { tenant });
    const tokens = ["operator", "gatekeeper", "head-gatekeeper"].map((principal) => ({
      token: token(principal),
      principal,
    }));
    const options = { weir, control: true, grants: true, authorize: bearer(tokens) };
    const run = await weir.start(waits, undefined, { id: "approved", tenant });
    const send = async (handler: Handler, principal: string, path: string, body: unknown) => {
      const response = await handler(
        new Request(`http://weir.test${path}?tenant=${tenant}`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${token(principal)}`,
            "content-type": "application/json",
          },
          body: JSON.stringify(body),
        }),
      );
      await response.body?.cancel();
      return response.status;
    };
    const place = "/api/v1/runs/waits%2Fapproved/signals";
    const then = (name: string, payload: unknown) => ({
      when: { event: "e" },
      then: { signal: "waits/approved", name, payload },
      unserved: true,
    });
    const both = async (handler: Handler, principal: string, name: string, payload: unknown) => [
      await send(handler, principal, `${place}/${name}`, payload),
      await send(handler, principal, "/api/v1/triggers", then(name, payload)),
    ];
    const note = { note: "fine" };
    const knows = weirHandler({ ...options, signals: [approve] });
    assert.deepEqual(await both(knows, "operator", "approve", note), [403, 403]);
    assert.deepEqual(await both(knows, "gatekeeper", "approve", note), [202, 403]);
    assert.deepEqual(await both(knows, "head-gatekeeper", "approve", { note: 1 }), [422, 422]);
    assert.deepEqual(await both(knows, "head-gatekeeper", "approve", note), [202, 201]);
    assert.deepEqual(await both(knows, "operator", "other", 1), [202, 201]);
    assert.deepEqual(await both(knows, "gatekeeper", "other", 1), [403, 403]);
    await weir.advance("1 second");
    const sent = (await run.describe()).buffered.map(({ name }) => name);
    assert.deepEqual(sent, ["approve", "approve", "other"]);
    // A name that nobody told of needs what any signal needs.
    assert.deepEqual(await both(weirHandler(options), "operator", "approve", 1), [202, 201]);
    assert.throws(() => weirHandler({ ...options, signals: [approve, signal("approve")] }), {
      code: "WEIR_INVALID_INPUT",
    });
  });

  it("refuses a caller without a principal, and a connection that acts for nobody", async () => {
    const open = weirHandler({ weir, open: true, grants: true });
    const response = await open(new Request("http://weir.test/api/v1/runs"));
    assert.equal(response.status, 403);
    const { as: _, ...bound } = weir;
    assert.throws(() => weirHandler({ weir: bound, grants: true }));
    assert.throws(() => weirHandler({ weir, grants: true, weirFor: () => weir }));
  });

  it("serves each of its requests to who may do everything", async () => {
    const all = weirHandler({ weir: await furnished(), open: true, control: true });
    const api = client(all, await documentOf(all));
    for (const { method, path, body, verb } of requests(tenant)) {
      const { status, body: answer } = await api.ask(method, path, { body });
      assert.ok(status < 300, `${verb}: ${status} ${JSON.stringify(answer)}`);
    }
  });
});
