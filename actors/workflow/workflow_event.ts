/**
 * The records of an execution in words of workflows: activities, deferreds, clocks, children. Values
 * are as the user's schemas have encoded them. What only the engine needs to know is left out, and a
 * name that was too long is shown as it was shortened.
 */
import * as Effect from "effect/Effect";
import type * as Exit from "effect/Exit";
import type * as Schema from "effect/Schema";
import { executionIdentity } from "../../schema/ids.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { HistoryEntry } from "../executions.ts";
import { earlyStep, unmarked } from "./names.ts";
import { payloadOfNext } from "./workflow_body.ts";
import { encodedValues, suspensionIn, unpack, unreadable } from "./exit_codec.ts";

type Json = Schema.Json;
type EncodedExit = Exit.Exit<unknown, unknown>;

type Matter =
  | { readonly type: "started"; readonly payload: Json | undefined }
  | {
    readonly type: "activity";
    readonly name: string;
    readonly attempt: number;
    readonly exit: EncodedExit;
  }
  | { readonly type: "deferred"; readonly name: string; readonly exit: EncodedExit }
  | { readonly type: "clockSet"; readonly name: string; readonly due: number }
  | { readonly type: "clockFired"; readonly name: string }
  | { readonly type: "childStarted"; readonly workflow: string; readonly executionId: string }
  | {
    readonly type: "childEnded";
    readonly workflow: string;
    readonly executionId: string;
    readonly outcome: OutcomeRecord["type"];
  }
  | { readonly type: "message"; readonly channel: string; readonly value: Json | undefined }
  | { readonly type: "state"; readonly name: string; readonly value: Json | undefined }
  | { readonly type: "interruptRequested" }
  | { readonly type: "resumeRequested" }
  | { readonly type: "cancelRequested"; readonly reason?: string }
  | { readonly type: "continued"; readonly payload: Json | undefined }
  | { readonly type: "ended"; readonly outcome: OutcomeRecord["type"] };

/** Something that happened to an execution of a workflow. */
export type WorkflowEvent = Matter & {
  readonly sequence: number;
  readonly at: number;
};

const clockName = (key: string): string => key.replace(/^clock (DurableClock\/)?/, "");
const isClock = (key: string): boolean => key.startsWith("clock ");

const activityOf = (key: string): { readonly name: string; readonly attempt: number } => {
  const found = /^(.*)\/(\d+)( again \d+)?$/s.exec(key);
  return found === null
    ? { name: key, attempt: 1 }
    : { name: unmarked("activity", found[1]!), attempt: Number(found[2]) };
};

const childOf = (execution: Parameters<typeof executionIdentity>[0]) => {
  const { actor, name } = executionIdentity(execution);
  return { workflow: actor ?? "", executionId: name };
};

/** Anybody may send anything: what is no exit has ended so for whoever waits for it. */
const told = (value: unknown): Effect.Effect<EncodedExit> =>
  Effect.catchCause(unpack(value, encodedValues), (cause) => Effect.succeed(unreadable(cause)));

/** The steps that only the engine knows of. */
const own = new Set([earlyStep, "cancelled"]);

const matterOf = Effect.fnUntraced(function* (
  { record }: HistoryEntry,
): Effect.fn.Return<Matter | undefined> {
  switch (record.kind) {
    case "start":
      return { type: "started", payload: record.input };
    case "step": {
      const { key, result } = record;
      const value = result.type === "value" ? result.value : undefined;
      if (own.has(key) || value === undefined || suspensionIn(value) !== undefined) {
        return undefined;
      }
      const exit = yield* told(value);
      return key.startsWith("done ")
        ? { type: "deferred", name: unmarked("deferred", key.slice("done ".length)), exit }
        : { type: "activity", ...activityOf(key), exit };
    }
    case "sleeping":
      return isClock(record.key)
        ? { type: "clockSet", name: clockName(record.key), due: record.due }
        : undefined;
    case "timer":
    case "elapsed":
      return isClock(record.key) ? { type: "clockFired", name: clockName(record.key) } : undefined;
    case "calling":
      return { type: "childStarted", ...childOf(record.execution) };
    case "child":
      return {
        type: "childEnded",
        ...childOf(record.execution),
        outcome: record.outcome.type,
      };
    case "signal": {
      if ("effect" in record) return undefined;
      const { name, payload } = record;
      if (name === "interrupt") return { type: "interruptRequested" };
      if (name === "resume") return { type: "resumeRequested" };
      if (name.startsWith("deferred ")) {
        const exit = yield* told(payload);
        return { type: "deferred", name: name.slice("deferred ".length), exit };
      }
      return name.startsWith("channel ")
        ? { type: "message", channel: name.slice("channel ".length), value: payload }
        : undefined;
    }
    case "cell":
      return { type: "state", name: record.name, value: record.value };
    case "cancel":
      return {
        type: "cancelRequested",
        ...(record.reason === undefined ? {} : { reason: record.reason }),
      };
    case "continued":
      return { type: "continued", payload: payloadOfNext(record.input) };
    case "done":
      return { type: "ended", outcome: record.outcome.type };
    default:
      return undefined;
  }
});

/** What a record says; nothing, if it is the engine's own business. */
export const eventOf = (entry: HistoryEntry): Effect.Effect<WorkflowEvent | undefined> =>
  Effect.map(
    matterOf(entry),
    (matter) => matter && { ...matter, sequence: entry.sequence, at: entry.at },
  );
