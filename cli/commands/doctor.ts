/**
 * `weir doctor`: whether everything is as it should be, and what waits and why. It fails if the server
 * does not answer or does not give what is asked for, or an execution will not go on by itself; it
 * changes nothing unless it is to repair.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { type Description, Executions } from "../../actors/executions.ts";
import { neverStuck, type Stuck } from "../../actors/never_stuck.ts";
import { type Concern, concerns } from "../../streams/concerns.ts";
import { Connection } from "../../streams/connection.ts";
import { ExecutionIndex } from "../../streams/execution_index.ts";
import { Log } from "../../streams/log.ts";
import { Sessions } from "../../streams/session.ts";
import { type Health, StorageBackend } from "../../streams/storage_backend.ts";
import { Unavailable } from "../../schema/errors.ts";
import { Unwell } from "../failure.ts";
import { count, limit } from "../flags.ts";
import { fields, printOne } from "../report.ts";
import { existing, tenant } from "../root.ts";

type Waiting = Pick<Description, "execution" | "tenant" | "status" | "reason" | "why">;

interface Findings {
  readonly server: { readonly version: string; readonly address: string; readonly store?: string };
  readonly namespace: string;
  readonly shards: number;
  readonly durability: Connection["Service"]["durability"];
  readonly health: Health;
  /** What somebody should look after. */
  readonly concerns: ReadonlyArray<Concern>;
  /** Absent if that got no answer. */
  readonly workers?: number;
  /** Absent if nobody asked, or that got no answer. */
  readonly stuck?: ReadonlyArray<Stuck>;
  /** Some of those that have not ended and that nobody runs. */
  readonly waiting: ReadonlyArray<Waiting>;
}

const standing = ["waiting", "delayed", "suspended", "paused"] as const;

const whatWaits = Effect.fnUntraced(function* (most: number) {
  const index = yield* ExecutionIndex;
  const executions = yield* Executions;
  const of = yield* tenant;
  const pages = yield* Effect.forEach(
    standing,
    (status) => index.list({ tenant: of, status, limit: Math.min(most, 1_000) }),
  );
  const newest = pages.flatMap((page) => page.executions)
    .sort((a, b) => b.startedAt - a.startedAt).slice(0, most);
  const found = yield* Effect.forEach(
    newest,
    ({ execution, tenant }) =>
      executions.describe({ execution, tenant }).pipe(
        Effect.map(({ status, reason, why }): ReadonlyArray<Waiting> => [
          { execution, tenant, status, reason, why },
        ]),
        Effect.catchTag("ExecutionNotFound", () => Effect.succeed([])),
      ),
    { concurrency: 8 },
  );
  return found.flat();
});

const durabilities: { readonly [D in Findings["durability"]]: string } = {
  "power-safe": "power-safe: what is acknowledged survives a power cut",
  bounded:
    "bounded: a power cut may take what was acknowledged last; a killed process takes nothing",
  unknown: "unknown: a server does not tell its sync_interval; see the NATS configuration",
};

/** Above this the clocks of the machines should be looked after; nothing depends on them. */
const skewMs = 1_000;

const clock = (health: Health): string | undefined => {
  if (health._tag === "Unhealthy") return undefined;
  const offset = Math.round(health.clockOffsetMs);
  const text = `the server's is ${Math.abs(offset)} ms ${offset < 0 ? "behind" : "ahead"}`;
  return Math.abs(offset) < skewMs ? text : `${text}: look after the time of both machines`;
};

const lines = (found: Findings): ReadonlyArray<string> =>
  fields([
    ["server", `nats-server ${found.server.version} at ${found.server.address}`],
    ["store", found.server.store],
    ["namespace", found.namespace],
    ["shards", found.shards],
    ["durability", durabilities[found.durability] ?? found.durability],
    [
      "health",
      found.health._tag === "Healthy"
        ? `answers within ${Math.round(found.health.latencyMs)} ms`
        : `BAD: ${found.health.reason}`,
    ],
    ["clock", clock(found.health)],
    ...found.concerns.map(({ isBroken, what }) => [isBroken ? "BAD" : "look", what] as const),
    ["workers", found.workers === 0 ? "none: start one to have executions run" : found.workers],
    ...(found.stuck === undefined
      ? []
      : found.stuck.length === 0
      ? [["stuck", "none"] as const]
      : found.stuck.map(({ execution, tenant, trouble }) =>
        ["STUCK", `${execution} (${tenant})  ${trouble.type}: ${trouble.why}`] as const
      )),
    ...found.waiting.map(({ execution, status, why }) =>
      ["waits", `${execution}  ${status}: ${why}`] as const
    ),
  ]);

export const doctor = Command.make("doctor", {
  quick: Flag.Boolean("quick").pipe(
    Flag.withDescription("Leave out the look at every execution"),
    Flag.withDefault(false),
  ),
  repair: Flag.Boolean("repair").pipe(
    Flag.withDescription("Have what is stuck go on, as far as that is safe"),
    Flag.withDefault(false),
  ),
  durability: Flag.Literals("durability", ["power-safe", "bounded"]).pipe(
    Flag.withDescription("Fail if less is given than this; a server of your own does not tell"),
    Flag.optional,
  ),
  replicas: count("replicas", "Fail if a stream of the log has fewer").pipe(Flag.optional),
  limit: limit.pipe(
    Flag.withDescription("How many of those that wait to explain"),
    Flag.withDefault(20),
  ),
}, ({ quick, repair, durability, replicas, limit }) =>
  Effect.gen(function* () {
    const connection = yield* Connection;
    const { layout } = yield* Log;
    const health = yield* (yield* StorageBackend).healthCheck;
    const unanswered: Array<Concern> = [];
    // What reads the log would only wait for it while it does not answer.
    const read = <A, E, R>(question: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R> =>
      health._tag === "Unhealthy" ? Effect.undefined : Effect.catch(question, (error) => {
        if (!(error instanceof Unavailable)) return Effect.fail(error);
        unanswered.push({ isBroken: true, what: error.message });
        return Effect.undefined;
      });
    const asked = yield* concerns({
      durability: Option.getOrUndefined(durability),
      replicas: Option.getOrUndefined(replicas),
    });
    const workers = yield* read((yield* Sessions).list);
    const stuck = quick ? undefined : yield* read(Stream.runCollect(neverStuck({ repair })));
    const waiting = (yield* read(whatWaits(limit))) ?? [];
    const found: Findings = {
      server: {
        version: connection.nats.info?.version ?? "unknown",
        address: connection.nats.getServer(),
        ...(connection.server === undefined ? {} : { store: connection.server.store }),
      },
      namespace: layout.namespace,
      shards: layout.shards,
      durability: connection.durability,
      health,
      concerns: [...unanswered, ...asked],
      ...(workers === undefined ? {} : { workers: workers.length }),
      ...(stuck === undefined ? {} : { stuck }),
      waiting,
    };
    yield* printOne(found, lines(found));
    const isBroken = found.concerns.some(({ isBroken }) => isBroken);
    if (health._tag === "Unhealthy" || isBroken || (found.stuck ?? []).length > 0) {
      return yield* Effect.fail(new Unwell());
    }
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Check server, clocks and executions; say what waits, and why"),
    Command.withExamples([
      { command: "weir doctor" },
      { command: "weir doctor --json | jq .waiting[].why" },
    ]),
  );
