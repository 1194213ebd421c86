/**
 * The InstanceTags family: which tags an execution was given and which were taken from it. Kinds
 * that a later release adds arrive as `other` with their fields in `raw`.
 */
import * as Schema from "effect/Schema";
import { familyEvent, otherFamilyEvent } from "./family.ts";

const named = {
  tag: Schema.String,
  /** What the tag says; one that was cleared says nothing. */
  value: Schema.optionalKey(Schema.String),
};

/** One change of an execution's tags. */
export const InstanceTagEvent = Schema.Union([
  familyEvent("attached", named),
  familyEvent("cleared", named),
  otherFamilyEvent(["attached", "cleared"]),
]).pipe(Schema.toTaggedUnion("type"));
export type InstanceTagEvent = typeof InstanceTagEvent.Type;
