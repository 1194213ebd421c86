/** Acting as a principal, on a server and in memory, as users of the package do it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  type ActingWeir,
  actor,
  connect,
  type ConnectOptions,
  Forbidden,
  signal,
  type Weir,
} from "@weir/weir";
import { eventStreams } from "@weir/weir/http";
import { inMemory } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const approve = signal<{ note: string }>("approve", undefined, { needs: "approve" });
const remind = signal<{ n: number }>("remind");
const order = actor("order", async (ctx, _: { cents: number }) => (await ctx.wait(approve)).note);

const forbidden = { code: "WEIR_FORBIDDEN" };

const until = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
  const deadline = performance.now() + 60_000;
  while (!await isSo()) if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
};

const isRefused = (verb: () => Promise<unknown>) =>
  verb().then(() => false, (error) => {
    if (error instanceof Forbidden) return true;
    throw error;
  });

describe("a connection that acts as a principal", () => {
  let store: string;
  let options: ConnectOptions;
  let service: Weir;
  let ana: Weir;
  before(async () => {
    store = await scratchStore();
    options = { embedded: { store }, tenant: "acme" };
    service = await connect(options);
    ana = await connect({ ...options, principal: "ana" });
    await service.tenants.create("acme", { name: "Acme" });
    await service.grants.assign("ana", "operator");
    await service.grants.assign("greta", "gatekeeper");
  });
  after(async () => {
    await ana.close();
    await service.close();
    await removeStore(store);
  });

  it("does what its role has, and is told what to ask for", async () => {
    const run = await ana.start(order, { cents: 1 }, { id: "o-1", unserved: true });
    assert.equal((await run.describe()).execution, "order/o-1");
    await assert.rejects(ana.grants.grant("ana", "administer"), {
      ...forbidden,
      message: '"ana" may not grants.grant in tenant "acme": that needs administer. Ask whoever ' +
        'administers it for grants.grant("ana", "administer", { tenant: "acme" }), or for a role ' +
        "that has it.",
    });
    await assert.rejects(ana.worker([order]), {
      ...forbidden,
      message: /worker for all tenants: that needs execute\. .*allTenants: true/,
    });
    await assert.rejects(ana.start(order, { cents: 1 }, { tenant: "beta" }), forbidden);
  });

  it("says who it is, has no credentials, and is nobody else", () => {
    assert.deepEqual([service.principal, ana.principal, ana.server], [undefined, "ana", undefined]);
    assert.notEqual(service.server, undefined);
    assert.throws(() => ana.as("root"), { code: "WEIR_INVALID_INPUT" });
    assert.equal("as" in service.as("ana"), false);
    assert.throws(() => service.as(""), { code: "WEIR_INVALID_INPUT" });
  });

  it("speaks for itself alone", async () => {
    await ana.ledgers.append("order/o-1", { kind: "audit", payload: "seen" });
    await assert.rejects(
      ana.ledgers.append("order/o-1", { kind: "audit", payload: "seen", by: "greta" }),
      { code: "WEIR_INVALID_INPUT" },
    );
    assert.deepEqual(
      (await service.ledgers.read("order/o-1")).map(({ by, payload }) => [by, payload]),
      [["ana", "seen"]],
    );
    const run = ana.get(order, "o-1");
    await assert.rejects(run.signal(remind, { n: 1 }, { source: "greta" }), {
      code: "WEIR_INVALID_INPUT",
    });
    await run.signal(remind, { n: 1 });
    const sources: Array<unknown> = [];
    for await (const { record } of run.history()) {
      if (record.kind === "signal" && "source" in record) sources.push(record.source);
    }
    assert.deepEqual(sources, ["ana"]);
  });

  it("sends a signal that asks for a capability only with that", async () => {
    const note = { note: "fine" };
    await assert.rejects(ana.get(order, "o-1").signal(approve, note), {
      ...forbidden,
      capabilities: ["approve"],
    });
    const signals = [{ signal: approve, payload: note }];
    const started = ana.start(order, { cents: 1 }, { id: "o-2", unserved: true, signals });
    await assert.rejects(started, forbidden);
    assert.equal(await service.events.executionExists("order/o-2"), false);
    // Not by what an option of another verb is taken for either.
    const policy = { type: "repeat", count: 2, interval: "1 hour" } as const;
    const options = { id: "o-1", unserved: true, policy, signals };
    await assert.rejects(ana.schedule(order, { cents: 1 }, options), {
      code: "WEIR_INVALID_INPUT",
    });
    const greta = service.as("greta");
    await assert.rejects(greta.get(order, "o-1").signal(remind, { n: 1 }), forbidden);
    const sent = await greta.get(order, "o-1").signal(approve, note);
    await service.worker([order]);
    assert.equal(await sent.effect(), "buffered");
    assert.equal(await ana.get(order, "o-1").result(), "fine");
  });

  it("judges the tenant in which it acts, however that is said", async () => {
    const { as: acting } = service;
    await service.grants.assign("bea", "operator");
    const bea = acting("bea");
    // Text where options are meant would be judged as a tenant, and taken for options without one.
    const list = bea.list as unknown as (query: unknown) => Promise<unknown>;
    await assert.rejects(list("another"), { code: "WEIR_INVALID_INPUT" });
    class Elsewhere {
      get tenant() {
        return "another";
      }
    }
    await assert.rejects(bea.start(order, { cents: 1 }, new Elsewhere()), Forbidden);
    const options: { tenant?: string } = {};
    const listed = bea.list(options);
    options.tenant = "another";
    assert.ok((await listed).executions.every(({ tenant }) => tenant !== "another"));
  });

  it("sends no signal by which the runtime steers what it runs", async () => {
    const steering = signal<{ type: "pause" }>("weir.schedule");
    const refused = { code: "WEIR_INVALID_INPUT", message: /the runtime's/ };
    const pause = { type: "pause" } as const;
    await assert.rejects(ana.get(order, "o-1").signal(steering, pause), refused);
    const signals = [{ signal: steering, payload: pause }];
    const started = ana.start(order, { cents: 1 }, { id: "o-9", unserved: true, signals });
    await assert.rejects(started, refused);
    assert.equal(await service.events.executionExists("order/o-9"), false);
  });

  it("an operator, an auditor and a gatekeeper take one decision, each its own part", async () => {
    await service.grants.assign("otto", "auditor");
    const [greta, otto] = [service.as("greta"), service.as("otto")];
    const submit = (weir: ActingWeir | Weir) =>
      weir.submit(order, { cents: 9 }, { id: "triad", unserved: true });
    for (const weir of [greta, otto]) await assert.rejects(submit(weir), forbidden);
    await submit(ana);
    const approveAs = (weir: ActingWeir | Weir) =>
      weir.get(order, "triad").signal(approve, { note: "granted" });
    for (const weir of [ana, otto]) await assert.rejects(approveAs(weir), forbidden);
    for (const weir of [greta, otto]) {
      await assert.rejects(weir.get(order, "triad").cancel(), forbidden);
    }
    await otto.ledgers.append("order/triad", { kind: "review", payload: "in order" });
    await approveAs(greta);
    await greta.ledgers.append("order/triad", { kind: "decision", payload: { approved: true } });
    const worker = await service.worker([order]);
    assert.equal(await ana.get(order, "triad").result(), "granted");
    await worker.close();
    for (const weir of [ana, greta, otto]) {
      assert.deepEqual(
        (await weir.ledgers.read("order/triad")).map(({ by, kind }) => [by, kind]),
        [["otto", "review"], ["greta", "decision"]],
      );
    }
  });

  it("a revocation holds on other connections, and ends what is being read", async () => {
    const bo = await connect({ ...options, principal: "bo" });
    try {
      await service.grants.grant("bo", "read");
      await until("he may read", async () => !await isRefused(() => bo.list()));
      const entries = bo.ledgers.follow("news")[Symbol.asyncIterator]();
      await service.ledgers.append("news", { kind: "audit", payload: 1 });
      assert.equal((await entries.next()).value.payload, 1);

      const next = entries.next();
      const refused = assert.rejects(next, forbidden);
      await service.grants.revoke("bo", "read");
      await until("he may not any more", () => isRefused(() => bo.list()));
      await service.ledgers.append("news", { kind: "audit", payload: 2 });
      await refused;
      assert.deepEqual(await entries.next(), { done: true, value: undefined });
    } finally {
      await bo.close();
    }
  });

  it("a result that was waited for is told to nobody who lost the right meanwhile", async () => {
    await service.grants.grant("cy", "read");
    const run = await service.start(order, { cents: 1 }, { id: "o-3" });
    const refused = assert.rejects(service.as("cy").get(order, "o-3").result(), forbidden);
    const outcome = assert.rejects(service.as("cy").get(order, "o-3").outcome(), forbidden);
    // It has begun to wait when its first look is done.
    await service.as("cy").get(order, "o-3").describe();
    await service.grants.revoke("cy", "read");
    await service.grants.grant("cy", "submit");
    await run.signal(approve, { note: "late" });
    assert.equal(await run.result(), "late");
    await Promise.all([refused, outcome]);
  });

  it("what another tenant subscribes to stays its own", async () => {
    const abort = new AbortController();
    abort.abort();
    const mine = { durable: "billing", after: "earliest" } as const;
    for await (
      const _ of service.completions({ ...mine, tenant: "beta", signal: abort.signal })
    ) break;
    const read = async (door: ActingWeir) => {
      for await (const _ of door.completions(mine)) break;
    };
    await assert.rejects(read(service), { stored: '{"tenant":"beta"}' });
    await assert.rejects(read(ana), { code: "WEIR_SUBSCRIPTION_CONFLICT", stored: "another" });
  });

  it("all tenants are asked for by who has a right to all", async () => {
    const everything = async (door: ActingWeir) => {
      for await (const _ of door.completions({ allTenants: true, after: "earliest" })) return;
    };
    await assert.rejects(everything(ana), forbidden);
    // A value that only JavaScript takes for a yes is one.
    const truthy = { allTenants: 1, after: "earliest" } as unknown as { allTenants: true };
    await assert.rejects(async () => {
      for await (const _ of ana.completions(truthy)) return;
    }, forbidden);
    await service.grants.grant("ana", "read", { allTenants: true });
    await everything(service.as("ana"));
  });

  it("events over HTTP are refused with a status", async () => {
    const handler = eventStreams({ weir: service.as("nobody") });
    const url = "http://localhost/v1/streams/completions?cursor=earliest";
    const response = await handler(new Request(url));
    assert.equal(response.status, 403);
    assert.match(await response.text(), /"WEIR_FORBIDDEN"/);
  });

  it("bad input is refused before anything is written", async () => {
    const bad = { code: "WEIR_INVALID_INPUT" };
    const huge = "a".repeat(300);
    await assert.rejects(service.tenants.create("", { name: "x" }), bad);
    await assert.rejects(service.tenants.create("x", { name: "" }), bad);
    await assert.rejects(service.grants.assign("", "operator"), bad);
    await assert.rejects(service.grants.assign(huge, "operator"), bad);
    await assert.rejects(service.grants.assign("ana", "king" as "operator"), bad);
    await assert.rejects(service.grants.assign("ana", undefined as never), bad);
    await assert.rejects(service.grants.assign("ana", { name: "operator", capabilities: [] }), bad);
    await assert.rejects(service.grants.assign("ana", { name: "x" } as never), bad);
    await assert.rejects(service.grants.grant("ana", "a b"), bad);
    await assert.rejects(
      service.grants.grant("ana", "read", { tenant: "acme", allTenants: true }),
      bad,
    );
    await assert.rejects(service.ledgers.append("", { kind: "audit", payload: 1 }), bad);
    await assert.rejects(service.ledgers.append("x", { kind: "", payload: 1 }), bad);
    await assert.rejects(service.ledgers.append("x", { kind: "audit", payload: undefined }), bad);
    await assert.rejects(service.ledgers.append("x", { kind: "audit", payload: NaN }), bad);
    await assert.rejects(service.ledgers.append("x", { kind: "audit", payload: 1, id: "" }), bad);
    await assert.rejects(service.ledgers.read("x", { limit: 0 }), bad);
    assert.deepEqual(await service.ledgers.read("x"), []);
    assert.equal((await service.tenants.list()).length, 1);
    await assert.rejects(connect({ ...options, principal: "" }), bad);
  });
});

it("in memory it is the same", async () => {
  await using weir = await inMemory({ tenant: "acme" });
  await weir.tenants.create("acme", { name: "Acme" });
  await weir.grants.assign("ana", "operator");
  const ana = weir.as("ana");
  await weir.worker([order]);
  const run = await ana.start(order, { cents: 1 });
  await assert.rejects(run.signal(approve, { note: "fine" }), forbidden);
  await weir.get(order, run.id.slice("order/".length)).signal(approve, { note: "fine" });
  assert.equal(await run.result(), "fine");
  await weir.grants.revoke("ana", "read");
  await assert.rejects(run.result(), forbidden);

  await using stranger = await inMemory({ principal: "ana" });
  await assert.rejects(stranger.list(), forbidden);
  await assert.rejects(stranger.get(order, "o-1").describe(), { code: "WEIR_EXECUTION_NOT_FOUND" });
});
