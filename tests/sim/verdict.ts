/**
 * What holds of every schedule, whatever happened: nobody wrote who had lost the lease, nothing was
 * recorded twice, every signal counts once and in its turn, and what was awaited came. It reads the
 * log and no owner's memory, but to compare the two.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import * as Option from "effect/Option";
import { runStateOf } from "../../actors/core/run_state.ts";
import { contentOf } from "../../actors/core/snapshot.ts";
import { beginOf, type ExecutionState } from "../../actors/core/state.ts";
import { takeUpRest, takeUpToReplay } from "../../actors/core/take_up.ts";
import { beforeWork, tellWork } from "../../actors/core/tell_work.ts";
import { ExecutionId, Timestamp } from "../../schema/ids.ts";
import { isHeld } from "../../schema/lease_record.ts";
import type { JournalRecord, SignalRecord } from "../../schema/journal_record.ts";
import type { SignalMail } from "../../schema/mail_record.ts";
import type { RecordedWorkEvent } from "../../schema/work_event.ts";
import { readMoment, recordKinds } from "../../streams/execution_records.ts";
import { nonceOfId } from "../../streams/fence.ts";
import { beforeStart } from "../../streams/journal.ts";
import { readOn } from "../../streams/readable_record.ts";
import { type Address, kindOfSubject } from "../../streams/subjects.ts";
import * as schema from "../../schema/mod.ts";
import { judgeOfWork } from "../public/told_work.ts";
import type { Book, Line } from "./book.ts";
import type { Owner } from "./owner.ts";
import { expected, isPossible, type Program, programOf } from "./programs.ts";
import { judgeAttempts, judgeLeases, judgeNotices, judgeTries, leasesOf } from "./sequence.ts";
import { tenant, type World } from "./world.ts";
import { Wrong } from "./wrong.ts";

const problemOfWork = judgeOfWork(schema);

const started = (book: Book, world: World) =>
  [...world.addresses.values()].flatMap((address) => {
    const state = book.stateOf(address);
    return state.start === undefined ? [] : [{ address, state: takeUpToReplay(state) }];
  });

/** What has not ended. */
export const unfinished = (book: Book, world: World) =>
  started(book, world).filter(({ state }) => state.done === undefined);

/** What two who have read the same records must agree on; the time of an own record is not known. */
const comparable = (state: ExecutionState): unknown => {
  const { operations, signalKeys, ...content } = contentOf(state, 0, undefined);
  return {
    ...content,
    operations: operations.map(({ since: _, ...operation }) => operation),
    signalKeys: Object.entries(signalKeys).sort(),
    outcome: state.done?.record.outcome,
    expired: state.expired,
    inbox: state.inbox,
  };
};

/** What an owner knew when it let go is what the log says up to there. */
export const judgeOwner = (book: Book, { address, mailRead, state, worker, written }: Owner) => {
  const told = comparable(takeUpRest(
    book.stateOf(
      address,
      ({ counted, entry: { sequence } }) =>
        sequence <= (counted?.type === "mail" ? mailRead : written),
    ),
  ));
  // Who ends leaves what he found behind that for others to answer.
  const known = comparable(takeUpRest(state));
  if (JSON.stringify(told) === JSON.stringify(known)) return;
  assert.deepEqual(known, told, `${worker} knew ${address.label} as it was not`);
};

/**
 * What has ended is nobody's, and the lease says so, unless one who claimed it too late has died over
 * that: nothing follows from it, and nobody comes back for it.
 */
const judgeLease = (world: World, address: Address): void => {
  const lease = world.run(world.leases.current(address));
  const isOwned = Option.exists(
    lease,
    ({ held, record }) => held && !world.died.has(record.workerInstanceId),
  );
  if (isOwned) throw new Wrong(`${address.label} is still owned`);
};

