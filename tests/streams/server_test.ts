import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { connect } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { InvalidInput, ServerFailed, ServerNotFound } from "../../schema/errors.ts";
import { Connection, layer } from "../../streams/connection.ts";
import { acquire } from "../../streams/server.ts";
import { locate } from "../../streams/server/locate.ts";
import { gone, open, publish, publishOn, use } from "../fixtures/embedded_server.ts";
import { eventually, killProcess, leftovers, scratchFolder } from "../fixtures/server.ts";

const newStore = () => join(scratchFolder("store"), "my weir");

const failure = (options: Parameters<typeof acquire>[0]) =>
  Effect.runPromise(Effect.flip(Effect.scoped(acquire(options))));

/** A program that says it is a nats-server and then does what `body` says. */
const fakeServer = async (body: string): Promise<string> => {
  const path = join(scratchFolder("fake"), "nats-server");
  await writeFile(
    path,
    `#!/bin/sh\n[ "$1" = --version ] && { echo "nats-server: v2.15.1"; exit; }\n${body}\n`,
  );
  await chmod(path, 0o755);
  return path;
};

/** A real nats-server that does not start while it is broken. */
const breakableServer = async () => {
  const { path } = await Effect.runPromise(locate());
  const folder = scratchFolder("broken");
  const broken = join(folder, "broken");
  return {
    binary: await fakeServer(
      `[ -e "${broken}" ] && { echo x >>"${folder}/failures"; exit 1; }; exec "${path}" "$@"`,
    ),
    breaks: () => writeFile(broken, ""),
    mends: () => rm(broken),
    failures: () =>
      readFile(join(folder, "failures"), "utf8").then((all) => all.length / 2, () => 0),
  };
};

