/** Whether the execution that sent for a remote worker has gone on, or is gone, as the log has it now. */
import * as Effect from "effect/Effect";
import type { ErrandRecord } from "../../../schema/errand_record.ts";
import { readMoment } from "../../../streams/execution_records.ts";
import type { Log } from "../../../streams/log.ts";
import { roundOf } from "../../core/decide.ts";
import { takeUpToReplay } from "../../core/take_up.ts";
import { readAll, unread } from "../../engine/history.ts";
import type { Post } from "../../engine/post.ts";

export const isOver = Effect.fnUntraced(function* (
  { log, post }: { readonly log: Log["Service"]; readonly post: Post },
  { execution, tenant, life, turn }: ErrandRecord,
) {
  const address = post.addressOf(execution, tenant);
  const state = takeUpToReplay((yield* readAll(unread, yield* readMoment(log, address))).state);
  return state.life !== life || state.done !== undefined || roundOf(state) !== turn;
});
