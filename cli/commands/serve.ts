/**
 * `weir serve`: executions over HTTP, for programs that are not written in TypeScript. It listens where only
 * this machine can connect, and lets in whoever has a token, unless it is told otherwise.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { bearer } from "../../actors/http/bearer.ts";
import { makeHandler } from "../../actors/http/handler.ts";
import { addressOf, type Handler } from "../../actors/http/node_listener.ts";
import { connect } from "../../actors/weir.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { isLoopback } from "../../streams/storage_backend.ts";
import { fields, json } from "../report.ts";
import { connectOptions, root } from "../root.ts";
import { harmlessLines, Screen } from "../screen.ts";
import { listen } from "../serve/node_server.ts";
import { readTokenFile } from "../serve/token_file.ts";

const defaultPort = 8787;
/** From one address. */
const tokensPerSecond = 20;

/** Who is let in, as the flags say. */
const authorization = Effect.fnUntraced(function* (file: Option.Option<string>, open: boolean) {
  const screen = yield* Screen;
  if (Option.isNone(file)) {
    if (open) return { open };
    return yield* new InvalidInput({
      what: "serve",
      value: "nobody",
      rule: "expected --token-file with who may come in, or --open for everybody",
    });
  }
  const { tokens, isShared } = yield* readTokenFile(file.value);
  if (isShared) {
    yield* screen.note(`weir: others can read ${file.value}. Have chmod 600 keep them from it.`);
  }
  return yield* Effect.try({
    try: () => ({ authorize: bearer(tokens) }),
    catch: (error) => error as InvalidInput,
  });
});

const listening = (handler: Handler, host: string, port: number) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => listen(handler, { host, port }),
      catch: (error) =>
        new InvalidInput({
          what: "address",
          value: `${host}:${port}`,
          rule: `nobody can listen there (${(error as NodeJS.ErrnoException).code ?? "unknown"})`,
        }),
    }),
    ({ close }) => Effect.promise(close),
  );

export const serve = Command.make("serve", {
  host: Flag.String("host").pipe(
    Flag.withMetavar("address"),
    Flag.withDescription("Where to listen; only this machine can connect, if left out"),
    Flag.withDefault("127.0.0.1"),
  ),
  port: Flag.Int("port").pipe(
    Flag.withDescription("0 for any that is free"),
    Flag.filter((port) => port >= 0 && port <= 65_535, (port) => `Expected a port, not ${port}`),
    Flag.withDefault(defaultPort),
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription(
      "Who may come in: a token, a principal, and as you like a tenant and accesses a line",
    ),
    Flag.optional,
  ),
  control: Flag.Boolean("control").pipe(
    Flag.withDescription("Have executions and schedules steered as well"),
    Flag.withDefault(false),
  ),
  grants: Flag.Boolean("grants").pipe(
    Flag.withDescription("Hold each principal to what was granted to it"),
    Flag.withDefault(false),
  ),
  open: Flag.Boolean("open").pipe(
    Flag.withDescription("Let everybody in who can connect"),
    Flag.withDefault(false),
  ),
  rate: Flag.Int("rate").pipe(
    Flag.withMetavar("requests"),
    Flag.withDescription("How many requests a second one address may make; any, if left out"),
    Flag.filter((rate) => rate > 0, (rate) => `Expected at least 1, not ${rate}`),
    Flag.optional,
  ),
  origin: Flag.String("origin").pipe(
    Flag.withMetavar("origin"),
    Flag.withDescription("Of web pages that may use it; as often as there are"),
    Flag.atLeast(0),
  ),
}, ({ host, port, tokenFile, control, grants, open, rate, origin }) =>
  Effect.gen(function* () {
    const screen = yield* Screen;
    const flags = yield* root;
    const access = yield* authorization(tokenFile, open);
    const options = { ...yield* connectOptions, tenant: flags.tenant };
    const weir = yield* Effect.acquireRelease(
      Effect.tryPromise({ try: () => connect(options), catch: (error) => error }),
      (weir) => Effect.promise(() => weir.close()),
    );
    const note = Effect.runForkWith(yield* Effect.context<never>());
    const handler = makeHandler({
      weir,
      control,
      grants,
      origins: origin,
      ...access,
      ...(Option.isNone(rate) ? {} : { rate: { perSecond: rate.value, by: addressOf } }),
      tokenRate: { perSecond: tokensPerSecond, by: addressOf },
      onError: (error, { id, verb }) =>
        void note(Effect.ignore(
          screen.note(`weir: ${verb} (${id}) failed: ${harmlessLines(String(error))}`),
        )),
    });
    const { url } = yield* listening(handler, host, port);
    yield* screen.write(
      flags.json
        ? `${json({ listening: url, control, open })}\n`
        : `${fields([["listening", url], ["document", `${url}/openapi.json`]]).join("\n")}\n`,
    );
    if (open && !isLoopback(host)) {
      yield* screen.note("weir: everybody who can reach this machine is let in.");
    }
    return yield* Effect.never;
  }).pipe(Effect.scoped)).pipe(
    Command.withDescription("Serve executions, tasks and schedules over HTTP"),
    Command.withExamples([
      { command: "weir serve --token-file tokens --control" },
      { command: "weir serve --token-file tokens --control --grants" },
      { command: "weir serve --open --port 8787", description: "On a machine of your own" },
    ]),
  );