describe("the embedded server", () => {
  it("starts, stores, and ends within 5 seconds after its last user", async () => {
    const { server, release } = await use({ store: newStore() });
    assert.match(server.url, /^nats:\/\/weir:[0-9a-f]{48}@127\.0\.0\.1:\d+$/);
    assert.match(server.version, /^2\.\d+\.\d+/);
    assert.equal(server.durability, "power-safe");
    assert.equal(await publish(server.url), 1);
    await release();
    await gone(server.pid);
  });

  it("keeps data, port and credentials for its next start", async () => {
    const store = newStore();
    const first = await use({ store });
    await publish(first.server.url);
    await first.release();
    await gone(first.server.pid);
    const second = await use({ store });
    assert.notEqual(second.server.pid, first.server.pid);
    assert.equal(second.server.url, first.server.url);
    assert.equal(await publish(second.server.url), 2);
    await second.release();
  });

  it("is closed to other users of the machine and to whoever lacks the password", async () => {
    const { server, release } = await use({ store: newStore() });
    const mode = async (path: string) => (await stat(path)).mode & 0o777;
    assert.equal(await mode(server.store), 0o700);
    const files = (await readdir(server.store)).filter((name) => name !== "jetstream");
    assert.ok(files.some((name) => name.startsWith("open.")));
    for (const name of files) assert.equal(await mode(join(server.store, name)), 0o600, name);
    await assert.rejects(open(server.url.replace(/:[0-9a-f]{48}@/, ":wrong@")), /auth/i);
    await release();
  });

  it("listens to this machine alone, and to nobody without its credentials", async () => {
    const { server, release } = await use({ store: newStore() });
    const { port, password } = new URL(server.url);
    for (const options of [{}, { user: "weir" }, { user: "weir", pass: "" }, { token: password }]) {
      const opening = connect({ servers: `127.0.0.1:${port}`, reconnect: false, ...options });
      await assert.rejects(opening, /auth/i, JSON.stringify(Object.keys(options)));
    }
    // Where the kernel has it listen, in hexadecimal: 127.0.0.1 and the port.
    const suffix = `:${Number(port).toString(16).toUpperCase().padStart(4, "0")}`;
    const listening = (await Promise.all(
      ["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
    )).flatMap((text) => text.split("\n").map((line) => line.trim().split(/\s+/)))
      .filter(([, local, , state]) => state === "0A" && local?.endsWith(suffix));
    assert.deepEqual(listening.map(([, local]) => local), [`0100007F${suffix}`]);
    await release();
  });

  it("is reached over another name of the same folder", async () => {
    const store = newStore();
    const first = await use({ store });
    const second = await use({ store: join(store, "..", "my weir", ".") });
    assert.equal(second.server.pid, first.server.pid);
    await Promise.all([first.release(), second.release()]);
  });

  it("refuses another durability than the one that it runs with", async () => {
    const store = newStore();
    const { server, release } = await use({ store, durability: "bounded" });
    const settings = await readFile(join(server.store, "open.1.json"), "utf8");
    assert.equal(JSON.parse(settings).jetstream.sync_interval, "100ms");
    const error = await failure({ store, durability: "power-safe" });
    assert.ok(error instanceof ServerFailed);
    assert.match(error.reason, /durability bounded, not power-safe/);
    await release();
    await gone(server.pid);
    const second = await use({ store });
    assert.equal(second.server.durability, "power-safe");
    await second.release();
  });

  it("refuses settings that are none, before anything is started", async () => {
    const store = newStore();
    for (const maxStorageBytes of [NaN, 0, -1, 0.5, 1e30, "5GB" as unknown as number]) {
      const error = await failure({ store, maxStorageBytes });
      assert.ok(error instanceof InvalidInput, String(maxStorageBytes));
      assert.match(error.message, /^embedded\.maxStorageBytes ".*" is refused: expected /);
    }
    const error = await failure({ store, durability: "fast" as "bounded" });
    assert.ok(error instanceof InvalidInput);
    assert.match(error.message, /^embedded\.durability "fast" is refused: expected .*power-safe/);
    await assert.rejects(stat(store), { code: "ENOENT" });
  });

  it("refuses another limit than the one that it runs with", async () => {
    const store = newStore();
    const { server, release } = await use({ store, maxStorageBytes: 1024 ** 2 });
    const error = await failure({ store, maxStorageBytes: 1024 ** 3 });
    assert.ok(error instanceof ServerFailed);
    assert.match(error.reason, /maxStorageBytes 1048576, not 1073741824/);
    await release();
    await gone(server.pid);
    const second = await use({ store });
    const settings = await readFile(join(server.store, "open.2.json"), "utf8");
    assert.equal(JSON.parse(settings).jetstream.max_file_store, 1024 ** 2);
    await second.release();
  });

  it("is joined as it runs by who asks for nothing, and comes back so", async () => {
    const store = newStore();
    const first = await use({ store, durability: "bounded", maxStorageBytes: 1024 ** 2 });
    const second = await use({ store });
    assert.equal(second.server.durability, "bounded");
    await first.release();
    const { pid } = second.server;
    killProcess(pid);
    await eventually("the server is there again", () => second.server.pid !== pid || undefined);
    assert.equal(second.server.durability, "bounded");
    const third = await use({ store, durability: "bounded", maxStorageBytes: 1024 ** 2 });
    assert.equal(third.server.pid, second.server.pid);
    await Promise.all([second.release(), third.release()]);
  });

  it("is waited for by who asks for something else, when its last user has just gone", async () => {
    const store = newStore();
    const first = await use({ store });
    const { pid } = first.server;
    await first.release();
    const second = await use({ store, durability: "bounded" });
    assert.notEqual(second.server.pid, pid);
    assert.equal(second.server.durability, "bounded");
    await second.release();
  });

  it("is left to its users by who asks for another, however often it is killed", async () => {
    const store = newStore();
    const first = await use({ store, durability: "power-safe" });
    const waiting = failure({ store, durability: "bounded" });
    for (let i = 0; i < 12; i++) {
      const { pid } = first.server;
      process.kill(pid, "SIGKILL");
      await eventually("it is back", () => first.server.pid !== pid || undefined);
    }
    const error = await waiting;
    assert.ok(error instanceof ServerFailed);
    assert.match(error.reason, /running for another process with durability power-safe/);
    assert.equal(first.server.durability, "power-safe");
    await first.release();
  });

  it("takes another port when someone has taken its own", async () => {
    const store = newStore();
    const first = await use({ store });
    await publish(first.server.url);
    await first.release();
    await gone(first.server.pid);
    const stranger = createServer();
    await new Promise<void>((resolve) =>
      stranger.listen(Number(new URL(first.server.url).port), "127.0.0.1", resolve)
    );
    const second = await use({ store });
    assert.notEqual(second.server.url, first.server.url);
    assert.equal(await publish(second.server.url), 2);
    await second.release();
    await new Promise((resolve) => stranger.close(resolve));
  });

  it("is tried again when it ends while it starts", async () => {
    const { path } = await Effect.runPromise(locate());
    const binary = await fakeServer(`[ -e tried ] && exec "${path}" "$@"; : >tried; exit 1`);
    const { server, release } = await use({ store: newStore(), binary });
    assert.equal(await publish(server.url), 1);
    await release();
  });

  it("fails with the end of its log when it cannot start", async () => {
    const binary = await fakeServer(`echo "the disk is on fire" >&2; exit 1`);
    const error = await failure({ store: newStore(), binary });
    assert.ok(error instanceof ServerFailed);
    assert.match(error.reason, /ended 3 times while it started/);
    assert.match(error.message, /the disk is on fire/);
  });

  it("fails when the store cannot be a folder", async () => {
    const file = join(scratchFolder(), "file");
    await writeFile(file, "");
    const error = await failure({ store: join(file, "store") });
    assert.ok(error instanceof ServerFailed);
    assert.match(error.reason, /cannot be created/);
  });

  it("fails when the store cannot be written", async () => {
    const error = await failure({ store: process.platform === "linux" ? "/proc/self" : "/dev" });
    assert.ok(error instanceof ServerFailed);
    assert.notEqual(error.reason, "");
  });

  it("fails when no binary is usable", async () => {
    const binary = join(scratchFolder(), "none");
    assert.ok(await failure({ store: newStore(), binary }) instanceof ServerNotFound);
  });

  it("leaves nothing running when its start is interrupted", async () => {
    const store = newStore();
    await mkdir(store, { recursive: true });
    const controller = new AbortController();
    const starting = Effect.runPromise(
      Effect.scoped(Effect.andThen(acquire({ store }), Effect.never)),
      {
        signal: controller.signal,
      },
    );
    await eventually(
      "a keeper is there",
      async () => (await readdir(store)).includes("keeper.1") || undefined,
    );
    controller.abort();
    await assert.rejects(starting);
  });

  it("comes back on the same port when it is killed, and clients reconnect", async () => {
    const { server, release } = await use({ store: newStore() });
    const connection = await open(server.url);
    assert.equal(await publishOn(connection), 1);
    const { pid, url } = server;
    killProcess(pid);
    await eventually("the server is there again", () => server.pid !== pid || undefined);
    assert.equal(server.url, url);
    const again = await eventually(
      "the client is back",
      () => publishOn(connection).catch(() => undefined),
    );
    assert.equal(again, 2);
    await connection.close();
    await release();
  });

  it("keeps its port however often it cannot start again", async () => {
    const { binary, breaks, mends, failures } = await breakableServer();
    const { server, release } = await use({ store: newStore(), binary });
    const { pid, url } = server;
    await breaks();
    killProcess(pid);
    await eventually(
      "it has failed more often than one start may",
      async () => await failures() > 6 || undefined,
    );
    await mends();
    await eventually("the server is there again", () => server.pid !== pid || undefined);
    assert.equal(server.url, url);
    await release();
  });

  for (const stranger of ["says nothing", "refuses the password"]) {
    it(`is followed to another port by its clients when who takes its own ${stranger}`, async () => {
      const { binary, breaks, mends, failures } = await breakableServer();
      const sockets = new Set<Socket>();
      let asked = 0;
      const taker = createServer((socket) => {
        sockets.add(socket);
        socket.on("error", () => {});
        if (stranger === "says nothing") return;
        socket.write(`INFO {"version":"2.15.1","max_payload":1048576,"auth_required":true}\r\n`);
        socket.once("data", () => {
          asked++;
          socket.end("-ERR 'Authorization Violation'\r\n");
        });
      });
      await Effect.runPromise(
        Effect.gen(function* () {
          const { nats, server } = yield* Connection;
          const { pid, url } = server!;
          yield* Effect.promise(async () => {
            await breaks();
            killProcess(pid);
            await eventually("it has failed", async () => await failures() > 0 || undefined);
            await new Promise<void>((resolve) =>
              taker.listen(Number(new URL(url).port), "127.0.0.1", resolve)
            );
            if (stranger !== "says nothing") {
              await eventually("the stranger has refused", () => asked > 2 || undefined);
            }
            await mends();
            await eventually("the server is elsewhere", () => server!.url !== url || undefined);
            const sequence = await eventually(
              "the client is there",
              () => publishOn(nats).catch(() => undefined),
            );
            assert.equal(sequence, 1);
          });
        }).pipe(Effect.provide(layer({ embedded: { store: newStore(), binary } }))),
      );
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => taker.close(resolve));
    });
  }

  it("nothing is left", async () => {
    assert.deepEqual(await leftovers(), []);
  });
});
