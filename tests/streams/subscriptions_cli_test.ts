import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { actor, connect, type Weir } from "../../mod.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

const order = actor("order", (_, n: number) => n);

describe("what an operator sees of a durable subscription", () => {
  let server: ScratchServer;
  let weir: Weir;
  let environment: Record<string, string | undefined>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    const home = scratchFolder("home");
    const { PATH, WEIR_NATS_CLI } = process.env;
    assert.ok(WEIR_NATS_CLI, "WEIR_NATS_CLI names no NATS CLI; scripts/nats_cli.ts provides one");
    environment = { PATH, WEIR_NATS_CLI, HOME: home, XDG_CONFIG_HOME: home, NATS_URL: server.url };
    weir = await connect({ servers: server.url, tenant: "acme" });
    await weir.worker([order]);
    for (const id of ["o-1", "o-2"]) await (await weir.start(order, 1, { id })).result();
    for await (const _ of weir.completions({ durable: "billing", after: "earliest" })) break;
    await eventually("what was in hand is given back", async () => {
      const [found] = await weir.subscriptions.list();
      return found?.waiting === 0 || undefined;
    });
  });
  after(async () => {
    await weir.close();
    await server.stop();
  });

  /** Runs the CLI to its end. */
  const nats = async (...options: ReadonlyArray<string>): Promise<string> => {
    const { stdout } = await promisify(execFile)(environment["WEIR_NATS_CLI"]!, options, {
      env: environment,
      timeout: 30_000,
    });
    return stdout;
  };

  it("`consumer ls` has it under the family's name and its own", async () => {
    const names = (await nats("consumer", "ls", "KV_weir", "--names")).trim().split("\n");
    assert.ok(names.includes("completions-billing"), names.join());
  });

  it("`consumer info` shows what it means and how far behind it is", async () => {
    const info = JSON.parse(await nats("consumer", "info", "KV_weir", "completions-billing", "-j"));
    const { metadata, filter_subject, description, ack_policy } = info.config;
    assert.equal(filter_subject, "weir.done.*.*.acme.*");
    assert.equal(description, "Weir: the subscription billing of completions");
    assert.equal(ack_policy, "explicit");
    const { "weir.generation": generation, ...labels } = Object.fromEntries(
      Object.entries(metadata).filter(([name]) => name.startsWith("weir.")),
    );
    assert.deepEqual(labels, {
      "weir.layout": "1",
      "weir.family": "completions",
      "weir.subscription": "billing",
      "weir.filter": JSON.stringify({ tenant: "acme" }),
    });
    assert.match(String(generation), /^\d+$/);
    assert.equal(info.num_pending + info.num_ack_pending, 2);
  });

  it("`kv get` shows where it began and up to where all is handled", async () => {
    const record = await nats("kv", "get", "weir", "subscription.completions.billing", "--raw");
    const { v, kind, filter, handled } = JSON.parse(record);
    assert.deepEqual({ v, kind, filter }, {
      v: 1,
      kind: "subscription",
      filter: { tenant: "acme" },
    });
    assert.equal(handled.length, 1);
  });

  it("a consumer that an operator deletes comes back, and what it had not handled with it", async () => {
    await nats("consumer", "rm", "KV_weir", "completions-billing", "-f");
    const seen = new Set<string>();
    for await (const { executionId } of weir.completions({ durable: "billing" })) {
      seen.add(executionId);
      if (seen.size === 2) break;
    }
    assert.deepEqual([...seen].sort(), ["order/o-1", "order/o-2"]);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
