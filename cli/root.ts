/**
 * What every command of `weir` takes: where the server is, whose executions are meant, and whether
 * a program reads the output. The flags say what `connect` takes; without them the environment
 * decides as it does there. It connects when a command asks for the services, not before.
 */
import { readFile } from "node:fs/promises";
import { credsAuthenticator } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { layer as layerEngine } from "../actors/layer.ts";
import { InvalidInput } from "../schema/errors.ts";
import { parse, Tenant } from "../schema/ids.ts";
import type { NamespaceServicesOptions } from "../streams/namespace.ts";
import * as StorageBackend from "../streams/storage_backend.ts";

export const root = Command.make("weir").pipe(
  Command.withSharedFlags({
    server: Flag.String("server").pipe(
      Flag.withMetavar("url"),
      Flag.withDescription(
        "Server, with user and password or a token if it asks for them; several with commas " +
          "(NATS_URL, or else the embedded server)",
      ),
      Flag.optional,
    ),
    store: Flag.String("store").pipe(
      Flag.withMetavar("folder"),
      Flag.withDescription(
        "Folder of the embedded server, which is used then (NATS_URL, or else weir in the user's data folder)",
      ),
      Flag.optional,
    ),
    namespace: Flag.String("namespace").pipe(
      Flag.withMetavar("name"),
      Flag.withDescription("Deployment on the server (weir)"),
      Flag.optional,
    ),
    tenant: Flag.String("tenant").pipe(
      Flag.withMetavar("name"),
      Flag.withDescription("Whose executions are meant"),
      Flag.withDefault("default"),
    ),
    creds: Flag.String("creds").pipe(
      Flag.withMetavar("file"),
      Flag.withDescription("Credentials of a NATS user, as nsc writes them"),
      Flag.optional,
    ),
    inboxPrefix: Flag.String("inbox-prefix").pipe(
      Flag.withMetavar("subject"),
      Flag.withDescription("Where the user may receive answers, if not below _INBOX"),
      // Below another the server would never be heard.
      Flag.filter(
        (prefix) => /^[^\s.*>]+(\.[^\s.*>]+)*$/.test(prefix),
        () => "Expected a subject without wildcards, like _INBOX_acme",
      ),
      Flag.optional,
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Print JSON: one object, or one a line where there may be many"),
      Flag.withDefault(false),
    ),
  }),
  Command.withDescription("Durable executions on NATS JetStream: start, watch and mend them."),
);

/** A server that speaks something else says nothing for ever; a person waits for less. */
const connectTimeoutMs = 5_000;

const readCredentials = (file: string) =>
  Effect.tryPromise({
    try: () => readFile(file),
    catch: () =>
      new InvalidInput({ what: "creds", value: file, rule: "there is no such file to read" }),
  });

const optionsOf = Effect.fnUntraced(function* (flags: Effect.Success<typeof root>) {
  if (Option.isSome(flags.server) && Option.isSome(flags.store)) {
    const rule = "--store is of the embedded server, and goes with no --server";
    return yield* new InvalidInput({ what: "store", value: flags.store.value, rule });
  }
  const credentials = yield* Effect.transposeOption(Option.map(flags.creds, readCredentials));
  return {
    ...Option.match(flags.server, {
      onNone: () => ({}),
      onSome: (servers) => ({ servers: servers.split(",").map((server) => server.trim()) }),
    }),
    ...(Option.isSome(flags.store) ? { embedded: { store: flags.store.value } } : {}),
    ...(Option.isSome(flags.namespace) ? { namespace: flags.namespace.value } : {}),
    nats: {
      timeout: connectTimeoutMs,
      ...(Option.isSome(credentials)
        ? { authenticator: credsAuthenticator(credentials.value) }
        : {}),
      ...(Option.isSome(flags.inboxPrefix) ? { inboxPrefix: flags.inboxPrefix.value } : {}),
    },
  } satisfies NamespaceServicesOptions;
});

/** What the flags say of the connection. */
export const connectOptions = Effect.flatMap(root, optionsOf);

/** The services of the namespace that the flags name; with other options, those count. */
export const layer = (more: NamespaceServicesOptions = {}) =>
  Layer.unwrap(Effect.map(
    connectOptions,
    (options) => StorageBackend.layerJetStream(layerEngine({ ...options, ...more })),
  ));

/** The same for what looks at a namespace, or steers what is in it: it creates none. */
export const existing = layer({ create: false });

/** The tenant that the flags name. */
export const tenant = Effect.flatMap(root, (flags) => parse(Tenant, "tenant", flags.tenant));
