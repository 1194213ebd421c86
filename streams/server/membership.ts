/**
 * How a process comes to share the server of a store: it takes a place at the living keeper, or
 * claims the next generation itself, until a server answers. Whatever dies on the way, it either
 * ends with a ready server that will not end before it lets go, or with a reason. It does not go
 * back when the server is lost later.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import { ServerFailed, type ServerNotFound } from "../../schema/errors.ts";
import type { Binary } from "./binary.ts";
import * as configuration from "./configuration.ts";
import { claim } from "./keeper.ts";
import * as port from "./port.ts";
import type { Lifeline } from "./probe.ts";
import { probe } from "./probe.ts";
import type { Registration } from "./registration.ts";
import { highest, invitation, last, register } from "./registration.ts";

export interface MembershipOptions {
  /** An existing folder, by its absolute path. */
  readonly store: string;
  /** Undefined: that of the server that runs, or else power-safe. */
  readonly durability: configuration.Durability | undefined;
  /** Undefined: that of the server that runs or ran last, or else the default. */
  readonly maxStorageBytes: number | undefined;
  /** Whether the server was lost in use; it comes back as it was, for the others as well. */
  readonly comesBack: boolean;
  /** Asked only when a server must be started. */
  readonly binary: Effect.Effect<Binary, ServerNotFound>;
}

export interface Membership {
  readonly configuration: configuration.Configuration;
  readonly pid: number;
  readonly lifeline: Lifeline;
}

/** Servers that this process starts before it gives up on one that ends while starting. */
const maxStarts = 3;

/** A large store takes the server a while to open. */
const startTimeout = "60 seconds";

/** Meanwhile its users bring a server back that was killed; who asks for another leaves it to them. */
const leftToItsUsersMs = 1_000;
const lookAgainMs = 100;

const logLines = 20;

const read = (store: string, name: string): Effect.Effect<string> =>
  Effect.promise(() => readFile(join(store, name), "utf8").catch(() => ""));

const failed = (store: string, reason: string) =>
  Effect.flatMap(read(store, "server.log"), (log) =>
    Effect.fail(
      new ServerFailed({
        store,
        reason,
        logTail: log.trim().split("\n").slice(-logLines).join("\n"),
      }),
    ));

const credentials = () => ({ user: "weir", password: randomBytes(24).toString("hex") });

/** The credentials and, unless it is taken, the port of the last server, so that its clients find it. */
const nextConfiguration = Effect.fnUntraced(function* (
  options: MembershipOptions,
  binary: string,
  last: Option.Option<configuration.Configuration>,
  isLastStart: boolean,
) {
  const previous = Option.getOrUndefined(last);
  const durability = options.comesBack ? Option.map(last, configuration.durability) : Option.none();
  // Only to bind it tells for certain, but takes the port from who starts a server there just now.
  const isLost = isLastStart && previous !== undefined &&
    !(yield* port.canBeListenedOn(previous.port));
  return configuration.make({
    store: options.store,
    durability: options.durability ?? Option.getOrElse(durability, () => "power-safe" as const),
    maxStorageBytes: options.maxStorageBytes ?? previous?.jetstream.max_file_store ??
      configuration.defaultMaxStorageBytes,
    binary,
    port: yield* port.free(isLost ? undefined : previous?.port),
    authorization: previous?.authorization ?? credentials(),
  });
});

/** The server runs for others, and otherwise than it is asked for; it may just be about to end. */
export class RunsOtherwise extends Data.TaggedError("RunsOtherwise")<{ readonly reason: string }> {}

/** A setting that a server has otherwise than it is asked for. */
const unlikeIn = (
  { durability, maxStorageBytes }: MembershipOptions,
  found: configuration.Configuration,
) => {
  const settings = [
    ["durability", configuration.durability(found), durability],
    ["maxStorageBytes", found.jetstream.max_file_store, maxStorageBytes],
  ] as const;
  return settings.find(([, is, asked]) => asked !== undefined && asked !== is);
};

const checkAlike = (
  options: MembershipOptions,
  running: configuration.Configuration,
): Effect.Effect<void, RunsOtherwise> => {
  const unlike = unlikeIn(options, running);
  if (unlike === undefined) return Effect.void;
  const [name, is, asked] = unlike;
  const reason = `it is running for another process with ${name} ${is}, ` +
    `not ${asked}: ask for ${is}, leave it out, or use another store`;
  return Effect.fail(new RunsOtherwise({ reason }));
};

/** Waits until the server of this generation is ready; none when the generation ends before. */
const enter = Effect.fnUntraced(function* (
  options: MembershipOptions,
  registration: Registration,
): Effect.fn.Return<Option.Option<Membership>, ServerFailed | RunsOtherwise, Scope.Scope> {
  const { store } = options;
  const invitedTo = Effect.tap(
    invitation(store, registration.generation),
    Option.match({ onNone: () => Effect.void, onSome: (running) => checkAlike(options, running) }),
  );
  // Before it is announced: who only looks does not have the server run any longer.
  yield* invitedTo;
  while (yield* registration.announce) {
    const invited = yield* invitedTo;
    if (Option.isSome(invited)) {
      const lifeline = yield* probe(invited.value);
      if (Option.isSome(lifeline)) {
        const pid = Number(yield* read(store, "server.pid"));
        return Option.some({ configuration: invited.value, pid, lifeline: lifeline.value });
      }
    }
    yield* Effect.sleep("5 millis");
  }
  return Option.none();
}, (effect, { store }) =>
  Effect.timeoutOrElse(effect, {
    duration: startTimeout,
    orElse: () => failed(store, `it was not ready within ${startTimeout}`),
  }));

/** Shares the server of the store until the scope closes. */
export const share = Effect.fn("Server.share")(function* (
  options: MembershipOptions,
): Effect.fn.Return<Membership, ServerFailed | ServerNotFound | RunsOtherwise, Scope.Scope> {
  const { store } = options;
  const orFail = <A, R>(effect: Effect.Effect<A, string, R>) =>
    Effect.catch(effect, (reason) => failed(store, reason));
  let starts = 0;
  let [latest, patienceMs] = [-1, leftToItsUsersMs];
  for (;;) {
    const generation = yield* orFail(highest(store));
    let registration = yield* orFail(register(store, generation));
    if (Option.isNone(registration)) {
      const ended = yield* orFail(last(store));
      if (Option.exists(ended, (last) => unlikeIn(options, last) !== undefined) && patienceMs > 0) {
        patienceMs = generation === latest ? patienceMs - lookAgainMs : leftToItsUsersMs;
        latest = generation;
        yield* Effect.sleep(lookAgainMs);
        continue;
      }
      if (starts === maxStarts) {
        return yield* failed(store, `nats-server ended ${maxStarts} times while it started`);
      }
      const { path: binary } = yield* options.binary;
      const next = generation + 1;
      const wanted = {
        store,
        generation: next,
        binary,
        configuration: yield* nextConfiguration(options, binary, ended, starts + 1 === maxStarts),
      };
      registration = yield* orFail(claim(wanted, register(store, next)));
      if (Option.isNone(registration)) continue;
      starts++;
    }
    const membership = yield* enter(options, registration.value);
    if (Option.isSome(membership)) return membership.value;
  }
});
