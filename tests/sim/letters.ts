/**
 * What clients send to one execution, in their order: the signals that it waits for, some of them
 * more than once, and now and then something that stops it for a while or for good. An execution of
 * which the outcome is known beforehand is sent nothing that could change it.
 */
import type * as Schema from "effect/Schema";
import { SignalId } from "../../schema/ids.ts";
import type { MailRecord, StartRecord } from "../../schema/mail_record.ts";
import type { Choices } from "./choices.ts";
import { type Program, signalsFor } from "./programs.ts";

export type Letter = Exclude<MailRecord, StartRecord>;

export const signalOf = (name: string, signalId: string, payload: Schema.Json): Letter => ({
  kind: "signal",
  name,
  signalId: SignalId.make(signalId),
  key: `${name} ${payload}`,
  payload,
});

const insert = (letters: Array<Letter>, from: number, letter: Letter, choices: Choices): number => {
  const at = from + choices.below(letters.length - from + 1);
  letters.splice(at, 0, letter);
  return at;
};

export const lettersTo = (
  program: Program,
  isRacy: boolean,
  choices: Choices,
): ReadonlyArray<Letter> => {
  const counts = new Map<string, number>();
  const letters = signalsFor(program).flatMap((name, i) => {
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    const payload = `${name} ${count}`;
    const repeated = choices.oneIn(3) ? [signalOf(name, `signal-${i}-again`, payload)] : [];
    return [signalOf(name, `signal-${i}`, payload), ...repeated];
  });
  if (choices.oneIn(4)) {
    const paused = insert(letters, 0, { kind: "pause" }, choices);
    insert(letters, paused + 1, { kind: "resume" }, choices);
  }
  if (choices.oneIn(4)) insert(letters, 0, { kind: "promote" }, choices);
  if (!isRacy) return letters;
  if (choices.oneIn(3)) {
    const force = choices.oneIn(2);
    const at = insert(letters, 0, { kind: "cancel", ...(force ? { force } : {}) }, choices);
    if (choices.oneIn(3)) insert(letters, at + 1, { kind: "cancel", force: true }, choices);
  }
  return letters;
};
