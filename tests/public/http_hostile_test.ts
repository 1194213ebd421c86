import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, signal } from "@weir/weir";
import { weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";
import { client, documentOf, type OpenApi, placesOf } from "./http/api.ts";

const order = actor("order", (_, input: unknown) => input);
const waits = actor("waits", (ctx) => ctx.wait(signal("go")));

const utf8 = new TextEncoder();

describe("what no client should send", () => {
  let weir: MemoryWeir;
  let document: OpenApi;
  let handler: (request: Request) => Promise<Response>;
  const failures: Array<unknown> = [];
  before(async () => {
    weir = await inMemory();
    await weir.worker([order, waits]);
    handler = weirHandler({
      weir,
      open: true,
      control: true,
      maxBodyBytes: 4_096,
      bodyTimeoutMs: 100,
      onError: (error) => failures.push(error),
    });
    document = await documentOf(handler);
  });
  after(() => weir.close());

  interface Said {
    readonly status: number;
    readonly code: string;
    readonly text: string;
  }

  /** Sends what a browser or a server would pass on, and takes nothing but a refusal. */
  const refused = async (
    method: string,
    path: string,
    body?: string | Uint8Array | ReadableStream<Uint8Array>,
    headers: Readonly<Record<string, string>> = { "content-type": "application/json" },
  ): Promise<Said> => {
    const init = {
      method,
      headers,
      ...(body === undefined ? {} : { body, duplex: "half" }),
    } as RequestInit;
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`${method} ${path} has no answer`)), 30_000).unref?.();
    });
    const response = await Promise.race([
      handler(new Request(`http://weir.test${path}`, init)),
      late,
    ]);
    const text = await response.text();
    const what = `${method} ${path.slice(0, 80)} answered ${response.status} ${text.slice(0, 200)}`;
    assert.ok(response.status >= 400 && response.status < 500, what);
    return { status: response.status, code: JSON.parse(text).error.code, text };
  };

  const tasks = "/api/v1/tasks";
  const post = (body: unknown) => refused("POST", tasks, JSON.stringify(body));

  it("is a body that is too large, told or not, or never ends", async () => {
    const large = "x".repeat(5_000);
    const all = [413, "WEIR_BODY_TOO_LARGE"];
    const told = await refused("POST", tasks, large, {
      "content-type": "application/json",
      "content-length": "5000",
    });
    assert.deepEqual([told.status, told.code], all);
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled++;
        controller.enqueue(new Uint8Array(1_024));
      },
    });
    const flooded = await refused("POST", tasks, endless);
    assert.deepEqual([flooded.status, flooded.code], all);
    assert.ok(pulled < 20, `${pulled} were read`);
    let isCancelled = false;
    const silent = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(utf8.encode("{")),
      cancel: () => void (isCancelled = true),
    });
    const slow = await refused("POST", tasks, silent);
    assert.deepEqual([slow.status, slow.code, isCancelled], [408, "WEIR_BODY_TIMEOUT", true]);
    const torn = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(new Error("reset")),
    });
    assert.equal((await refused("POST", tasks, torn)).status, 400);
  });

  it("is a body that is no text, no JSON, or says what it is not", async () => {
    for (
      const bytes of [
        Uint8Array.of(0xff, 0xfe, 0x00),
        Uint8Array.of(0x22, 0xc3, 0x28, 0x22),
        Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22),
        utf8.encode("{"),
        utf8.encode("{'actor': 1}"),
        utf8.encode("NaN"),
        utf8.encode("\u0000"),
        utf8.encode(`{"actor":"order"}}`),
        utf8.encode("   "),
      ]
    ) {
      const { status, code } = await refused("POST", tasks, bytes);
      assert.deepEqual([status, code], [400, "WEIR_INVALID_REQUEST"]);
    }
    const valid = `{"actor":"order"}`;
    const others: ReadonlyArray<Readonly<Record<string, string>>> = [
      { "content-type": "text/plain" },
      { "content-type": "application/x-www-form-urlencoded" },
      { "content-type": "application/json; charset=latin1" },
      { "content-type": "application/jsonp" },
      { "content-type": "," },
      { "content-type": "application/json", "content-encoding": "gzip" },
    ];
    for (const headers of others) {
      assert.equal((await refused("POST", tasks, valid, headers)).status, 415);
    }
  });

  it("is JSON of another shape", async () => {
    const bodies: ReadonlyArray<unknown> = [
      null,
      true,
      7,
      "order",
      [],
      [[]],
      [null],
      {},
      { actor: 7 },
      { actor: "" },
      { actor: "order/o-1" },
      { actor: "../order" },
      { actor: "x".repeat(65) },
      { actor: "order", id: 7 },
      { actor: "order", id: "" },
      { actor: "order", id: "\ud800" },
      { actor: "order", id: "x".repeat(300) },
      { actor: "order", tags: [] },
      { actor: "order", tags: { a: 1 } },
      { actor: "order", tags: { "no tag": "x" } },
      { actor: "order", priority: 1.5 },
      { actor: "order", priority: 1e9 },
      { actor: "order", after: "order/o-1" },
      { actor: "order", after: [7] },
      { actor: "order", timeout: 5 },
      { actor: "order", timeout: "soon" },
      { actor: "order", timeout: "Infinity" },
      { actor: "order", delay: "-5 minutes" },
      { actor: "order", retry: { attempts: 0 } },
      { actor: "order", retry: { attempts: 1, delay: "1 fortnight" } },
      { actor: "order", policy: {} },
      { actor: "order", policy: "cron" },
      { actor: "order", policy: { type: "never" } },
      { actor: "order", policy: { type: "cron" } },
      { actor: "order", policy: { type: "cron", expression: "* * *" } },
      { actor: "order", policy: { type: "cron", expression: "0 0 * * *", timeZone: "Mars/One" } },
      { actor: "order", policy: { type: "repeat", count: 1e300, interval: "1 day" } },
      { actor: "order", policy: { type: "repeat", count: 2, interval: "" } },
      { actor: "order", policy: { type: "repeat", count: 2, interval: "1 day" }, misfire: "maybe" },
      { actor: "order", unknown: true },
      { actor: "order", tenant: "rival" },
      { actor: "order", constructor: { prototype: {} } },
      { actor: "nobody-has-served" },
      [{ actor: "order", policy: { type: "once" } }],
      [{ actor: "order", id: "twice" }, { actor: "order", id: "twice" }],
    ];
    for (const body of bodies) {
      const { status, text } = await post(body);
      assert.equal(status, 422, `${JSON.stringify(body)}: ${text}`);
    }
    const missing = await post({ actor: "order", after: ["order/nothing"] });
    assert.equal(missing.code, "WEIR_EXECUTION_NOT_FOUND");
    const polluting = await refused("POST", tasks, `{"actor":"order","__proto__":{"x":1}}`);
    assert.equal(polluting.status, 422);
    assert.equal(Object.hasOwn(Object.prototype, "x"), false);
  });

  it("is JSON without end in its depth", async () => {
    for (const [open, close] of [["[", "]"], [`{"a":`, "}"]]) {
      const levels = 600;
      const value = `${open!.repeat(levels)}1${close!.repeat(levels)}`;
      for (const body of [value, `{"actor":"order","input":${value}}`]) {
        assert.equal((await refused("POST", tasks, body)).status, 422);
      }
      assert.equal((await refused("POST", "/api/v1/runs/waits%2Fx/signals/go", value)).status, 422);
    }
    const bare = weirHandler({ weir, open: true });
    const deep = "[".repeat(400_000) + "]".repeat(400_000);
    const response = await bare(
      new Request(`http://weir.test${tasks}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: deep,
      }),
    );
    assert.equal(response.status, 422);
  });

  it("is an id that climbs, is broken, or names nobody", async () => {
    const ids = [
      "%",
      "%zz",
      "%c3%28",
      "%ed%a0%80",
      "order",
      "order%2F",
      "%2Fo-1",
      "order%2F..%2F..%2Fetc%2Fpasswd",
      "..%2F..%2Fhealthz",
      "order%252Fo-1",
      "order%2Fo-1%00",
      "order%2F*",
      "order%2F%3E",
      "order%2Fa.b.c",
      "order%2F%0d%0aset-cookie:x",
      "x".repeat(10_000),
      "order%2F" + "%F0%9F%92%A9".repeat(60),
      "__proto__%2Fx",
      "constructor",
    ];
    for (const id of ids) {
      for (const verb of ["", "/result", "/result?wait=1", "/history"]) {
        const { status } = await refused("GET", `/api/v1/runs/${id}${verb}`);
        assert.ok(status === 400 || status === 404, `${id}${verb}: ${status}`);
      }
      for (
        const verb of [
          "cancel",
          "pause",
          "resume",
          "promote",
          "retry",
          "revoke-lease",
          "signals/go",
        ]
      ) {
        const { status } = await refused("POST", `/api/v1/runs/${id}/${verb}`);
        assert.ok(status === 400 || status === 404, `${id}/${verb}: ${status}`);
      }
      for (const verb of ["trigger", "pause", "finish"]) {
        const { status } = await refused("POST", `/api/v1/schedules/${id}/${verb}`);
        assert.ok(status === 400 || status === 404, `${id}/${verb}: ${status}`);
      }
    }
    for (const path of ["/api/v1/runs/", "/api/v1//runs", "/api/v1/runs/order/o-1", "//healthz"]) {
      assert.equal((await refused("GET", path)).status, 404);
    }
  });

  it("may be an id with dots, percents and slashes, if it is encoded", async () => {
    const { ask } = client(handler, document);
    for (const id of ["..", "a.b", "100%", "a/b/../c", "a b", "ü?#&", "'\"<>\\"]) {
      const made = await ask("POST", tasks, { body: { actor: "order", input: 1, id } });
      assert.equal(made.status, 201, id);
      const found = await ask("GET", made.headers.get("location")!);
      assert.deepEqual([found.status, found.body.execution], [200, `order/${id}`]);
    }
  });

  it("is a query that makes no sense", async () => {
    for (
      const query of [
        "limit=0",
        "limit=1001",
        "limit=1.5",
        "limit=ten",
        "limit=",
        "limit=1e2147483647",
        "limit=5&limit=6",
        "status=nonsense",
        "actor=../x",
        "from=AAAA",
        "from=%00",
        "offset=10",
        "__proto__=1",
        `tenant=${"x".repeat(65)}`,
        "tenant=%ED%A0%80&tenant=b",
      ]
    ) {
      const { status } = await refused("GET", `/api/v1/runs?${query}`);
      assert.ok(status === 400 || status === 422, `${query}: ${status}`);
    }
    for (const wait of ["31", "-1", "x", "NaN", "Infinity"]) {
      const { status } = await refused("GET", `/api/v1/runs/order%2Fx/result?wait=${wait}`);
      assert.equal(status, 400);
    }
  });

  it("is another method, and is told which there are", async () => {
    const places = placesOf(document);
    for (const { template, method } of places) {
      const path = template.replaceAll(/\{\w+\}/g, "x");
      const own = places.filter((place) => place.template === template);
      for (const other of ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]) {
        if (own.some((place) => place.method === other)) continue;
        const response = await handler(new Request(`http://weir.test${path}`, { method: other }));
        assert.equal(response.status, 405, `${other} ${path}`);
        assert.ok(response.headers.get("allow")!.split(", ").includes(method));
        await response.body?.cancel();
      }
    }
  });

  it("is a header that is junk", async () => {
    const { ask } = client(handler, document);
    const junk: ReadonlyArray<Readonly<Record<string, string>>> = [
      { "x-request-id": "x".repeat(1_000) },
      { "x-request-id": "a b" },
      { "content-length": "-1" },
      { "content-length": "many" },
      { authorization: "x".repeat(10_000) },
      { accept: "image/png" },
      { "last-event-id": "x" },
      { origin: "not an origin" },
      { "if-none-match": "*" },
      { range: "bytes=0-1" },
    ];
    for (const headers of junk) {
      const answer = await ask("GET", "/api/v1/runs", { headers });
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("x-request-id")!, /^[0-9a-f-]{36}$/);
    }
    await ask("POST", tasks, { body: { actor: "waits", id: "w-1" } });
    const long = { "idempotency-key": "k".repeat(201) };
    const { status } = await ask("POST", "/api/v1/runs/waits%2Fw-1/signals/go", {
      body: 1,
      headers: long,
    });
    assert.equal(status, 400);
    const path = "/api/v1/runs/waits%2Fw-1/signals/go";
    const large = JSON.stringify("x".repeat(4_000));
    assert.equal((await ask("POST", path, { body: JSON.parse(large) })).status, 202);
    const bodied = await ask("POST", "/api/v1/runs/waits%2Fw-1/resume", { body: { x: 1 } });
    assert.equal(bodied.status, 422);
  });

  it("never reaches the operator as a failure of the server", () => {
    assert.deepEqual(failures, []);
  });
});
