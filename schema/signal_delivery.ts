/**
 * The SignalDelivery family: what became of each signal that reached an execution. An effect that a
 * later release adds arrives as `{ type: "other", raw }`.
 */
import * as Schema from "effect/Schema";
import { familyFields } from "./family.ts";
import { SignalId, WaitpointId } from "./ids.ts";
import { literalsOrOther } from "./other.ts";

/** What a signal did: ended a wait, was kept for a later one, or had been delivered before. */
export const SignalEffect = literalsOrOther(["satisfied", "buffered", "deduped"]);
export type SignalEffect = typeof SignalEffect.Type;

/** The delivery of one signal. */
export const SignalDeliveryEvent = Schema.Struct({
  ...familyFields,
  signalId: SignalId,
  waitpointId: Schema.optionalKey(WaitpointId),
  sourceIdentity: Schema.optionalKey(Schema.String),
  effect: SignalEffect,
});
export type SignalDeliveryEvent = typeof SignalDeliveryEvent.Type;
