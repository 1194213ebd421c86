/** What the page on operations tells to do, done: its permissions, and a backup that is restored. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { actor, connect, type ConnectOptions, signal } from "../../mod.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

/** The sources may lie elsewhere, compiled. */
const repository = (folder = dirname(fileURLToPath(import.meta.url))): string =>
  existsSync(join(folder, "README.md")) ? folder : repository(dirname(folder));

const approval = signal<{ by: string }>("approval");
const large = "A".repeat(200_000);

const ship = actor("ship", (ctx, item: string) => ctx.run("label", () => `label of ${item}`));
const order = actor("order", async (ctx, item: string) => {
  await ctx.emit("progress", "begun");
  await ctx.tag("team.name", "checkout");
  const label = await ctx.call(ship, item);
  const { by } = await ctx.wait(approval);
  await ctx.outbox.add("order.approved", { by });
  return { label, by, large };
});

/** The user of the page, who may touch one namespace. */
const readPermissions = async () => {
  const page = await readFile(join(repository(), "docs", "operations.md"), "utf8");
  const [, publish = "", subscribe = ""] =
    /^acme: \{\s+publish: \[(.*?)\]\s+subscribe: \[(.*?)\]/ms.exec(page) ?? [];
  const subjects = (list: string) => [...list.matchAll(/"([^"]+)"/g)].map(([, subject]) => subject);
  return { publish: subjects(publish), subscribe: subjects(subscribe) };
};

describe("operations, as the page tells", () => {
  let servers: ReadonlyArray<ScratchServer> = [];
  const optionsOf = (server: ScratchServer, namespace = "acme"): ConnectOptions => ({
    servers: server.url,
    namespace,
    nats: { user: "acme", pass: "acme", inboxPrefix: "_INBOX_acme" },
  });

  before(async () => {
    const permissions = await readPermissions();
    assert.ok(permissions.publish.length > 10 && permissions.subscribe.length > 1);
    const users = [
      { user: "operator", password: "operator" },
      { user: "acme", password: "acme", permissions },
    ];
    const settings = { authorization: { users }, no_auth_user: "operator" };
    servers = [await scratchServer({ settings }), await scratchServer({ settings })];
  });
  after(async () => {
    for (const server of servers) await server.stop();
  });

  it("an operator makes the streams, and a user of one namespace needs no more", async () => {
    const [server] = servers as [ScratchServer];
    const provision = actor("provision", () => large);
    {
      await using weir = await connect({ servers: server.url, namespace: "acme" });
      await using _worker = await weir.worker([provision]);
      await (await weir.start(provision, undefined)).result();
      await eventually(
        "the list has it",
        async () => (await weir.list()).executions.length > 0 || undefined,
        30_000,
      );
    }

    await using weir = await connect(optionsOf(server));
    await using _worker = await weir.worker([order, ship], { residentGrace: "100 millis" });
    const run = await weir.start(order, "tea", { id: "o-1" });
    await run.signal(approval, { by: "ana" });
    assert.deepEqual(await run.result(), { label: "label of tea", by: "ana", large });
    for await (const { frame } of run.output("progress")) assert.equal(frame, "begun");
    const stop = new AbortController();
    for await (
      const { executionId } of weir.completions({
        durable: "billing",
        after: "earliest",
        signal: stop.signal,
      })
    ) {
      if (executionId === "order/o-1") stop.abort();
    }
    assert.equal((await weir.subscriptions.list()).length, 1);
    await weir.events.append("order/o-1", undefined, {
      type: "custom",
      eventType: "noted",
      data: {},
    });

    const waiting = await weir.start(order, "pot", { id: "o-2" });
    await eventually(
      "it waits, and nobody has it",
      async () => (await waiting.describe()).status === "suspended" || undefined,
      30_000,
    );
  });

  it("that user is refused elsewhere", async () => {
    const [server] = servers as [ScratchServer];
    await assert.rejects(connect(optionsOf(server, "weir")), { code: "WEIR_SERVER_REFUSED" });
  });

  it("what was under way goes on from a backup on another server", async () => {
    const [from, to] = servers as [ScratchServer, ScratchServer];
    const folder = scratchFolder("backup");
    const cli = process.env["WEIR_NATS_CLI"];
    assert.ok(cli, "WEIR_NATS_CLI names no NATS CLI; scripts/nats_cli.ts provides one");
    const nats = (url: string, ...options: ReadonlyArray<string>) =>
      promisify(execFile)(cli, ["--server", url, ...options, "--no-progress"], {
        env: { PATH: process.env["PATH"], HOME: folder, XDG_CONFIG_HOME: folder },
        timeout: 60_000,
      });
    for (const stream of ["KV_acme", "OBJ_acme"]) {
      await nats(from.url, "stream", "backup", stream, join(folder, stream));
      await nats(to.url, "stream", "restore", join(folder, stream));
    }

    // The list is made anew, by whoever may create its stream.
    await using weir = await connect({ servers: to.url, namespace: "acme" });
    await using _worker = await weir.worker([order, ship]);
    assert.deepEqual((await weir.get(order, "o-1").result()).by, "ana");
    const run = weir.get(order, "o-2");
    await run.signal(approval, { by: "bo" });
    assert.deepEqual(await run.result(), { label: "label of pot", by: "bo", large });
    await eventually(
      "the list has them again",
      async () => (await weir.list({ actor: order })).executions.length === 2 || undefined,
      30_000,
    );
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
