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

/** A name that is short enough, and still nobody else's. */
export const shortened = (name: string): string =>
  name.length <= longestName ? name : `${name.slice(0, longestName - 33)}#${hashed(name)}`;

export const deferredSignal = (name: string): string => `deferred ${shortened(name)}`;
export const interruptSignal = "interrupt";
export const resumeSignal = "resume";
