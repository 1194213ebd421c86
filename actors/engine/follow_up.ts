/**
 * Telling others that an execution has ended: its parent, those who joined it, its children, and the
 * queues and budgets that it has used. Every message has an id of its own, so that whoever comes after
 * a crash may send all of them again.
 */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import { BudgetKey } from "../../schema/budget.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { AppendError } from "../../streams/log.ts";
import type { FollowUp } from "../core/decide.ts";
import type { ExecutionState } from "../core/state.ts";
import type { BudgetMeans } from "./operations.ts";
import type { Post } from "./post.ts";

/** Who ends may have many children. */
const toldAtOnce = 64;

/** Under what an execution that has ended is spoken for to who asks for its end. */
export const endedKey = "weir.ended";

/**
 * Under what an execution speaks to its children: when it is asked to stop, and again when it has
 * ended, since what was said before is lost on who had not been started yet; and each time that it is
 * run.
 */
export const speakingKey = ({ done, replays }: Pick<ExecutionState, "done" | "replays">): string =>
  `${done === undefined ? "weir.cancel" : endedKey}/${replays}`;

/** By what its ends tell others. */
export interface Means {
  readonly post: Post;
  readonly budgets: Pick<BudgetMeans, "release">;
}

/** Gives back what it has consumed. What cannot be read is left to whoever repairs it. */
const release = (
  { budgets }: Means,
  { tenant, execution, life }: ParentReference,
  followUp: Extract<FollowUp, { readonly type: "release" }>,
): Effect.Effect<void, AppendError> => {
  const end = createHash("sha256").update(`${execution} ${life} ${followUp.replays}`);
  return budgets.release(tenant, execution, {
    budgets: followUp.budgets,
    key: BudgetKey.make(`released ${end.digest("base64url")}`),
  }).pipe(
    Effect.asVoid,
    Effect.catchTags({
      BudgetNotFound: () => Effect.void,
      DimensionNotAllocated: () => Effect.void,
      TooManyDimensions: () => Effect.void,
      ZeroLimit: () => Effect.void,
      InvalidInput: () => Effect.void,
      CorruptRecord: (error) => Effect.logError(`${execution} gives nothing back`, error),
      UnsupportedRecordVersion: (error) =>
        Effect.logError(`${execution} gives nothing back`, error),
    }),
  );
};

/** Sends what must follow; `as` is the execution that has ended. */
export const tell = (
  means: Means,
  as: ParentReference,
  followUps: ReadonlyArray<FollowUp>,
): Effect.Effect<void, AppendError> =>
  Effect.forEach(followUps, (followUp): Effect.Effect<unknown, AppendError> => {
    const { post } = means;
    switch (followUp.type) {
      case "notify":
        return post.notify(followUp.parent, as.execution, followUp.outcome);
      case "leave":
        return post.leave(followUp.turn, as);
      case "withdraw":
        return post.withdraw(followUp.errand, as);
      case "giveUp":
        return post.giveUp(followUp, as);
      case "release":
        return release(means, as, followUp);
      case "cancelChild": {
        const { execution, tenant, route } = followUp.child;
        return post.cancelChild(post.addressOf(execution, tenant), as, route);
      }
    }
  }, { concurrency: toldAtOnce, discard: true });
