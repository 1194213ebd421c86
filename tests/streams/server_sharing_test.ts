import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import {
  gone,
  isAlive,
  publish,
  startUser,
  storeProcesses,
  use,
} from "../fixtures/embedded_server.ts";
import { eventually, leftovers, scratchFolder } from "../fixtures/server.ts";

describe("processes that name one store", () => {
  it("share one server, and it ends within 5 seconds after the last of them", async () => {
    const store = scratchFolder("store");
    const { server, release } = await use({ store });
    const other = startUser(store);
    assert.deepEqual(await other.ready, { url: server.url, pid: server.pid });
    assert.equal(await publish(server.url), 1);
    assert.deepEqual(await other.ask("publish"), { sequence: 2 });
    await release();
    assert.deepEqual(await other.ask("publish"), { sequence: 3 });
    await other.end();
    await gone(server.pid);
  });

  it("do not notice when the one that started it is killed", async () => {
    const store = scratchFolder("store");
    const starter = startUser(store);
    const { pid } = await starter.ready;
    const { server, release } = await use({ store });
    assert.equal(server.pid, pid);
    await starter.kill();
    assert.equal(await publish(server.url), 1);
    assert.equal(server.pid, pid);
    await release();
    await gone(pid);
  });

  it("do not notice when the terminal of the one that started it sends an interrupt", async () => {
    const store = scratchFolder("store");
    const starter = startUser(store);
    const { pid } = await starter.ready;
    const { server, release } = await use({ store });
    await starter.kill("SIGINT");
    assert.equal(await publish(server.url), 1);
    assert.equal(server.pid, pid);
    await release();
  });

  it("lose the server within 5 seconds after the last of them is killed", async () => {
    const store = scratchFolder("store");
    const users = [startUser(store), startUser(store)];
    const [{ pid }] = await Promise.all([users[0]!.ready, users[1]!.ready]);
    await Promise.all(users.map((user) => user.kill()));
    await gone(pid);
  });

  it("do not hand their place to the programs that they start", async () => {
    const store = scratchFolder("store");
    const user = startUser(store);
    const { pid } = await user.ready;
    const program = await user.ask<{ pid: number }>("spawn");
    await user.kill();
    await gone(pid);
    assert.ok(isAlive(program.pid));
    process.kill(program.pid);
  });

  it("start one server, however many of them start at once", async () => {
    const store = scratchFolder("store");
    const users = Array.from({ length: 10 }, () => startUser(store));
    const ready = await Promise.all(users.map((user) => user.ready));
    assert.equal(new Set(ready.map(({ url, pid }) => `${url} ${pid}`)).size, 1);
    assert.deepEqual(storeProcesses(store).servers, [ready[0]!.pid]);
    const log = await readFile(join(store, "server.log"), "utf8");
    assert.equal(log.match(/Starting nats-server/g)?.length, 1);
    await Promise.all(users.map((user) => user.kill()));
    await gone(ready[0]!.pid);
  });

  it("get a running server when they come while the last one is ending", async () => {
    const store = scratchFolder("store");
    let published = 0;
    for (let round = 0; round < 5; round++) {
      const { server, release } = await use({ store });
      assert.equal(await publish(server.url), ++published);
      await release();
      await eventually(
        "the store is closed",
        async () => (await readdir(store)).every((name) => !name.startsWith("open.")) || undefined,
      );
    }
  });

  it("start it again when a starter was killed on the way", async () => {
    const store = scratchFolder("store");
    for (let generation = 1; generation <= 3; generation++) {
      const starter = startUser(store);
      await eventually(
        "a keeper is there",
        async () => (await readdir(store)).includes(`keeper.${generation}`) || undefined,
      );
      await starter.kill();
      const { servers } = storeProcesses(store);
      assert.ok(servers.length <= 1);
      await Promise.all(servers.map(gone));
      await eventually(
        "the keeper has ended",
        () => storeProcesses(store).keeper === undefined || undefined,
      );
    }
    const { server, release } = await use({ store });
    assert.equal(await publish(server.url), 1);
    await release();
  });

  it("nothing is left", async () => {
    assert.deepEqual(await leftovers(), []);
  });
});
