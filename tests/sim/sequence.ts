/**
 * What must come before what, and how often: a lease changes hands only when nobody has it, an end is
 * told only after it is recorded, a timer is set for the deadline that was recorded, and an attempt
 * or a try begins only because the one before has failed.
 */
import { isDeepStrictEqual } from "node:util";
import * as Effect from "effect/Effect";
import { isHeld, type LeaseRecord, leaseRecord } from "../../schema/lease_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import type { Book, Line } from "./book.ts";
import type { Program } from "./programs.ts";
import type { World } from "./world.ts";
import { Wrong } from "./wrong.ts";

/** The records of a lease, in order. */
export const leasesOf = (
  world: World,
  address: Address,
): ReadonlyArray<{ readonly sequence: number; readonly record: LeaseRecord }> =>
  world.run(Effect.flatMap(
    world.log.readThrough(executionFilter(address, "lease"), { through: 0 }),
    (entries) =>
      Effect.forEach(entries, (entry) =>
        Effect.map(
          leaseRecord.decode(entry.body, entry),
          (record) => ({ sequence: entry.sequence, record }),
        )),
  ));

/** Only who holds a lease renews it or gives it up, and only what nobody else holds is claimed. */
export const judgeLeases = (
  { label }: Address,
  leases: ReturnType<typeof leasesOf>,
): void => {
  let before: LeaseRecord | undefined;
  for (const { sequence, record } of leases) {
    const isClaim = record.kind === "acquired" || record.kind === "reclaimed";
    const isHeldBefore = before !== undefined && isHeld(before);
    if (isClaim) {
      const isFree = !isHeldBefore || before?.workerInstanceId === record.workerInstanceId;
      if (!isFree || record.epoch !== (before?.epoch ?? 0) + 1) {
        throw new Wrong(`the lease of ${label} is claimed at ${sequence} from its holder`);
      }
    } else if (!isHeldBefore || before?.nonce !== record.nonce) {
      throw new Wrong(
        `the lease of ${label} is ${record.kind} at ${sequence}, which nobody holds so`,
      );
    }
    before = record;
  }
};

/** Who is told of an end is told what was recorded before. */
export const judgeNotices = (book: Book, world: World, lines: ReadonlyArray<Line>): void => {
  for (const { counted, entry: { sequence } } of lines) {
    if (counted?.type !== "mail" || counted.record.kind !== "child") continue;
    const { execution, outcome } = counted.record;
    const isRecorded = book.linesOf(world.addressOf(execution)).some(({ counted, entry }) =>
      entry.sequence < sequence && counted?.type === "journal" && counted.record.kind === "done" &&
      isDeepStrictEqual(counted.record.outcome, outcome)
    );
    if (!isRecorded) throw new Wrong(`the end of ${execution} is told at ${sequence}, unrecorded`);
  }
};

/** A timer says when it is due, and is set for that very time, however often it is set. */
export const problemOfTimer = (
  { label }: Address,
  { at, body, key }: { readonly at: number; readonly body: Uint8Array; readonly key: string },
): string | undefined => {
  const mail = Effect.runSync(mailRecord.decode(body, { subject: label, sequence: 0 }));
  return mail.kind === "timer" && mail.due !== at
    ? `the timer ${key} of ${label} is set ${at - mail.due} ms late`
    : undefined;
};

/** Nothing but a failure, a takeover from an owner who failed, and an operator begins an attempt. */
export const judgeAttempts = (
  { label }: Address,
  lines: ReadonlyArray<Line>,
  leases: ReturnType<typeof leasesOf>,
): void => {
  const takeovers = leases.filter(({ record }) => record.kind === "reclaimed");
  let begun = 0;
  for (const { counted, entry: { sequence } } of lines) {
    if (counted?.type !== "journal") continue;
    const { record } = counted;
    if (record.kind === "attemptFailed" || record.kind === "replayed") begun++;
    if (record.kind !== "claimed" && record.kind !== "done") continue;
    const most = begun + takeovers.filter((takeover) => takeover.sequence < sequence).length;
    if (record.attempt > most) {
      throw new Wrong(`${label} has come to attempt ${record.attempt} at ${sequence}, not ${most}`);
    }
  }
};

/** A step fails as often as it must, each time once, and then is not tried again. */
export const judgeTries = (
  { label }: Address,
  lines: ReadonlyArray<Line>,
  { groups }: Program,
): void => {
  const failures = new Map(
    groups.flat().flatMap((each) => each.kind === "run" ? [[each.key, each.failures]] : []),
  );
  const tries = new Map<string, number>();
  for (const { counted } of lines) {
    if (counted?.type !== "journal") continue;
    const { record } = counted;
    if (record.kind === "attemptFailed" || record.kind === "replayed") tries.clear();
    if (record.kind !== "step" && record.kind !== "stepFailed") continue;
    const { key } = record;
    // A failure may be recorded twice, as any command may be given twice.
    if (record.kind === "stepFailed" && record.tries === tries.get(key)) continue;
    const next = (tries.get(key) ?? 0) + 1;
    tries.set(key, next);
    const isLast = next > (failures.get(key) ?? 0);
    if (record.tries !== next || isLast !== (record.kind === "step")) {
      throw new Wrong(`${label} records try ${record.tries} of ${key}, which is its try ${next}`);
    }
  }
};
