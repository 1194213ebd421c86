/** A disk of the server's own that fills up, which takes a mount, and so a root user. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";

const sizeMiB = 48;
const block = Buffer.alloc(64 * 1024, 1);

/** Writes until nothing more goes in. */
const fill = (file: string): void => {
  const descriptor = openSync(file, "w");
  try {
    for (;;) writeSync(descriptor, block);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
  } finally {
    closeSync(descriptor);
  }
};

it("a disk that is full loses nothing that was accepted, and all ends when there is space again", async () => {
  const server = await scratchServer({ durability: "power-safe" });
  await server.kill();
  const disk = join(server.store, "jetstream");
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "tmpfs", disk]);
  try {
    await server.restart();
    await using scene = await openScene(server, {
      namespace: "disk",
      serve: { residentGrace: "500 millis", leaseTtl: "3 seconds" },
    });
    const { weir, actors: { tally } } = scene;
    await scene.launch("worker");
    const filler = join(disk, "filler");
    const accepted: Array<number> = [];
    const refused: Array<unknown> = [];
    let isOver = false;
    const client = (async () => {
      for (let i = 0; !isOver; i++) {
        await weir.start(tally, { n: i, napMs: 200 }, { id: `tally-${i}` }).then(
          () => accepted.push(i),
          (error) => refused.push(error),
        );
        await pause(20);
      }
    })();
    await eventually("some are accepted", () => accepted.length > 20 || undefined);
    fill(filler);
    const before = accepted.length;
    await eventually("one is refused", () => refused.length > 0 || undefined, 90_000);
    for (const error of refused) assert.match((error as { code?: string }).code ?? "", /^WEIR_/);
    rmSync(filler);
    // Without that nats-server 2.15 refuses every write for good.
    await server.restart();
    const since = accepted.length;
    await eventually(
      "others are accepted",
      () => accepted.length > since + 20 || undefined,
      90_000,
    );
    isOver = true;
    await client;
    assert.ok(before > 20 && accepted.length > before);
    const results = accepted.map((i) => weir.get(tally, `tally-${i}`).result());
    assert.deepEqual(
      await scene.inTime("their results", Promise.all(results)),
      accepted.map((i) => 2 * i + 1),
    );
    await scene.noneIsStuck();
  } finally {
    await server.kill();
    execFileSync("umount", [disk]);
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
