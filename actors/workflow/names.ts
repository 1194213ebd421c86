/** What workflows, and what they wait for, are called in the log. */
import { createHash } from "node:crypto";
import * as Schema from "effect/Schema";
import { ActorName, ExecutionId } from "../../schema/ids.ts";

const isActorName = Schema.is(ActorName);
const longestName = 100;

const hashed = (text: string): string =>
  createHash("sha256").update(text, "utf16le").digest("hex").slice(0, 32);

/** The actor of a workflow: its tag, where that can be one. */
export const actorOf = (tag: string): ActorName =>
  isActorName(tag) ? tag : ActorName.make(`workflow-${hashed(tag)}`);

export const executionOf = (tag: string, executionId: string): ExecutionId =>
  ExecutionId.make(`${actorOf(tag)}/${executionId}`);

/** A name that is short enough and can be a subject's, and still nobody else's. */
export const shortened = (name: string): string =>
  name.length <= longestName && name.isWellFormed()
    ? name
    : `${name.slice(0, longestName - 33).toWellFormed()}#${hashed(name)}`;

/** The signal that carries the messages of a channel, and the wait for the one at a place. */
export const channelSignal = (channel: string): string => `channel ${shortened(channel)}`;
export const messageWait = (channel: string, place: number): string =>
  `${channelSignal(channel)} ${place}`;

export const deferredSignal = (name: string): string => `deferred ${shortened(name)}`;
export const interruptSignal = "interrupt";
export const resumeSignal = "resume";

export const clockSleep = (name: string): string => `clock ${shortened(name)}`;

/** The step that says what was done before the start. */
export const earlyStep = "done before the start";

/** What begins like this, behind any marks, could be taken for something of the engine's own. */
const isTaken = {
  activity: /^'*(channel|clock|deferred|done) /,
  deferred: /^'*before the start$/,
} as const;

const marked = (kind: keyof typeof isTaken, name: string): string =>
  isTaken[kind].test(name) ? `'${name}` : name;
/** The name that was marked, if it was. */
export const unmarked = (kind: keyof typeof isTaken, name: string): string =>
  name.startsWith("'") && isTaken[kind].test(name) ? name.slice(1) : name;

/** The step that says that the workflow itself was done with a deferred. */
export const doneStep = (deferred: string): string =>
  `done ${shortened(marked("deferred", deferred))}`;

/** The step of an attempt that was begun so often before, and did not come to an end. */
export const activityStep = (attempt: string, unfinished: number): string => {
  const own = marked("activity", attempt);
  return shortened(unfinished === 0 ? own : `${own} again ${unfinished}`);
};

/** The step that says that a child was started whom nobody awaits: no activity and no call is called so. */
export const startedStep = (child: ExecutionId): string => `started ${shortened(child)} and left`;

/** What is waited for behind a run of the body that has failed, and behind any other. */
export const mendedWait = (run: number): string => `mended ${run}`;
export const resumedWait = (run: number): string => `resumed ${run}`;
export const isMendedWait = (name: string): boolean => /^mended \d+$/.test(name);