/** Whoever wrote held the lease at that very place in the log. */
const judgeFence = (
  { label }: Address,
  lines: ReadonlyArray<Line>,
  changes: ReturnType<typeof leasesOf>,
): void => {
  const leases = [...changes];
  let holder: string | undefined;
  for (const { entry: { sequence, subject, id = "" } } of lines) {
    if (kindOfSubject(subject) === "mail") continue;
    while (leases.length > 0 && leases[0]!.sequence < sequence) {
      const { record } = leases.shift()!;
      holder = isHeld(record) ? record.nonce : undefined;
    }
    if (nonceOfId(id) !== holder || holder === undefined) {
      throw new Wrong(`record ${sequence} of ${label} is not by the holder of the lease`);
    }
  }
};

/** What is told of work is what may be, and comes to the state that the records make. */
const judgeWork = (world: World, address: Address): void => {
  const { label } = address;
  let position = beforeStart;
  let context = beforeWork({ execution: ExecutionId.make(label), tenant });
  const events: Array<RecordedWorkEvent> = [];
  for (const entry of world.run(readMoment(world.log, address, [...recordKinds, "lease"]))) {
    const step = world.run(readOn(position, entry));
    position = step.position;
    if (step.record === undefined) continue;
    const at = Timestamp.make(entry.at);
    const told = tellWork(context, step.record, at, entry.sequence);
    context = told.context;
    events.push(...told.events);
    const { claim, run, state } = context;
    if (run === undefined) continue;
    const projected = runStateOf(state, claim, at);
    // What had begun nothing that was recorded, and what was let go as the next attempt was due.
    const isHalf = (run.state === "running" && projected === "leased") ||
      (run.state === "retryWait" && beginOf(takeUpRest(state)) <= at);
    if (run.state !== projected && !isHalf) {
      throw new Wrong(`${label} is told as ${run.state}, and is ${projected} at ${entry.sequence}`);
    }
  }
  const problem = problemOfWork(events);
  if (problem !== undefined) throw new Wrong(`${label}: ${problem}`);
};

interface Life {
  readonly journal: ReadonlyArray<JournalRecord>;
  readonly signals: ReadonlyArray<{ readonly sequence: number; readonly record: SignalMail }>;
  readonly isCancelled: boolean;
}

/** The records that count; of what an owner wrote in this life, all do. */
const lifeOf = (lines: ReadonlyArray<Line>): Life => {
  const journal: Array<JournalRecord> = [];
  const signals: Array<Life["signals"][number]> = [];
  let isCancelled = false;
  for (const { counted, isOfLife, entry: { sequence, subject } } of lines) {
    if (counted?.type === "journal") journal.push(counted.record);
    else if (counted?.type === "mail") {
      const { record } = counted;
      if (record.kind === "signal") signals.push({ sequence, record });
      if (record.kind === "cancel") isCancelled = true;
    } else if (isOfLife && journalKinds.has(kindOfSubject(subject) ?? "")) {
      throw new Wrong(`record ${sequence} is void`);
    }
  }
  return { journal, signals, isCancelled };
};
const journalKinds: ReadonlySet<string> = new Set(["log", "signal", "tag", "done"]);

const isAccepted = ({ effect }: SignalRecord): boolean =>
  effect === "buffered" || effect === "satisfied";

/** A step that succeeded is recorded once, and one that failed once in an attempt. */
const judgeSteps = (name: string, { journal }: Life): void => {
  const results = new Map<string, string>();
  for (const record of journal) {
    if (record.kind === "step") {
      if (results.has(record.key)) throw new Wrong(`${name} records ${record.key} twice`);
      results.set(record.key, record.result.type);
    } else if (record.kind === "replayed" && record.from === "start") results.clear();
    else if (record.kind === "attemptFailed" || record.kind === "replayed") {
      for (const [key, type] of results) if (type === "failure") results.delete(key);
    }
  }
};

/** Nothing follows the end but that it runs again, and the refusal of what came late. */
const judgeEnd = (name: string, { journal }: Life): void => {
  let isOver = false;
  for (const record of journal) {
    if (record.kind === "replayed") isOver = false;
    const isLate = record.kind === "claimed" || (record.kind === "signal" && !isAccepted(record));
    if (isOver && !isLate) throw new Wrong(`${name} has ended, and then comes ${record.kind}`);
    if (record.kind === "done") isOver = true;
  }
  if (!isOver) throw new Wrong(`${name} has not ended`);
};

