import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, InvalidInput, Unavailable } from "@weir/weir";
import { type AskedVerb, bearer, type Judgement, weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";
import { documentOf, type OpenApi, type Place, placesOf } from "./http/api.ts";

const order = actor("order", (_, cents: number) => cents);

const tokens = {
  operator: "operator-operator-1",
  shop: "shop-shop-shop-shop-1",
  reader: "reader-reader-reader",
};

const authorize = bearer([
  { token: tokens.operator, principal: "ana" },
  { token: tokens.shop, principal: "shop", tenant: "acme" },
  { token: tokens.reader, principal: "wall", tenant: "acme", access: ["read"] },
]);

/** A request to an operation of the document that gets past its path. */
const requestTo = (
  { method, template }: Place,
  token: string | undefined,
  query = "",
): Request => {
  const path = template.replace("{id}", "order%2Fnothing").replace("{name}", "go")
    .replace("{family}", "nonsense").replace("{tenant}", "acme");
  return new Request(`http://weir.test${path}${query}`, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
};

describe("who may do what over HTTP", () => {
  let weir: MemoryWeir;
  let document: OpenApi;
  let places: ReadonlyArray<Place>;
  before(async () => {
    weir = await inMemory();
    await weir.worker([order]);
    document = await documentOf(weirHandler({ weir, open: true }));
    places = placesOf(document);
    assert.ok(places.length > 25);
  });
  after(() => weir.close());

  const isOpen = ({ operation }: Place) => operation["x-weir-access"] === "anybody";

  /** The code that each operation refuses with, by its name; nothing where it lets in. */
  const refusals = async (
    handler: (request: Request) => Promise<Response>,
    token: string | undefined,
    query = "",
  ) => {
    const found: Record<string, string | undefined> = {};
    for (const place of places) {
      const response = await handler(requestTo(place, token, query));
      const isRefused = response.status === 401 || response.status === 403;
      const text = await response.text();
      assert.ok(!Object.values(tokens).some((each) => text.includes(each)), "a token is repeated");
      found[place.operation.operationId] = isRefused ? JSON.parse(text).error.code : undefined;
      if (response.status === 401) {
        assert.equal(response.headers.get("www-authenticate"), "Bearer");
      }
    }
    return found;
  };

  /** What each operation should say, by what it is. */
  const expected = (of: (place: Place) => string | undefined) =>
    Object.fromEntries(places.map((place) => [place.operation.operationId, of(place)]));

  it("lets nobody in who was not asked for, but to see that it is up", async () => {
    const handler = weirHandler({ weir });
    const wanted = expected((place) => isOpen(place) ? undefined : "WEIR_FORBIDDEN");
    assert.deepEqual(await refusals(handler, undefined), wanted);
    assert.deepEqual(await refusals(handler, tokens.operator), wanted);
    const open = places.filter(isOpen).map(({ template }) => template);
    assert.deepEqual(open, ["/healthz", "/api/v1/tokens/{token}"]);
  });

  it("lets everybody in where it is open, and steers only with control", async () => {
    const wanted = expected(({ operation }) =>
      operation["x-weir-access"] === "control" || operation["x-weir-control"] === true
        ? "WEIR_FORBIDDEN"
        : undefined
    );
    assert.deepEqual(await refusals(weirHandler({ weir, open: true }), undefined), wanted);
    const controlled = weirHandler({ weir, open: true, control: true });
    assert.deepEqual(await refusals(controlled, undefined), expected(() => undefined));
  });

  it("asks for a token, and knows those that it was given", async () => {
    const handler = weirHandler({ weir, authorize, control: true });
    const wanted = expected((place) => isOpen(place) ? undefined : "WEIR_UNAUTHENTICATED");
    for (const token of [undefined, "", "operator-operator-2", tokens.operator.slice(0, -1)]) {
      assert.deepEqual(await refusals(handler, token), wanted);
    }
    assert.deepEqual(await refusals(handler, tokens.operator), expected(() => undefined));
    for (const authorization of ["Basic x", "Bearer", `Token ${tokens.operator}`, "Bearer \t"]) {
      const request = new Request("http://weir.test/api/v1/runs", { headers: { authorization } });
      assert.equal((await handler(request)).status, 401);
    }
  });

  it("keeps a token to its tenant and to what it is good for", async () => {
    const handler = weirHandler({ weir, authorize, control: true });
    const isOf = (...accesses: ReadonlyArray<string>) => ({ operation }: Place) =>
      ["anybody", ...accesses].includes(operation["x-weir-access"]) ? undefined : "WEIR_FORBIDDEN";
    const own = isOf("read", "submit", "signal", "control");
    assert.deepEqual(await refusals(handler, tokens.shop), expected(own));
    assert.deepEqual(await refusals(handler, tokens.shop, "?tenant=acme"), {
      ...expected(own),
    });
    assert.deepEqual(await refusals(handler, tokens.reader), expected(isOf("read")));
    const strange = await refusals(handler, tokens.shop, "?tenant=rival");
    assert.deepEqual(strange, expected((place) => isOpen(place) ? undefined : "WEIR_FORBIDDEN"));
  });

  it("keeps a token of a tenant from what is of all, or of another", async () => {
    const handler = weirHandler({ weir, authorize, control: true });
    const status = async (token: string, method: string, path: string) =>
      (await handler(
        new Request(`http://weir.test${path}`, {
          method,
          headers: { authorization: `Bearer ${token}` },
        }),
      )).status;
    const places = [
      ["GET", "/api/v1/engine?allTenants=true"],
      ["POST", "/api/v1/engine/pause?allTenants=true"],
      ["GET", "/api/v2/grants?allTenants=true"],
      ["GET", "/api/v2/principals/ana?allTenants=true"],
      ["GET", "/api/v2/tenants"],
      ["GET", "/api/v2/tenants/rival"],
      ["GET", "/api/v2/tenants/rival?tenant=acme"],
      ["GET", "/api/v1/queues"],
      ["POST", "/api/v1/queues/cards/pause"],
      ["GET", "/api/v1/subscriptions"],
    ] as const;
    for (const [method, path] of places) {
      const found = await status(tokens.shop, method, path);
      assert.equal(found, path.includes("?tenant=") ? 400 : 403, `${method} ${path}`);
    }
    assert.deepEqual((await weir.engine.status({ allTenants: true })).scopes, []);
    assert.equal(await status(tokens.operator, "GET", "/api/v1/engine?allTenants=true"), 200);
    assert.equal(await status(tokens.shop, "POST", "/api/v1/engine/pause"), 200);
    assert.equal((await weir.engine.status({ tenant: "acme" })).scopes.length, 1);
    assert.equal(await status(tokens.shop, "POST", "/api/v1/engine/resume"), 200);
  });

  it("has a trigger do only what its creator may do", async () => {
    const asked: Array<AskedVerb> = [];
    const may = (...accesses: ReadonlyArray<string>): typeof authorize => (_, question) => {
      asked.push(question);
      return accesses.includes(question.access) ? { principal: "shop" } : "forbidden";
    };
    const create = async (handler: (request: Request) => Promise<Response>, then: unknown) => {
      const response = await handler(
        new Request("http://weir.test/api/v1/triggers", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ when: { event: "e" }, then, unserved: true }),
        }),
      );
      await response.body?.cancel();
      return response.status;
    };
    const promote = { promote: "order/late" };
    const signal = { signal: "order/late", name: "go" };
    const submit = { submit: "order" };
    const tried = async (options: Parameters<typeof weirHandler>[0]) => {
      const handler = weirHandler(options);
      return [
        await create(handler, promote),
        await create(handler, signal),
        await create(handler, submit),
      ];
    };
    const control = true;
    const only = may("submit");
    assert.deepEqual(await tried({ weir, authorize: only }), [403, 403, 201]);
    assert.deepEqual(await tried({ weir, authorize: only, control }), [403, 403, 201]);
    const steers = may("submit", "control");
    assert.deepEqual(await tried({ weir, authorize: steers }), [403, 403, 201]);
    assert.deepEqual(await tried({ weir, authorize: steers, control }), [201, 403, 201]);
    const tells = may("submit", "signal");
    assert.deepEqual(await tried({ weir, authorize: tells, control }), [403, 201, 201]);
    assert.deepEqual(await tried({ weir, authorize: may("control", "signal"), control }), [
      403,
      403,
      403,
    ]);
    assert.deepEqual(await tried({ weir, open: true }), [403, 201, 201]);
    asked.length = 0;
    await tried({ weir, authorize: may("submit", "signal", "control"), control });
    const creates = { verb: "triggers.create", access: "submit" };
    const tenant = weir.tenant;
    assert.deepEqual(asked, [
      creates,
      { verb: "runs.promote", access: "control", tenant, execution: "order/late" },
      creates,
      { verb: "runs.signal", access: "signal", tenant, execution: "order/late" },
      creates,
      { verb: "tasks.submit", access: "submit", tenant },
    ]);
    const closed = weirHandler({ weir, actors: [order], open: true, control });
    assert.equal(await create(closed, { submit: "nobody" }), 422);
    for (
      const odd of [
        3,
        {},
        { ...promote, ...signal },
        { ...signal, name: { name: "go" } },
        { submit: { name: "nobody" } },
        { ...submit, promote: "order/late" },
      ]
    ) {
      assert.equal(await create(closed, odd), 422, JSON.stringify(odd));
    }
  });

  it("means the tenant of who asks, where none is named", async () => {
    const handler = weirHandler({ weir, authorize });
    const ask = async (token: string, path: string, body?: unknown) => {
      const response = await handler(
        new Request(`http://weir.test${path}`, {
          method: body === undefined ? "GET" : "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      );
      return { status: response.status, body: await response.json() as { tenant?: string } };
    };
    const body = { actor: "order", input: 1, id: "t-1" };
    assert.equal((await ask(tokens.shop, "/api/v1/tasks", body)).body.tenant, "acme");
    const place = "/api/v1/runs/order%2Ft-1";
    assert.equal((await ask(tokens.reader, place)).status, 200);
    assert.equal((await ask(tokens.operator, place)).status, 404);
    assert.equal((await ask(tokens.operator, `${place}?tenant=acme`)).status, 200);
  });

  it("asks the application with what is asked for, and takes nothing but its words", async () => {
    const asked: Array<AskedVerb> = [];
    const status = async (judgement: unknown) => {
      const handler = weirHandler({
        weir,
        authorize: (_, what) => {
          asked.push(what);
          if (judgement instanceof Error) throw judgement;
          return judgement as Judgement;
        },
      });
      const response = await handler(
        new Request("http://weir.test/api/v1/runs/order%2Fo-9?tenant=acme"),
      );
      assert.ok(!(await response.text()).includes("secret"));
      return response.status;
    };
    assert.equal(await status("allowed"), 404);
    assert.equal(await status({ principal: "ana" }), 404);
    assert.equal(await status({ tenant: "acme" }), 404);
    assert.equal(await status({ tenant: "rival" }), 403);
    assert.equal(await status("unauthenticated"), 401);
    for (const other of ["forbidden", true, undefined, null, {}, [], { principal: 7 }, ""]) {
      assert.equal(await status(other), 403, JSON.stringify(other));
    }
    assert.equal(await status(new Error("a secret")), 500);
    assert.deepEqual(asked[0], {
      verb: "runs.describe",
      access: "read",
      tenant: "acme",
      execution: "order/o-9",
    });
  });

  it("acts for whoever asks, and tells its operator what went wrong", async () => {
    const callers: Array<unknown> = [];
    const errors: Array<unknown> = [];
    const broken = { ...weir, list: () => Promise.reject(new Error("a secret")) };
    const handler = weirHandler({
      weir,
      authorize,
      weirFor: (caller) => {
        callers.push(caller);
        return caller.principal === "shop" ? broken : weir;
      },
      onError: (error, { id, verb }) => {
        errors.push([(error as Error).message, id, verb]);
        throw new Error("whatever");
      },
    });
    const ask = async (token: string) => {
      const headers = { authorization: `Bearer ${token}`, "x-request-id": "r-1" };
      const response = await handler(new Request("http://weir.test/api/v1/runs", { headers }));
      return [response.status, (await response.text()).includes("secret")];
    };
    assert.deepEqual(await ask(tokens.operator), [200, false]);
    assert.deepEqual(await ask(tokens.shop), [500, false]);
    assert.deepEqual(callers, [{ principal: "ana" }, { principal: "shop", tenant: "acme" }]);
    assert.deepEqual(errors, [["a secret", "r-1", "runs.list"]]);
  });

  it("tells its operator why no events are served, and the client nothing", async () => {
    const failure = new Unavailable({ operation: "read", reason: "a secret", landed: "no" });
    const errors: Array<unknown> = [];
    const completions = () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
    });
    const handler = weirHandler({
      weir: { ...weir, completions },
      open: true,
      onError: (error, { id, verb }) => errors.push([error, id, verb]),
    });
    const headers = { "x-request-id": "r-2" };
    const url = "http://weir.test/v1/streams/completions";
    const response = await handler(new Request(url, { headers }));
    const { error } = await response.json() as { error: Record<string, unknown> };
    assert.deepEqual([response.status, response.headers.get("retry-after")], [503, "1"]);
    assert.deepEqual([error["code"], error["retryable"]], ["WEIR_UNAVAILABLE", true]);
    assert.ok(!JSON.stringify(error).includes("secret"), JSON.stringify(error));
    assert.deepEqual(errors, [[failure, "r-2", "streams"]]);
    const wrong = await handler(new Request("http://weir.test/v1/streams/leaseHistory?cursor=?"));
    assert.equal(wrong.status, 400);
    assert.equal(errors.length, 1);
  });

  it("tells its operator what goes wrong once an answer has begun", async () => {
    const failure = new Unavailable({ operation: "read", reason: "a secret", landed: "no" });
    const errors: Array<unknown> = [];
    const failing = () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
    });
    let asked = 0;
    const completions = () => ({
      [Symbol.asyncIterator]: () => ({
        // The first is the judged start, and what follows comes once the answer has begun.
        next: () =>
          asked++ === 0
            ? Promise.resolve({ done: false, value: { type: "tick", cursor: "c" } })
            : Promise.reject(failure),
      }),
    });
    const handler = weirHandler({
      weir: {
        ...weir,
        completions: completions as unknown as typeof weir.completions,
        get: (() => ({
          describe: () => Promise.resolve(undefined),
          output: failing,
        })) as unknown as typeof weir.get,
      },
      open: true,
      onError: (error, { id, verb }) => errors.push([error, id, verb]),
    });
    const headers = { "x-request-id": "r-3" };
    for (const path of ["/v1/streams/completions", "/api/v1/runs/order%2Fo-1/outputs/text"]) {
      const response = await handler(new Request(`http://weir.test${path}`, { headers }));
      assert.equal(response.status, 200);
      const text = await response.text();
      assert.match(text, /event: error/);
      assert.ok(!text.includes("secret"), text);
    }
    assert.deepEqual(errors, [[failure, "r-3", "streams"], [failure, "r-3", "runs.output"]]);
  });

  it("refuses tokens that could be guessed, and repeats none", () => {
    for (const token of ["", "short", "with spaces in between", "ünïcödé-ünïcödé-x"]) {
      assert.throws(() => bearer([{ token, principal: "ana" }]), (error: unknown) => {
        assert.ok(error instanceof InvalidInput);
        assert.ok(token === "" || !error.message.includes(token));
        return true;
      });
    }
  });

  it("refuses a token that is there twice, and says where", () => {
    const [token, other] = [tokens.operator, tokens.reader];
    const twice = [
      { token, principal: "ana" },
      { token: other, principal: "ana" },
      { token, principal: "wall", tenant: "acme", access: ["read"] as const },
    ];
    assert.throws(() => bearer(twice), (error: unknown) => {
      assert.ok(error instanceof InvalidInput);
      assert.match(error.message, /numbers 1 and 3/);
      assert.ok(!error.message.includes(token));
      return true;
    });
  });

  it("answers pages of the origins that it was told, and of no others", async () => {
    const handler = weirHandler({ weir, open: true, origins: ["https://app.example"] });
    const ask = (origin: string, method: string, path: string) =>
      handler(
        new Request(`http://weir.test${path}`, {
          method,
          headers: { origin, "access-control-request-method": "POST" },
        }),
      );
    const asked = await ask("https://app.example", "OPTIONS", "/api/v1/tasks");
    assert.equal(asked.status, 204);
    assert.equal(asked.headers.get("access-control-allow-methods"), "POST, GET, HEAD");
    assert.match(asked.headers.get("access-control-allow-headers")!, /authorization/);
    assert.equal((await ask("https://evil.example", "OPTIONS", "/api/v1/tasks")).status, 405);
    assert.equal((await ask("https://app.example", "OPTIONS", "/nowhere")).status, 404);
    for (const origin of ["https://app.example", "https://evil.example"]) {
      const { headers } = await ask(origin, "GET", "/api/v1/runs");
      const own = origin === "https://app.example" ? origin : null;
      assert.equal(headers.get("access-control-allow-origin"), own);
      assert.equal(headers.get("vary"), "origin");
    }
    // A plain POST, which browsers send without asking.
    const signals = "/api/v1/runs/order%2Fnothing/signals/go";
    assert.equal((await ask("https://evil.example", "POST", signals)).status, 403);
    assert.equal((await ask("null", "POST", signals)).status, 403);
    assert.equal((await ask("https://app.example", "POST", signals)).status, 404);
    assert.equal((await ask("http://weir.test", "POST", signals)).status, 404);
  });
});
