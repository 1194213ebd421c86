/** What is let in, and what is one too much: each entry of the table in docs/security.md. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, signal } from "@weir/weir";
import { weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";

const any = actor("any", (_, input: unknown) => input);
const waits = actor("waits", (ctx) => ctx.wait(signal("never")));
const steps = actor("steps", (ctx, name: string) => ctx.run(name, () => "done"));
const emits = actor("emits", async (ctx, [output, size]: readonly [string, number]) => {
  await ctx.emit(output, text(size - 2));
});
const tags = actor("tags", (ctx, [name, value]: readonly [string, string]) => ctx.tag(name, value));

const text = (length: number): string => "x".repeat(length);
const deep = (levels: number): unknown => levels === 0 ? 0 : [deep(levels - 1)];
const tagged = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`a.b${i}`, ""]));
const several = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ actor: any, input: i, id: `${count}-${i}` }));
const dimensions = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`d${i}`, { hard: 1 }]));

describe("limits", () => {
  let weir: MemoryWeir;
  let drawn = 0;
  before(async () => {
    weir = await inMemory();
    await weir.worker([any, waits, steps, emits, tags], { queues: true });
    await weir.tenants.create("acme", { name: "Acme" });
    await weir.start(waits, undefined, { id: "w" });
  });
  after(() => weir.close());

  const fresh = () => `f${drawn++}`;
  const waiting = () => weir.get(waits, "w");
  const started = async (options: object) => await weir.start(any, 1, { id: fresh(), ...options });

  /** The size that is let in, what is done with it, and the code with which one more is refused. */
  const entries: Readonly<
    Record<string, readonly [most: number, use: (size: number) => Promise<unknown>, code?: string]>
  > = {
    "execution id, bytes": [196, (size) => weir.start(any, 1, { id: text(size) })],
    "actor name, characters": [
      64,
      (size) => weir.start(actor(text(size), () => 1), undefined, { unserved: true }),
    ],
    "tenant, bytes": [64, (size) => started({ tenant: text(size) })],
    "lane, characters": [64, (size) => started({ lane: text(size) })],
    "capability, characters": [64, (size) => started({ requires: [text(size)] })],
    "capabilities together, characters": [
      320,
      (size) => started({ requires: [...Array(5).fill(text(53)), text(size - 270)] }),
    ],
    "tag name, characters": [128, (size) => started({ tags: { [`a.${text(size - 2)}`]: "" } })],
    "tag value, characters": [256, (size) => started({ tags: { "a.b": text(size) } })],
    "tags of a start": [100, (size) => started({ tags: tagged(size) })],
    "tag of the code": [
      256,
      async (size) => await (await weir.start(tags, ["a.b", text(size)])).result(),
      "WEIR_EXECUTION_FAILED",
    ],
    "levels of JSON": [500, (size) => weir.start(any, deep(size), { id: fresh() })],
    "executions that one comes after": [
      1_000,
      (size) => started({ after: Array.from({ length: size }, (_, i) => `any/1000-${i}`) }),
    ],
    "signal name, characters": [128, (size) => waiting().signal(signal(text(size)), undefined)],
    "signal payload, bytes of JSON": [
      64 * 1024,
      (size) => waiting().signal(signal<string>("s"), text(size - 2)),
    ],
    "step name, characters": [
      200,
      async (size) => await (await weir.start(steps, text(size))).result(),
      "WEIR_EXECUTION_FAILED",
    ],
    "output name, bytes": [
      64,
      async (size) => await (await weir.start(emits, [text(size), 10])).result(),
      "WEIR_EXECUTION_FAILED",
    ],
    "frame, bytes of JSON": [
      64 * 1024,
      async (size) => await (await weir.start(emits, ["o", size])).result(),
      "WEIR_EXECUTION_FAILED",
    ],
    "queue name, characters": [64, (size) => weir.queues.configure(text(size), { concurrency: 1 })],
    "budget name, bytes": [
      128,
      (size) => weir.budgets.allocate(text(size), { token: { hard: 1 } }),
    ],
    "dimensions of a budget": [32, (size) => weir.budgets.allocate(fresh(), dimensions(size))],
    "principal, bytes": [128, (size) => weir.grants.grant(text(size), "read", { tenant: "acme" })],
    "ledger key, bytes": [
      200,
      (size) => weir.ledgers.append(text(size), { kind: "a", payload: 1 }),
    ],
    "id of a ledger entry, bytes": [
      128,
      (size) => weir.ledgers.append("l", { kind: "a", payload: 1, id: text(size) }),
    ],
    "executions of a page": [1_000, (limit) => weir.list({ limit })],
  };

  const codeOf = async (use: Promise<unknown>): Promise<string | undefined> => {
    try {
      await use;
      return undefined;
    } catch (error) {
      return (error as { readonly code?: string }).code ?? String(error);
    }
  };

  it("tasks that are submitted at once", async () => {
    assert.equal((await weir.submitAll(several(1_000))).length, 1_000);
  });

  for (const [what, [most, use, code = "WEIR_INVALID_INPUT"]] of Object.entries(entries)) {
    it(what, async () => {
      assert.equal(await codeOf(use(most)), undefined, `${most} are let in`);
      assert.equal(await codeOf(use(most + 1)), code, `${most + 1} are not`);
    });
  }

  it("payload of a ledger entry, bytes", async () => {
    const append = (size: number) =>
      codeOf(weir.ledgers.append("l", { kind: "a", payload: text(size) }));
    assert.equal(await append(60 * 1024), undefined);
    assert.equal(await append(64 * 1024), "WEIR_PAYLOAD_TOO_LARGE");
  });

  it("body of a request, bytes", async () => {
    const handler = weirHandler({ weir, open: true });
    const status = async (size: number) => {
      const frame = JSON.stringify({ actor: "any", id: fresh(), input: "" });
      const body = frame.replace('""', JSON.stringify(text(size - frame.length)));
      assert.equal(body.length, size);
      const response = await handler(
        new Request("http://weir.test/api/v1/tasks", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body,
        }),
      );
      return response.status;
    };
    assert.deepEqual([await status(1024 * 1024), await status(1024 * 1024 + 1)], [201, 413]);
  });

  it("requests of one client in a time", async () => {
    const handler = weirHandler({
      weir,
      open: true,
      rate: { perSecond: 0.001, burst: 2, by: ({ headers }) => headers.get("x-client") ?? "" },
    });
    const status = async (client: string, path = "/api/v1/runs") => {
      const headers = { "x-client": client };
      const response = await handler(new Request(`http://weir.test${path}`, { headers }));
      return [response.status, response.headers.has("retry-after")];
    };
    assert.deepEqual(await status("a"), [200, false]);
    assert.deepEqual(await status("a"), [200, false]);
    assert.deepEqual(await status("a"), [429, true]);
    assert.deepEqual(await status("b"), [200, false]);
    assert.deepEqual(await status("a", "/healthz"), [200, false]);
  });

  it("a rate that lets nobody in is refused", () => {
    for (const rate of [{ perSecond: 0 }, { perSecond: NaN }, { perSecond: 1, burst: 0 }]) {
      assert.throws(() => weirHandler({ weir, rate }), { code: "WEIR_INVALID_INPUT" });
    }
  });
});
