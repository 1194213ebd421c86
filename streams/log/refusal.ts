/**
 * What the server's refusals mean for an append. Only codes that the server documents, or that were
 * measured on 2.15, are told apart; everything else is final and carries the server's own words.
 */
import type { Refusal } from "./wire.ts";

export type Meaning =
  /** A guard does not hold: the number is the sequence that the server found. */
  | { readonly _tag: "GuardBroken"; readonly actual: number }
  /** It was not stored, for a reason that passes by itself. */
  | { readonly _tag: "TryAgain" }
  /** In a batch: a member's id is known already. */
  | { readonly _tag: "IdKnown" }
  /** The answer to a question for an id: nothing is stored under it. */
  | { readonly _tag: "IdUnknown" }
  | { readonly _tag: "NoSpace" }
  | { readonly _tag: "Final" };

const guardBroken = 10071;
const batchHasDuplicate = 10201;
const otherLastId = 10070;

/** No leader, an append in flight with the same guard or id, too many batches, or one cut short. */
const passing = new Set([10008, 10009, 10158, 10163, 10164, 10167, 10176, 10210]);

/** Storage or memory limits of the server, the account or the stream. */
const outOfSpace = new Set([10002, 10023, 10028, 10047]);
const storeFailed = 10077;

export const meaningOf = ({ errorCode, description }: Refusal): Meaning => {
  if (errorCode === guardBroken) {
    return { _tag: "GuardBroken", actual: Number(/(\d+)\s*$/.exec(description)?.[1] ?? 0) };
  }
  if (passing.has(errorCode)) return { _tag: "TryAgain" };
  if (errorCode === batchHasDuplicate) return { _tag: "IdKnown" };
  if (errorCode === otherLastId) return { _tag: "IdUnknown" };
  if (
    outOfSpace.has(errorCode) ||
    (errorCode === storeFailed && /space|maximum|resource/i.test(description))
  ) {
    return { _tag: "NoSpace" };
  }
  return { _tag: "Final" };
};
