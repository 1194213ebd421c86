/**
 * Timers as the server keeps them: a schedule is a message that says when its body is to be put into
 * the mailbox, and the last message of its subject is the one that counts. What takes it back stands
 * in its place for a moment, since the server's own way of cancelling needs another subject, where
 * something would remain. Nothing here knows what timers are for.
 */
import type { MsgHdrs } from "@nats-io/nats-core";
import type { Message } from "../log.ts";
import { type Address, kindOfSubject, subjectOf } from "../subjects.ts";

/** The server counts nanoseconds in 64 bits; what is due beyond them would come at once. */
const endOfTime = Date.parse("2262-04-11T00:00:00Z");

const nothing = new Uint8Array();

/** The message as it is stored: what takes a schedule back is a mark that goes by itself. */
export const asStored = (message: Message): Message =>
  message.unschedules === true
    ? { ...message, body: nothing, replaces: true, removes: true, ttlSeconds: 1 }
    : message;

/** The header lines that make a message a schedule. */
export const scheduleHeaders = (to: Address, { schedule }: Message): string =>
  schedule === undefined
    ? ""
    : `Nats-Schedule: @at ${
      new Date(Math.min(Math.max(schedule.at, 0), endOfTime)).toISOString()
    }\r\nNats-Schedule-Target: ${subjectOf(to, schedule.into ?? "mail")}\r\n`;

/** The schedule that header lines speak of; what is none is never due. */
export const scheduleOf = (
  headers: MsgHdrs | undefined,
): { readonly due: number; readonly into: "mail" | "gc" } => {
  const due = Date.parse(headers?.get("Nats-Schedule").replace("@at ", "") ?? "");
  const into = kindOfSubject(headers?.get("Nats-Schedule-Target") ?? "") === "gc" ? "gc" : "mail";
  return { due: Number.isNaN(due) ? Infinity : due, into };
};