/** Signals are met in the order in which they came, each once, and those of one key as one. */
const judgeSignals = (name: string, { journal, signals }: Life): void => {
  const records = journal.filter((record) => record.kind === "signal");
  const firstOf = new Map<number, SignalRecord>();
  const satisfied = new Set<number>();
  const keys = new Set<string>();
  const lastOf = new Map<string, number>();
  for (const record of records) {
    const { sequence, effect } = record;
    const first = firstOf.get(sequence);
    if (first === undefined) {
      const before = [...firstOf.keys()].at(-1) ?? 0;
      const mail = signals.find((signal) => signal.sequence === sequence);
      if (sequence < before || mail === undefined) throw new Wrong(`${name} jumps to ${sequence}`);
      firstOf.set(sequence, record);
      const { key } = mail.record;
      if (key !== undefined && isAccepted(record)) {
        if (keys.has(key)) throw new Wrong(`${name} accepts ${key} twice`);
        keys.add(key);
      }
      if (effect === "deduped" && (key === undefined || !keys.has(key))) {
        throw new Wrong(`${name} takes signal ${sequence} for another`);
      }
    } else if (first.effect !== "buffered" || effect !== "satisfied") {
      throw new Wrong(`${name} meets signal ${sequence} again`);
    }
    if (effect !== "satisfied") continue;
    const isInTurn = sequence > (lastOf.get(record.name) ?? 0);
    if (satisfied.has(sequence) || !isInTurn) {
      throw new Wrong(`${name} takes signal ${sequence} out of turn`);
    }
    satisfied.add(sequence);
    lastOf.set(record.name, sequence);
  }
  const lastMail = journal.reduce(
    (last, record) => record.kind === "claimed" ? last : Math.max(last, record.mail),
    0,
  );
  const lost = signals.find(({ sequence }) => sequence <= lastMail && !firstOf.has(sequence));
  if (lost !== undefined) throw new Wrong(`${name} passes over signal ${lost.sequence}`);
};

const judgeOutcome = (
  { state, program, isCancelled, vagueMs }: {
    readonly state: ExecutionState;
    readonly vagueMs: number;
    readonly program: Program;
    readonly isCancelled: boolean;
  },
  isRacy: boolean,
): boolean => {
  const { record: { outcome }, at } = state.done!;
  const { deadline } = state.start!.record;
  if (!isRacy) return isDeepStrictEqual(outcome, expected(program));
  switch (outcome.type) {
    case "success":
      return isPossible(program, outcome.value as ReadonlyArray<string>);
    case "cancelled":
      return isCancelled;
    case "failure":
      // What is cancelled is not tried again.
      return isCancelled && program.failingAttempts > 0;
    case "expired":
      return deadline !== undefined && deadline <= at + vagueMs;
    default:
      return false;
  }
};

export const judge = (
  book: Book,
  world: World,
  programs: ReadonlyMap<string, Program>,
  isRacy: boolean,
): void => {
  if (world.wrong !== undefined) throw new Wrong(world.wrong);
  for (const { address, state } of started(book, world)) {
    const name = address.label;
    const lines = book.linesOf(address);
    const program = programOf(name, programs);
    const leases = leasesOf(world, address);
    judgeFence(address, lines, leases);
    judgeLeases(address, leases);
    judgeLease(world, address);
    judgeNotices(book, world, lines);
    judgeAttempts(address, lines, leases);
    judgeTries(address, lines, program);
    // Telling it costs more than all the rest, so some are chosen, by what a repetition repeats.
    if (lines.length % 16 === 0) judgeWork(world, address);
    const life = lifeOf(lines);
    judgeSteps(name, life);
    judgeSignals(name, life);
    judgeEnd(name, life);
    const { isCancelled } = life;
    if (judgeOutcome({ state, program, isCancelled, vagueMs: world.vagueMs }, isRacy)) continue;
    throw new Wrong(`${name} cannot end with ${JSON.stringify(state.done!.record.outcome)}`);
  }
};
