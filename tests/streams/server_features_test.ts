import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { connect } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { ServerTooOld } from "../../schema/errors.ts";
import * as Connection from "../../streams/connection.ts";
import { locate } from "../../streams/server/locate.ts";
import * as ports from "../../streams/server/port.ts";
import { isAtLeast, requiredVersion } from "../../streams/server_features.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

/** Connects to what must be refused. */
const refusal = async (servers: string, nats = {}): Promise<ServerTooOld> => {
  const refused = Effect.flip(Effect.scoped(Connection.make({ servers, nats })));
  const error = await Effect.runPromise(refused);
  assert.ok(error instanceof ServerTooOld, String(error));
  return error;
};

/** Speaks as much of the protocol as it takes to be connected to, and claims to be of a version. */
const impostor = async (version: string) => {
  const server = createServer((socket) => {
    const info = { server_id: "I", version, headers: true, max_payload: 1_048_576, proto: 1 };
    socket.write(`INFO ${JSON.stringify({ ...info, jetstream: true })}\r\n`);
    socket.on("data", (data) => {
      if (data.includes("PING")) socket.write("PONG\r\n");
    });
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Ends only when every client has gone. */
    closed: () => new Promise((resolve) => server.close(resolve)),
  };
};

const refusalOfVersion = async (version: string): Promise<ServerTooOld> => {
  const server = await impostor(version);
  const error = await refusal(server.url);
  await server.closed();
  return error;
};

describe("a server that lacks something", () => {
  it("is refused with the names of the features and what to do, and left alone", async () => {
    const error = await refusalOfVersion("2.10.27");
    assert.equal(error.version, "2.10.27");
    assert.equal(error.required, requiredVersion);
    assert.deepEqual(error.missing, [
      "message TTL",
      "batched direct reads",
      "atomic batch publishing",
      "message schedules",
      "prioritised consumers",
      "repeating schedules",
    ]);
    assert.match(error.message, /2\.10\.27 lacks message TTL,.*Connect to 2\.14\.0 or later/);
    assert.equal(error.retryable, false);
  });

  it("is told what a newer one lacks, and only that", async () => {
    assert.deepEqual((await refusalOfVersion("2.13.9")).missing, ["repeating schedules"]);
  });

  it("is refused if JetStream is disabled", async () => {
    const binary = await Effect.runPromise(locate());
    const port = await Effect.runPromise(ports.free());
    const pidFile = join(scratchFolder("server"), "server.pid");
    const server = spawn(binary.path, ["-a", "127.0.0.1", "-p", String(port), "-P", pidFile], {
      stdio: "ignore",
    });
    const ended = once(server, "exit");
    const url = `nats://127.0.0.1:${port}`;
    const probe = await eventually(
      "the server listens",
      () => connect({ servers: url, reconnect: false }).catch(() => undefined),
    );
    await probe.close();
    const error = await refusal(url);
    assert.deepEqual(error.missing, ["JetStream (enable it with `-js`, or for the account)"]);
    server.kill();
    await ended;
  });

  it("is refused if JetStream is disabled for the account", async () => {
    const server = await scratchServer({
      settings: {
        accounts: {
          with: { jetstream: true, users: [{ user: "with", password: "p" }] },
          without: { users: [{ user: "without", password: "p" }] },
        },
        no_auth_user: "with",
      },
    });
    const error = await refusal(server.url, { user: "without", pass: "p" });
    assert.deepEqual(error.missing, ["JetStream (enable it with `-js`, or for the account)"]);
    await Effect.runPromise(Effect.scoped(Connection.make({ servers: server.url })));
    await server.stop();
  });
});

describe("a version", () => {
  const least = requiredVersion;
  for (
    const [version, enough] of [
      ["2.14.0", true],
      ["v2.14.0", true],
      ["2.14.1", true],
      ["2.15.1", true],
      ["2.100.0", true],
      ["3.0.0", true],
      ["2.13.99", false],
      ["2.9.25", false],
      ["1.99.99", false],
      ["2.14.0-RC.1", true],
      ["2.14.0-beta.3+build.7", true],
      ["2.13.0-RC.9", false],
      ["2.15.1-1", true],
      ["", false],
      ["2.14", false],
      ["2.14.0.1", false],
      ["2.14.x", false],
      ["nonsense", false],
      ["-2.14.0", false],
      ["unknown", false],
    ] as const
  ) {
    it(`${JSON.stringify(version)} is ${enough ? "" : "not "}at least ${least}`, () => {
      assert.equal(isAtLeast(version, least), enough);
    });
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
