import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import {
  actor,
  connect,
  CorruptRecord,
  InvalidCursor,
  StreamDisconnected,
  Unavailable,
  type Weir,
} from "@weir/weir";
import { type EventSources, eventStreams, nodeListener, type Verdict } from "@weir/weir/http";
import { removeStore, scratchStore } from "./scratch_store.ts";

const order = actor("order", (_, n: number) => n);

interface Message {
  readonly id?: string;
  readonly event?: string;
  readonly data?: string;
}

/** What a refusal says. */
interface Problem {
  readonly code: string;
  readonly requested?: string;
  readonly earliest?: string;
}

/** The messages of a stream, as a browser takes it apart. */
async function* messagesOf(response: Response): AsyncGenerator<Message> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      yield Object.fromEntries(
        block.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
          const at = line.indexOf(": ");
          return [line.slice(0, at), line.slice(at + 2)];
        }),
      );
    }
  }
}

/** The ids of the executions in the next so many events. */
const take = async (messages: AsyncGenerator<Message>, count: number) => {
  const taken: Array<{ readonly id: string; readonly execution: string; readonly event: string }> =
    [];
  while (taken.length < count) {
    const { value, done } = await messages.next();
    assert.ok(done !== true, "the stream goes on");
    if (value.data === undefined) continue;
    const data = JSON.parse(value.data);
    assert.equal(data.cursor, value.id);
    taken.push({ id: value.id!, execution: data.executionId, event: value.event! });
  }
  return taken;
};

