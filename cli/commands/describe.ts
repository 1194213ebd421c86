/** `weir describe`: where one execution stands, and why. */
import * as Effect from "effect/Effect";
import * as Command from "effect/cli/Command";
import { type Description, Executions } from "../../actors/executions.ts";
import type { Awaited } from "../../schema/execution_state.ts";
import { id, named } from "../flags.ts";
import { fields, json, printOne } from "../report.ts";
import { existing } from "../root.ts";
import { iso } from "../screen.ts";

const whatFor = (awaited: Awaited): string => {
  switch (awaited.kind) {
    case "run":
      return `another attempt after ${awaited.failure.message}`;
    case "sleep":
      return "its time";
    case "wait":
      return `signal ${awaited.signal}`;
    case "call":
    case "end":
      return awaited.execution;
  }
};

const awaits = (awaited: Awaited): string => {
  const until = "due" in awaited && awaited.due !== undefined ? ` until ${iso(awaited.due)}` : "";
  return `${awaited.key} since ${iso(awaited.since)}: ${whatFor(awaited)}${until}`;
};

const lines = (found: Description): ReadonlyArray<string> =>
  fields([
    ["execution", found.execution],
    ["tenant", found.tenant],
    ["status", found.status],
    ["why", found.why],
    ["started", iso(found.startedAt)],
    ["attempt", found.attempt],
    ["epoch", found.epoch],
    ["reclaims", found.reclaims],
    ["owner", found.owner],
    ["lease until", found.leaseExpiresAt === undefined ? undefined : iso(found.leaseExpiresAt)],
    ["lane", found.lane],
    ["requires", found.requires?.join(" ")],
    ["deadline", found.deadline === undefined ? undefined : iso(found.deadline)],
    ["cancelling", found.cancel === undefined ? undefined : found.cancel.reason ?? "yes"],
    ...Object.entries(found.tags).map(([name, value]) => ["tag", `${name}=${value}`] as const),
    ...found.waitingFor.map((awaited) => ["waits for", awaits(awaited)] as const),
    ...Object.entries(found.steps).map(([key, result]) =>
      [
        "step",
        result.type === "value"
          ? `${key} = ${json(result.value)}`
          : result.type === "failure"
          ? `${key} failed: ${result.failure.message}`
          : key,
      ] as const
    ),
    ...Object.entries(found.cells).map(([name, value]) =>
      ["state", `${name} = ${json(value)}`] as const
    ),
    ...found.buffered.map(({ name, signalId }) =>
      ["unread signal", `${name} ${signalId}`] as const
    ),
    ["outcome", found.outcome === undefined ? undefined : json(found.outcome)],
  ]);

export const describe = Command.make("describe", { id }, ({ id }) =>
  Effect.gen(function* () {
    const found = yield* (yield* Executions).describe(yield* named(id));
    yield* printOne(found, lines(found));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Show where an execution stands, and why"),
    Command.withExamples([{ command: "weir describe order/o-1" }]),
  );
