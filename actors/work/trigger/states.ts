/**
 * The states that an execution comes into, as its records tell them: what is new is read when there
 * is something new, and told once. It decides nothing about triggers.
 */
import * as Effect from "effect/Effect";
import { type ExecutionId, type Tenant, Timestamp } from "../../../schema/ids.ts";
import type { RunState } from "../../../schema/run_state.ts";
import type { RecordedWorkEvent } from "../../../schema/work_event.ts";
import { readRecords, recordKinds } from "../../../streams/execution_records.ts";
import { beforeStart, type JournalPosition } from "../../../streams/journal.ts";
import type { Log } from "../../../streams/log.ts";
import { readOn } from "../../../streams/readable_record.ts";
import { executionAddress, kindOfSubject } from "../../../streams/subjects.ts";
import { beforeWork, tellWork, type WorkContext } from "../../core/tell_work.ts";

/** A state that an execution has come into, and by which record. */
export interface Entered {
  readonly state: RunState;
  readonly shard: number;
  readonly sequence: number;
  readonly at: Timestamp;
}

const stateIn = (event: RecordedWorkEvent): RunState | undefined => {
  switch (event.kind) {
    case "runCreated":
      return event.run.state;
    case "runStateChanged":
      return event.newState;
    case "runSuspended":
      return "suspended";
    case "runResumed":
      return "ready";
    case "runCanceled":
      return "canceled";
    default:
      return undefined;
  }
};

/** Reads on from where it read last, each time that it is asked. */
export const makeStates = (log: Log["Service"], tenant: Tenant, execution: ExecutionId) => {
  const address = executionAddress(log.layout, tenant, execution);
  const before: { readonly position: JournalPosition; readonly context: WorkContext } = {
    position: beforeStart,
    context: beforeWork({ execution, tenant }),
  };
  let known = before;
  let through = 0;

  /** The states that it has come into since, and up to where that is known. */
  const read = Effect.fnUntraced(function* () {
    const { sequence: tail } = yield* log.tail(address.shard);
    const kinds = [...recordKinds, "lease"] as const;
    const found = yield* readRecords(log, address, { after: through, through: tail }, kinds);
    const entries = found.filter(({ sequence }) => sequence <= tail);
    const entered: Array<Entered> = [];
    for (const entry of entries) {
      // The mailbox of what was there before is gone when another begins under its name.
      const first = kindOfSubject(entry.subject) === "mail" && known.position.life !== 0
        ? yield* readOn(beforeStart, entry)
        : undefined;
      if (first !== undefined && first.position.life !== 0) known = before;
      const { position, record } = yield* readOn(known.position, entry);
      known = { ...known, position };
      if (record === undefined) continue;
      const at = Timestamp.make(entry.at);
      const told = tellWork(known.context, record, at, entry.sequence);
      known = { position, context: told.context };
      for (const event of told.events) {
        const state = stateIn(event);
        if (state === undefined) continue;
        entered.push({ state, shard: entry.shard, sequence: entry.sequence, at });
      }
    }
    through = tail;
    return { entered, through };
  });

  return { address, read };
};
