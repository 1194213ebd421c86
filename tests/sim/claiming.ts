/**
 * Claiming an execution as the engine does: what has ended is only answered for, what is somebody's
 * is left to him, and what was somebody's is read behind the own mark.
 */
import * as Option from "effect/Option";
import { afterEnd } from "../../actors/core/decide.ts";
import { takeUpToReplay } from "../../actors/core/take_up.ts";
import { readAll, unread } from "../../actors/engine/history.ts";
import { readHistory } from "../../actors/engine/snapshot.ts";
import { WorkerInstanceId } from "../../schema/ids.ts";
import { nonceOfId } from "../../streams/fence.ts";
import type { Lease } from "../../streams/lease.ts";
import { executionFilter } from "../../streams/subjects.ts";
import { type Hold, Lost, type Pause } from "./hold.ts";
import type { Item } from "./world.ts";

const leaseTtl = "10 seconds";

/** Claims what was offered; says whether there is anything to run. */
export function* claimFor(
  hold: Hold,
  item: Item,
): Generator<Pause, "claimed" | "ended" | "unstarted"> {
  const { world, address } = hold;
  const last = yield* hold.do(world.log.lastOfEach(address, ["done", "log"]));
  const done = last.get("done");
  if (done !== undefined && (last.get("log")?.sequence ?? 0) < done.sequence) {
    const isConcluded = yield* hold.do(
      world.leases.conclude(address, nonceOfId(done.id!)!),
    );
    if (!(yield* isRetried(hold, item, isConcluded))) return "ended";
  }
  hold.lease = yield* acquire(hold);
  hold.leaseWrittenAt = world.now;
  const { epoch, attempt, reclaims } = hold.lease;
  hold.say(`is claimed, epoch ${epoch}, attempt ${attempt}, reclaims ${reclaims}`);
  let claimed = 0;
  if (epoch > 1) {
    const now = yield* hold.do(world.log.lastSequences(address, ["done", "log"]));
    const end = now.get("done") ?? 0;
    if (end > (done?.sequence ?? 0) && (now.get("log") ?? 0) < end) {
      hold.say("has ended meanwhile");
      yield* hold.do(world.leases.release(hold.lease));
      return yield* claimFor(hold, item);
    }
    const worker = WorkerInstanceId.make(hold.worker);
    claimed = yield* hold.append("log", { kind: "claimed", worker, epoch, attempt, reclaims });
  }
  const through = Math.max(item.mail, claimed);
  const { history, left } = yield* hold.do(readHistory(world.log, address, through));
  hold.history = history;
  hold.left = left;
  hold.lastRecord = history.journal;
  hold.state = history.state;
  hold.adoptAttempt();
  if (hold.state.start === undefined) {
    yield* hold.do(world.leases.release(hold.lease));
    return "unstarted";
  }
  return "claimed";
}

/** Whether what has ended is to run again; if not, whoever must know is told how it ended. */
function* isRetried(
  hold: Hold,
  { mail }: Item,
  isConcluded: boolean,
): Generator<Pause, boolean> {
  const { world, address } = hold;
  const entries = yield* hold.do(world.log.readThrough(executionFilter(address), {
    through: mail,
  }));
  const history = world.run(readAll(unread, entries));
  const known = takeUpToReplay(history.state);
  if (known.done === undefined || known.inbox.length > 0) return true;
  hold.state = known;
  yield* hold.follow(afterEnd(known, known.done.record.outcome));
  // Who has claimed it since must first see for himself, or be gone.
  if (!isConcluded) throw new Lost({ _tag: "LeaseHeld" });
  hold.ackThrough(history.mail);
  return false;
}

function* acquire(hold: Hold): Generator<Pause, Lease> {
  const { world, address } = hold;
  const worker = WorkerInstanceId.make(hold.worker);
  const options = { worker, ttl: leaseTtl, session: true } as const;
  try {
    return yield* hold.do(world.leases.acquire(address, options));
  } catch (error) {
    if (!(error instanceof Lost) || error.holder !== hold.worker) throw error;
  }
  // What this worker has given up without being able to say so.
  const current = Option.getOrUndefined(yield* hold.do(world.leases.current(address)));
  const isOwn = current?.record.workerInstanceId === worker;
  return yield* hold.do(world.leases.acquire(address, {
    ...options,
    ...(isOwn ? { endedRevision: current.revision } : {}),
  }));
}
