import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { start } from "../../streams/server/keeper.ts";
import { locate } from "../../streams/server/locate.ts";
import {
  gone,
  open,
  publish,
  publishOn,
  startUser,
  type StoreProcesses,
  storeProcesses,
  use,
} from "../fixtures/embedded_server.ts";
import { eventually, killProcess, leftovers, scratchFolder } from "../fixtures/server.ts";

/** Kills what `victims` picks while two processes use the server, and sees that both go on. */
const survives = async (
  victims: (processes: StoreProcesses) => ReadonlyArray<number | undefined>,
): Promise<void> => {
  const store = scratchFolder("store");
  const other = startUser(store);
  const first = await other.ready;
  const { server, release } = await use({ store });
  const connection = await open(server.url);
  assert.equal(await publishOn(connection), 1);

  for (const pid of victims(storeProcesses(store))) {
    assert.ok(pid !== undefined);
    killProcess(pid);
  }
  await gone(first.pid);
  await eventually("the server is there again", () => server.pid !== first.pid || undefined);
  assert.equal(server.url, first.url);
  assert.deepEqual(storeProcesses(store).servers, [server.pid]);
  const sequence = await eventually(
    "the client is back",
    () => publishOn(connection).catch(() => undefined),
  );
  assert.equal(sequence, 2);
  assert.deepEqual(await other.ask("publish"), { sequence: 3 });

  await connection.close();
  await release();
  assert.deepEqual(await other.ask("publish"), { sequence: 4 });
  await other.kill();
  await gone(server.pid);
};

/** Kills a helper of the keeper, which nobody may notice. */
const outlives = async (victim: (processes: StoreProcesses) => number | undefined) => {
  const store = scratchFolder("store");
  const { server, release } = await use({ store });
  const { pid } = server;
  killProcess(victim(storeProcesses(store))!);
  assert.equal(await publish(server.url), 1);
  assert.equal(server.pid, pid);
  await release();
  await gone(pid);
  await eventually(
    "the keeper has ended",
    () => storeProcesses(store).keeper === undefined || undefined,
  );
};

describe("the embedded server, when it is killed", () => {
  it("comes back for all of its users when nats-server is killed", () =>
    survives(({ servers }) => servers));

  it("comes back for all of its users when the keeper is killed", () =>
    survives(({ keeper }) => [keeper]));

  it("comes back for all of its users when everything is killed", () =>
    survives(({ servers, keeper, waiter, guard }) => [keeper, waiter, guard, ...servers]));

  it("serves on and ends in time when the process that waits for it is killed", () =>
    outlives(({ waiter }) => waiter));

  it("serves on and ends in time when the guard is killed", () => outlives(({ guard }) => guard));

  it("ends when the keeper is killed while nobody uses it", async () => {
    const store = scratchFolder("store");
    const { server, release } = await use({ store });
    const { keeper } = storeProcesses(store);
    await release();
    killProcess(keeper!);
    await gone(server.pid);
  });

  it("starts on what a power cut left behind", async () => {
    const store = scratchFolder("store");
    const { server, release } = await use({ store });
    await publish(server.url);
    await release();
    await gone(server.pid);
    execFileSync("mkfifo", ["keeper.7", "keeper.12", "claim.12.34", "leash"], { cwd: store });
    await rename(join(store, "closed.1.json"), join(store, "open.7.json"));
    await writeFile(join(store, "server.pid"), String(process.pid));
    const second = await use({ store });
    assert.equal(second.server.url, server.url);
    assert.notEqual(second.server.pid, process.pid);
    assert.equal(await publish(second.server.url), 2);
    const left = (await readdir(store)).filter((name) => /^(keeper|claim|leash|closed)/.test(name));
    assert.deepEqual(left, ["keeper.13"]);
    await second.release();
  });

  it("starts nothing for a starter that died before it had said how", async () => {
    const { path: binary } = await Effect.runPromise(locate());
    for (const said of ["", `{"host":"127.0.0.1"`]) {
      const store = scratchFolder("store");
      const keeper = await Effect.runPromise(start({ store, generation: 1, binary }));
      const ended = new Promise((resolve) => keeper.once("close", resolve));
      keeper.stdin.end(said);
      assert.equal(await ended, 1);
      assert.deepEqual(await readdir(store), ["keeper.1"]);
      const { server, release } = await use({ store });
      assert.equal(await publish(server.url), 1);
      await release();
    }
  });

  it("starts with new credentials when the old ones were half written", async () => {
    const store = scratchFolder("store");
    await writeFile(join(store, "open.3.json"), `{"host":"127.0.`);
    const { server, release } = await use({ store });
    assert.equal(await publish(server.url), 1);
    await release();
  });

  it("nothing is left", async () => {
    assert.deepEqual(await leftovers(), []);
  });
});
