import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import * as ConfigProvider from "effect/ConfigProvider";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Namespace from "../../streams/namespace.ts";
import { Connection } from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { body, tenant, uniqueExecution } from "../conformance/subject_matter.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

interface PingOptions {
  readonly pingInterval: number;
  readonly maxPingOut: number;
}

const withServer = async <A, E>(
  use: (url: string) => Effect.Effect<A, E>,
): Promise<void> => {
  const server = await scratchServer({ durability: "bounded" });
  try {
    await Effect.runPromise(use(server.url));
  } finally {
    await server.stop();
  }
};

describe("a connection", () => {
  it("that closes for good ends what waits for it, and what comes later, with an error", () =>
    withServer((servers) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const { nats } = yield* Connection;
        const address = executionAddress(log.layout, tenant, uniqueExecution());
        const append = log.append(address, { kind: "log", body: body("x") });
        yield* append;
        yield* Effect.promise(() => nats.close());
        const failure = <A, E>(use: Effect.Effect<A, E>) =>
          Effect.flip(Effect.timeout(use, "5 seconds"));
        for (
          const error of [
            yield* failure(append),
            yield* failure(log.last(address, "log")),
            yield* failure(log.tail(0)),
          ]
        ) assert.equal(error._tag, "Unavailable");
      }).pipe(Effect.provide(Namespace.layer({ servers })))
    ));

  it("to nobody fails with the address that was tried, without its credentials", async () => {
    const error = await Effect.runPromise(Effect.flip(
      Effect.scoped(
        Effect.provide(Log, Namespace.layer({ servers: "nats://ana:secret@127.0.0.1:9" })),
      ),
    ));
    assert.ok(error._tag === "ConnectionFailed");
    assert.deepEqual(error.servers, ["nats://127.0.0.1:9"]);
    assert.ok(!error.message.includes("secret"));
  });

  it("that is still being made is given up when its scope is", async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const nats = { timeout: 600_000 };
    const making = Effect.runFork(Effect.scoped(
      Effect.provide(Connection, Namespace.layer({ servers: `nats://127.0.0.1:${port}`, nats })),
    ));
    await eventually("it was dialled", () => sockets.size > 0 || undefined);
    let isOver = false;
    Effect.runFork(Fiber.interrupt(making)).addObserver(() => isOver = true);
    try {
      await eventually("it was given up", () => isOver || undefined, 10_000);
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it("is to the store that is named, whatever the environment says", async () => {
    const store = scratchFolder("store");
    const elsewhere = ConfigProvider.fromUnknown({ NATS_URL: "nats://127.0.0.1:9" });
    const { server } = await Effect.runPromise(
      Effect.provide(Connection, Namespace.layer({ embedded: { store } })).pipe(
        Effect.provide(ConfigProvider.layer(elsewhere)),
      ),
    );
    assert.equal(server?.store, store);
  });

  it("to servers and to the embedded one at once is refused, without their credentials", async () => {
    const error = await Effect.runPromise(Effect.flip(Effect.scoped(Effect.provide(
      Connection,
      Namespace.layer({ servers: "nats://ana:secret@127.0.0.1:9", embedded: { store: "any" } }),
    ))));
    assert.equal(error._tag, "InvalidInput");
    assert.match(
      error.message,
      /^servers "nats:\/\/127\.0\.0\.1:9" is refused: goes with no embedded store/,
    );
  });

  it("leaves a server that falls silent after half a minute, unless told otherwise", () =>
    withServer((servers) =>
      Effect.gen(function* () {
        for (const [nats, forMs] of [[{}, 30_000], [{ pingInterval: 500 }, 1_500]] as const) {
          const connection = yield* Effect.provide(
            Connection,
            Namespace.layer({ servers, nats }),
          );
          // The client counts the pings; that it does is its own matter.
          const { options } = connection.nats as unknown as { readonly options: PingOptions };
          assert.equal(options.pingInterval * (options.maxPingOut + 1), forMs);
        }
      })
    ));

  it("that is given up ends no process by what its socket says then", async () => {
    const server = await scratchServer({ durability: "bounded" });
    const socketOf = ({ nats }: Connection["Service"]) =>
      (nats as unknown as { readonly protocol: { readonly transport: { socket: Socket } } })
        .protocol.transport.socket;
    const use = Effect.gen(function* () {
      const connection = yield* Connection;
      const first = socketOf(connection);
      let hasReconnected = false;
      yield* connection.listen({
        disconnected: () => {},
        reconnected: () => hasReconnected = true,
        closed: () => {},
      });
      yield* Effect.promise(() => server.restart());
      yield* Effect.promise(() => eventually("it is back", () => hasReconnected || undefined));
      const second = socketOf(connection);
      assert.notEqual(second, first);
      // As the client does it.
      second.removeAllListeners();
      const isClosed = new Promise<void>((resolve) => second.on("close", () => resolve()));
      second.destroy(new Error("write after end"));
      yield* Effect.promise(() => isClosed);
    });
    try {
      await Effect.runPromise(
        use.pipe(Effect.scoped, Effect.provide(Namespace.layer({ servers: server.url }))),
      );
    } finally {
      await server.stop();
    }
  });

  it("of unknown durability says so, and one described says what it was told", () =>
    withServer((servers) =>
      Effect.gen(function* () {
        for (const durability of [undefined, "bounded"] as const) {
          const options = durability === undefined ? { servers } : { servers, durability };
          const connection = yield* Effect.provide(Connection, Namespace.layer(options));
          assert.equal(connection.durability, durability ?? "unknown");
        }
      })
    ));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
