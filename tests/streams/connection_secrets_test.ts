import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { nkeyAuthenticator, nkeys } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import { connect } from "../../mod.ts";
import { type ConnectionOptions, make } from "../../streams/connection.ts";
import { leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

const secret = "planted/s3cret";
const encoded = encodeURIComponent(secret);

const opened = (options: ConnectionOptions) =>
  Effect.runPromise(
    Effect.scoped(Effect.flatMap(make(options), ({ nats }) => Effect.promise(() => nats.rtt()))),
  );

const isOpen = (options: ConnectionOptions): Promise<true | undefined> =>
  opened(options).then(() => true, () => undefined);

const refusalOf = (options: ConnectionOptions) =>
  Effect.runPromise(Effect.scoped(Effect.flip(make(options))));

/** Every way in which an error is shown. */
const everything = (error: unknown): string =>
  [
    String(error),
    JSON.stringify(error),
    inspect(error, { depth: 20, showHidden: true }),
    (error as Error).stack,
    String((error as Error).cause),
  ].join("\n");

const assertSilent = (error: unknown, ...secrets: ReadonlyArray<string>) => {
  const told = everything(error);
  for (const each of secrets) assert.ok(!told.includes(each), `it tells ${each}: ${told}`);
};

const settings = (file: string) =>
  fileURLToPath(new URL(`../fixtures/tls/${file}`, import.meta.url));

describe("a connection that fails tells no secret", () => {
  const servers: Readonly<Record<string, string>> = {
    "a password": `nats://ana:${encoded}@127.0.0.1:9`,
    "a password with an @": `nats://ana:x@${encoded}@127.0.0.1:9`,
    "a token": `nats://${encoded}@127.0.0.1:9`,
    "an address without a scheme": `ana:${encoded}@127.0.0.1:9`,
    "a port that is none": `nats://ana:${encoded}@127.0.0.1:99999`,
    "a slash in the password": `nats://ana:${secret}@127.0.0.1:9`,
    "a space in the host": `nats://ana:${encoded}@no where:9`,
    "what is not percent-encoded": `nats://ana:%zz${encoded}@127.0.0.1:9`,
    "no address at all": `ana:${secret}@`,
  };
  for (const [what, server] of Object.entries(servers)) {
    it(`of ${what}`, async () => {
      const error = await refusalOf({ servers: ["127.0.0.1:9", server] });
      assert.equal(error._tag, "ConnectionFailed");
      assertSilent(error, secret, encoded, "s3cret");
      assertSilent(await refusalOf({ servers: server }), secret, encoded, "s3cret");
    });
  }

  it("of its options", async () => {
    const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
    for (
      const nats of [
        { user: "ana", pass: secret },
        { token: secret },
        { authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)) },
      ]
    ) assertSilent(await refusalOf({ servers: "127.0.0.1:9", nats }), secret, seed);
  });
});

describe("a server that asks who comes", () => {
  it("lets in who has the password or the key, and tells others nothing", async () => {
    const user = nkeys.createUser();
    const server = await scratchServer({
      settings: {
        authorization: {
          users: [{ user: "ana", password: secret }, { nkey: user.getPublicKey() }],
        },
      },
      isReady: (url) => isOpen({ servers: url.replace("//", `//ana:${encoded}@`) }),
    });
    try {
      const { url } = server;
      await opened({ servers: url.replace("//", `//ana:${encoded}@`) });
      await opened({ servers: url, nats: { user: "ana", pass: secret } });
      await opened({ servers: url, nats: { authenticator: nkeyAuthenticator(user.getSeed()) } });
      const stranger = nkeyAuthenticator(nkeys.createUser().getSeed());
      for (
        const options of [
          { servers: url },
          { servers: url.replace("//", `//ana:x${encoded}@`) },
          { servers: url, nats: { user: "ana", pass: `x${secret}` } },
          { servers: url, nats: { authenticator: stranger } },
        ]
      ) {
        const error = await refusalOf(options);
        assert.ok(error._tag === "ConnectionFailed");
        assert.match(error.reason, /authorization/i);
        assertSilent(error, secret, encoded);
      }
    } finally {
      await server.stop();
    }
  });

  it("with a token, in the address or the options", async () => {
    const server = await scratchServer({
      settings: { authorization: { token: secret } },
      isReady: (url) => isOpen({ servers: url.replace("//", `//${encoded}@`) }),
    });
    try {
      await opened({ servers: server.url.replace("//", `//${encoded}@`) });
      await opened({ servers: server.url, nats: { token: secret } });
      assertSilent(await refusalOf({ servers: server.url, nats: { token: "other" } }), "other");
    } finally {
      await server.stop();
    }
  });
});

describe("a connection over TLS", () => {
  const ca = readFileSync(settings("ca.pem"), "utf8");

  it("is opened to a server that the given authority knows, and to no other", async () => {
    const server = await scratchServer({
      settings: {
        authorization: { user: "ana", password: secret },
        tls: { cert_file: settings("server.pem"), key_file: settings("server-key.pem") },
      },
      isReady: (url) => isOpen({ servers: url, nats: { user: "ana", pass: secret, tls: { ca } } }),
    });
    try {
      const tls = server.url.replace("nats://", `tls://ana:${encoded}@`);
      await opened({ servers: tls, nats: { tls: { ca } } });
      await opened({ servers: tls, nats: { tls: { caFile: settings("ca.pem") } } });
      for (const servers of [tls, tls.replace("tls://", "nats://")]) {
        const error = await refusalOf({ servers });
        assert.equal(error._tag, "ConnectionFailed");
        assertSilent(error, secret, encoded);
      }
    } finally {
      await server.stop();
    }
  });

  it("does without nothing that was asked for: a server that has no TLS is refused", async () => {
    const server = await scratchServer();
    try {
      const servers = server.url.replace("nats://", `tls://ana:${encoded}@`);
      const error = await refusalOf({ servers });
      assert.equal(error._tag, "ConnectionFailed");
      assertSilent(error, secret, encoded);
      assert.equal(
        (await refusalOf({ servers: server.url, nats: { tls: { ca } } }))._tag,
        error._tag,
      );
    } finally {
      await server.stop();
    }
  });
});

it("what is handed out of the embedded server shows no password to who does not ask", async () => {
  await using weir = await connect({
    embedded: { store: join(scratchFolder("store"), "weir") },
    tokenKeys: [{ id: "k", secret: secret.padEnd(40, "0") }],
  });
  const password = new URL(weir.server!.url).password;
  assert.equal(password.length, 48);
  for (const shown of [JSON.stringify(weir), inspect(weir, { depth: 20, getters: true })]) {
    assert.ok(!shown.includes(password) && !shown.includes(secret));
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
