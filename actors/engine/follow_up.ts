/**
 * Telling others that an execution has ended: its parent, those who joined it, and its children.
 * Every message has an id of its own, so that whoever comes after a crash may send all of them again.
 */
import * as Effect from "effect/Effect";
import type { AppendError } from "../../streams/log.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { FollowUp } from "../core/decide.ts";
import type { Post } from "./post.ts";

/** Sends what must follow; `as` is the execution that has ended. */
export const tell = (
  post: Post,
  as: ParentReference,
  followUps: ReadonlyArray<FollowUp>,
): Effect.Effect<void, AppendError> =>
  Effect.forEach(followUps, (followUp) => {
    if (followUp.type === "notify") {
      return post.notify(followUp.parent, as.execution, followUp.outcome);
    }
    if (followUp.type === "leave") return post.leave(followUp.turn, as);
    if (followUp.type === "giveUp") return post.giveUp(followUp, as);
    const { execution, tenant, route } = followUp.child;
    return post.cancelChild(post.addressOf(execution, tenant), as, route);
  }, { discard: true });
