import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, connect, signal, type Weir } from "@weir/weir";
import { bearer, weirHandler } from "@weir/weir/http";
import { type Client, client, documentOf } from "./http/api.ts";
import { removeStore, scratchStore } from "./scratch_store.ts";

const go = signal<number>("go");
const waits = actor("waits", (ctx) => ctx.wait(go));
const order = actor("order", (ctx, cents: number) => ctx.run("charge", () => cents));

describe("the HTTP door on a server", () => {
  let store: string;
  let weir: Weir;
  let handler: (request: Request) => Promise<Response>;
  let ask: Client["ask"];
  before(async () => {
    store = await scratchStore();
    weir = await connect({ embedded: { store } });
    await weir.worker([waits, order]);
    handler = weirHandler({ weir, open: true, control: true, maxWaits: 2 });
    ({ ask } = client(handler, await documentOf(handler)));
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  const begin = async (id: string) => {
    const { status } = await ask("POST", "/api/v1/tasks", { body: { actor: "waits", id } });
    assert.equal(status, 201);
    return `/api/v1/runs/waits%2F${id}`;
  };

  it("is ready, and counts what the log has taken", async () => {
    assert.equal((await ask("GET", "/ready")).status, 200);
    await begin("counted");
    const { body } = await ask("GET", "/metrics");
    assert.match(body, /^weir_appends\{outcome="stored"\} [1-9]\d*$/m);
    assert.match(body, /^actionqueue_wal_append_total [1-9]\d*$/m);
    assert.match(body, /^actionqueue_wal_append_failures_total \d+$/m);
  });

  it("waits with the client for the end, and no longer than it asked for", async () => {
    const place = await begin("polled");
    const early = await ask("GET", `${place}/result?wait=0.1`);
    assert.equal(early.status, 202);
    const polled = ask("GET", `${place}/result?wait=30`);
    assert.equal((await ask("POST", `${place}/signals/go`, { body: 7 })).status, 202);
    const { status, body } = await polled;
    assert.deepEqual([status, body.outcome], [200, { type: "success", value: 7 }]);
  });

  it("stops waiting when the client goes, and has so much room for those that stay", async () => {
    const place = await begin("left");
    const gone = new AbortController();
    // One that is refused, since a short wait of ours took its place, asks again.
    const poll = async (): ReturnType<Client["ask"]> => {
      const answer = await ask("GET", `${place}/result?wait=30`, { signal: gone.signal });
      return answer.status === 429 ? poll() : answer;
    };
    const polls = [poll(), poll()];
    let refused = await ask("GET", `${place}/result?wait=0.1`);
    for (const deadline = performance.now() + 60_000; refused.status !== 429;) {
      assert.ok(performance.now() < deadline, "both wait");
      refused = await ask("GET", `${place}/result?wait=0.1`);
    }
    assert.deepEqual([refused.body.error.code, refused.headers.get("retry-after")], [
      "WEIR_TOO_MANY_WAITS",
      "1",
    ]);
    gone.abort();
    assert.deepEqual((await Promise.all(polls)).map(({ status }) => status), [202, 202]);
    assert.equal((await ask("GET", `${place}/result?wait=0.1`)).status, 202);
  });

  it("serves the families of the tenant of who asks", async () => {
    const token = "shop-shop-shop-shop";
    const guarded = weirHandler({
      weir,
      authorize: bearer([{ token, principal: "shop", tenant: "acme" }]),
      heartbeatMs: 100,
    });
    await (await weir.start(order, 1, { id: "o-1" })).result();
    await (await weir.start(order, 1, { id: "o-2", tenant: "acme" })).result();
    const url = "http://weir.test/v1/streams/completions?cursor=earliest";
    assert.equal((await guarded(new Request(url))).status, 401);
    const headers = { authorization: `Bearer ${token}`, "x-request-id": "s-1" };
    const response = await guarded(new Request(url, { headers }));
    assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
    assert.equal(response.headers.get("x-request-id"), "s-1");
    let text = "";
    const decoder = new TextDecoder();
    const reader = response.body!.getReader();
    // The sign of life behind an event says that there is no other.
    while (!/"executionId"[^]*: still here/.test(text)) {
      const { value, done } = await reader.read();
      assert.ok(!done, "the stream goes on");
      text += decoder.decode(value, { stream: true });
    }
    await reader.cancel();
    const seen = [...text.matchAll(/"executionId":"([^"]+)"/g)].map(([, id]) => id);
    assert.deepEqual(seen, ["order/o-2"]);
    const refused = await guarded(new Request(`${url}&tenant=rival`, { headers }));
    assert.equal(refused.status, 403);
    const broken = await guarded(
      new Request("http://weir.test/v1/streams/completions?cursor=AAAA", { headers }),
    );
    const { error } = await broken.json() as { error: { code: string } };
    assert.deepEqual([broken.status, error.code], [400, "WEIR_INVALID_CURSOR"]);
  });

  it("is up, and not ready, when the log is gone", async () => {
    const other = await connect({ embedded: { store } });
    const served = weirHandler({ weir: other, open: true });
    const status = async (path: string) =>
      (await served(new Request(`http://weir.test${path}`))).status;
    assert.equal(await status("/ready"), 200);
    await other.close();
    assert.deepEqual([await status("/healthz"), await status("/ready")], [200, 503]);
  });

  it("tells what this process has counted when the log is gone or silent", async () => {
    const other = await connect({ embedded: { store } });
    const never = () => new Promise<never>(() => {});
    const silent = { ...other, workers: never, list: never };
    await other.close();
    for (const weir of [other, silent]) {
      const served = weirHandler({ weir, open: true });
      const response = await served(new Request("http://weir.test/metrics"));
      const text = await response.text();
      assert.equal(response.status, 200, text);
      assert.match(text, /^weir_appends\{outcome="stored"\} [1-9]\d*$/m);
      assert.doesNotMatch(text, /weir_workers|actionqueue_runs_ready|actionqueue_runs_running/);
    }
  });
});