const until = async (what: string, isSo: () => boolean): Promise<void> => {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

describe("the live bridge", () => {
  let store: string;
  let weir: Weir;
  let handler: (request: Request) => Promise<Response>;
  before(async () => {
    store = await scratchStore();
    weir = await connect({ tenant: "acme", embedded: { store } });
    await weir.worker([order]);
    handler = eventStreams({ weir, heartbeatMs: 200 });
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  const open = new Set<AbortController>();
  const get = (path: string, init: RequestInit = {}) => {
    const controller = new AbortController();
    open.add(controller);
    const url = `http://weir.test/v1/streams/${path}`;
    return handler(new Request(url, { ...init, signal: controller.signal }));
  };
  after(() => open.forEach((controller) => controller.abort()));

  const complete = async (tenant: string, count: number) => {
    const ids: Array<string> = [];
    for (let i = 0; i < count; i++) {
      const run = await weir.start(order, i, { tenant });
      await run.result();
      ids.push(run.id);
    }
    return ids;
  };

  it("serves a family with cursor, type and event, and goes on behind the last one seen", async () => {
    const tenant = randomUUID();
    const ids = await complete(tenant, 3);
    const first = await get(`completions?cursor=earliest&tenant=${tenant}`);
    assert.equal(first.status, 200);
    assert.equal(first.headers.get("content-type"), "text/event-stream; charset=utf-8");
    const messages = messagesOf(first);
    const seen = await take(messages, 2);
    assert.deepEqual(seen.map(({ execution }) => execution), ids.slice(0, 2));
    assert.deepEqual(seen.map(({ event }) => event), ["success", "success"]);
    await messages.return(undefined);
    ids.push(...await complete(tenant, 1));
    const headers = { "last-event-id": seen[1]!.id };
    const second = await get(`completions?cursor=earliest&tenant=${tenant}`, { headers });
    const rest = await take(messagesOf(second), 2);
    assert.deepEqual(rest.map(({ execution }) => execution), ids.slice(2));
  });

  it("serves what comes, and moves the place of a client who is told nothing", async () => {
    const tenant = randomUUID();
    const messages = messagesOf(await get(`leaseHistory?tenant=${tenant}`));
    const { value } = await messages.next();
    assert.deepEqual(Object.keys(value!), ["id"]);
    // Somebody else's, which the place has to pass.
    await complete(randomUUID(), 1);
    let tick: Message = value!;
    while (tick.id === value!.id) {
      const next = await messages.next();
      assert.ok(next.done !== true);
      tick = next.value;
      assert.deepEqual(Object.keys(tick), ["id"]);
    }
    const [id] = await complete(tenant, 1);
    const [acquired] = await take(messages, 1);
    assert.deepEqual([acquired!.event, acquired!.execution], ["acquired", id]);
    await messages.return(undefined);
  });

  it("serves one execution, or those with a tag", async () => {
    const tenant = randomUUID();
    const [plain] = await complete(tenant, 1);
    const run = await weir.start(order, 0, { tenant, tags: { "team.name": "checkout" } });
    await run.result();
    const query = `completions?cursor=earliest&tenant=${tenant}`;
    for (const tag of ["team.name", "team.name=checkout"]) {
      const tagged = messagesOf(await get(`${query}&tag=${encodeURIComponent(tag)}`));
      const [event] = await take(tagged, 1);
      assert.notEqual(event!.execution, plain);
      await tagged.return(undefined);
    }
    const one = messagesOf(await get(`${query}&executionId=${encodeURIComponent(plain!)}`));
    assert.equal((await take(one, 1))[0]!.execution, plain);
    await one.return(undefined);
  });

  it("refuses with a status and a reason before it begins", async () => {
    const problem = async (response: Response) => {
      assert.equal(response.headers.get("content-type"), "application/json");
      return [response.status, (await response.json() as Problem).code];
    };
    assert.deepEqual(await problem(await get("nonsense")), [404, "WEIR_NOT_FOUND"]);
    assert.deepEqual(
      await problem(await handler(new Request("http://weir.test/other"))),
      [404, "WEIR_NOT_FOUND"],
    );
    const post = await get("completions", { method: "POST" });
    assert.equal(post.headers.get("allow"), "GET");
    assert.deepEqual(await problem(post), [405, "WEIR_METHOD_NOT_ALLOWED"]);
    for (const method of ["HEAD", "OPTIONS", "PUT", "DELETE"]) {
      assert.equal((await get("completions", { method })).status, 405);
    }
    assert.deepEqual(await problem(await get("completions?cursor=AAAA")), [
      400,
      "WEIR_INVALID_CURSOR",
    ]);
    assert.deepEqual(await problem(await get(`completions?tenant=${"x".repeat(65)}`)), [
      400,
      "WEIR_INVALID_INPUT",
    ]);
  });

  it("says where to go on where events were removed", async () => {
    const tenant = randomUUID();
    const brief = actor("brief", { keep: "1 millis" }, (_, n: number) => n);
    await using worker = await weir.worker([brief]);
    const cursorOf = async (query: string) => {
      const messages = messagesOf(await get(query));
      const { value } = await messages.next();
      await messages.return(undefined);
      return value!.id!;
    };
    const behind = await cursorOf(`completions?tenant=${tenant}`);
    await (await weir.start(brief, 1, { tenant })).result();
    let gone: Response | undefined;
    for (const deadline = performance.now() + 60_000; gone === undefined;) {
      assert.ok(performance.now() < deadline, "the janitor removes the execution");
      const response = await get(`completions?tenant=${tenant}&cursor=${behind}`);
      if (response.status === 410) gone = response;
      else await response.body?.cancel();
    }
    const problem = await gone.json() as Problem;
    assert.deepEqual([problem.code, problem.requested], ["WEIR_CURSOR_GAP", behind]);
    const again = await get(`completions?tenant=${tenant}&cursor=${problem.earliest}`);
    assert.equal(again.status, 200);
    await again.body?.cancel();
    assert.ok(worker.identity);
  });

  it("asks who may see what", async () => {
    const asked: Array<unknown> = [];
    const guarded = eventStreams({
      weir,
      path: "/events",
      authorize: (request, what) => {
        asked.push(what);
        const token = request.headers.get("authorization");
        if (token === null) return "unauthenticated";
        return token === what.tenant ? "allowed" : "forbidden";
      },
    });
    const ask = async (headers: Record<string, string>) => {
      const url = "http://weir.test/events/instanceTags?tenant=acme&tag=a%3Db";
      const response = await guarded(new Request(url, { headers }));
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await ask({}), 401);
    assert.equal(await ask({ authorization: "rival" }), 403);
    assert.equal(await ask({ authorization: "acme" }), 200);
    const tag = { name: "a", value: "b" };
    assert.deepEqual(asked[0], { family: "instanceTags", tenant: "acme", tag });
  });

  it("reads nothing for whom nobody allowed to, and says nothing of why the question failed", async () => {
    let reads = 0;
    const source: EventSources["completions"] = (options) => {
      reads++;
      return weir.completions(options);
    };
    const guarded = (verdict: () => Verdict | Promise<Verdict>) =>
      eventStreams({
        weir: { completions: source } as unknown as EventSources,
        authorize: verdict,
      })(new Request("http://weir.test/v1/streams/completions"));
    const refusals: ReadonlyArray<() => Verdict | Promise<Verdict>> = [
      () => "forbidden",
      () => "unauthenticated",
      // What a hook without types may say.
      () => true as unknown as Verdict,
      () => undefined as unknown as Verdict,
      () => {
        throw new Error("a secret");
      },
      () => Promise.reject(new Error("a secret")),
    ];
    const statuses: Array<number> = [];
    for (const refusal of refusals) {
      const response = await guarded(refusal);
      statuses.push(response.status);
      if (response.status === 200) await response.body?.cancel();
      else assert.ok(!(await response.text()).includes("secret"));
    }
    assert.deepEqual(statuses, [403, 401, 403, 403, 500, 500]);
    assert.equal(reads, 0);
  });

  describe("over events that a test makes", () => {
    const event = (n: number) => ({
      cursor: `c${n}`,
      executionId: "order/o-1",
      at: n,
      outcome: "success",
    });

    /** A family whose iterators count what is taken and whether they were given back. */
    const counted = (fails?: Error, after = 3) => {
      const state = { taken: 0, open: 0 };
      const source = () => ({
        [Symbol.asyncIterator]: () => {
          state.open++;
          let n = 0;
          return {
            next: () => {
              if (fails !== undefined && n === after) return Promise.reject(fails);
              state.taken++;
              return Promise.resolve({ done: false, value: event(n++) });
            },
            return: () => {
              state.open--;
              return Promise.resolve({ done: true, value: undefined });
            },
          };
        },
      });
      const weir = { completions: source } as unknown as EventSources;
      const told: Array<unknown> = [];
      const onError = (error: unknown) => {
        told.push(error);
        throw new Error("whatever");
      };
      return { state, told, handler: eventStreams({ weir, onError }) };
    };

    const request = (signal?: AbortSignal) =>
      new Request(
        "http://weir.test/v1/streams/completions",
        signal === undefined ? {} : { signal },
      );

    it("reads nothing that the client does not take, and ends with it", async () => {
      const { state, handler } = counted();
      const reader = (await handler(request())).body!.getReader();
      for (let i = 0; i < 5; i++) await reader.read();
      // Turns in which one that reads ahead would.
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setTimeout(resolve));
      assert.ok(state.taken <= 7, `${state.taken} were taken for 5`);
      assert.equal(state.open, 1);
      await reader.cancel();
      assert.equal(state.open, 0);
    });

    it("ends when the request is aborted", async () => {
      const { state, handler } = counted();
      const controller = new AbortController();
      const response = await handler(request(controller.signal));
      assert.equal(response.status, 200);
      controller.abort();
      await until("it has ended", () => state.open === 0);
    });

    it("reads nothing for a request that was aborted before anybody took its answer", async () => {
      const { state, handler } = counted();
      const controller = new AbortController();
      const response = await handler(request(controller.signal));
      const taken = state.taken;
      controller.abort();
      const reader = response.body!.getReader();
      for (let i = 0; i < 3; i++) await reader.read();
      assert.equal((await reader.read()).done, true);
      assert.deepEqual([state.taken, state.open], [taken, 0]);
    });

    it("says in its last message what went wrong", async () => {
      const lost = new StreamDisconnected({ cursor: "c2", reason: "a secret is gone" });
      const { state, told, handler } = counted(lost);
      const seen: Array<Message> = [];
      for await (const message of messagesOf(await handler(request()))) seen.push(message);
      const { event, data } = seen.at(-1)!;
      assert.equal(event, "error");
      const { code, cursor, retryable } = JSON.parse(data!);
      assert.deepEqual([code, cursor, retryable], ["WEIR_STREAM_DISCONNECTED", "c2", true]);
      assert.ok(!data!.includes("secret"));
      assert.equal(state.open, 0);
      assert.deepEqual(told, [lost]);
    });

    it("says nothing of an error that is none of ours", async () => {
      const { handler } = counted(new Error("a secret"));
      let last: Message = {};
      for await (const message of messagesOf(await handler(request()))) last = message;
      assert.ok(!last.data!.includes("secret"));
    });

    it("says nothing of the server's own matters, and tells who runs it", async () => {
      const failures = [
        new Unavailable({ operation: "read", reason: "a secret", landed: "no" }),
        new CorruptRecord({ subject: "a.secret", sequence: 1, reason: "torn" }),
        new Error("a secret"),
      ];
      const answers = [
        [503, "WEIR_UNAVAILABLE", true],
        [500, "WEIR_CORRUPT_RECORD", false],
        [500, "WEIR_INTERNAL", undefined],
      ];
      for (const [i, failure] of failures.entries()) {
        const { told, handler } = counted(failure, 0);
        const response = await handler(request());
        const text = await response.text();
        const { code, retryable } = JSON.parse(text);
        assert.deepEqual([response.status, code, retryable], answers[i]);
        assert.ok(!text.includes("secret"), text);
        assert.deepEqual(told, [failure]);
      }
    });

    it("tells who runs it nothing of what a client did wrong", async () => {
      const wrong = new InvalidCursor({ reason: "malformed", detail: "it is none" });
      const { told, handler } = counted(wrong, 0);
      const response = await handler(request());
      assert.equal(response.status, 400);
      assert.match((await response.json() as { message: string }).message, /it is none/);
      assert.deepEqual(told, []);
    });
  });

  it("works behind node:http, and stops reading when the client goes", async () => {
    const tenant = randomUUID();
    const ids = await complete(tenant, 1);
    const server = createServer(nodeListener(handler));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const client = new AbortController();
    const url = `http://127.0.0.1:${port}/v1/streams/completions?cursor=earliest&tenant=${tenant}`;
    const response = await fetch(url, { signal: client.signal });
    const messages = messagesOf(response);
    assert.deepEqual((await take(messages, 1)).map(({ execution }) => execution), ids);
    client.abort();
    await messages.next().catch(() => undefined);
    await new Promise((resolve) => server.close(resolve));
  });
});
