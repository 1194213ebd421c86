/**
 * The bytes of the hot path: message headers encoded in one step, and the server's answer read
 * without a JSON parser where its form is the usual one. Both are plain functions of their input; an
 * answer in any other form falls back to JSON, so nothing depends on how the server prints it.
 */
import { MsgHdrsImpl } from "@nats-io/nats-core/internal";
import { Fence } from "../fence.ts";
import type { Guard } from "../log.ts";

/** One message as the server will store it. */
export interface Outgoing {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly id: string;
  readonly guard: Guard | undefined;
  /** Further header lines, each ended by CRLF. */
  readonly extraHeaders: string;
  /** Runs when the record is known to be stored, before a later append of its execution is sent. */
  readonly onStored: ((sequence: number) => void) | undefined;
}

/** Where a message stands in an atomic batch. */
export interface BatchPlace {
  readonly batch: string;
  /** 1-based. */
  readonly position: number;
  readonly last: boolean;
}

/** Headers are cut from slabs: a buffer of its own for each costs the garbage collector dearly. */
const slabBytes = 64 * 1024;
/** UTF-8 bytes of a UTF-16 unit, at most. */
const maxBytesPerUnit = 3;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The revision or sequence that a guard expects, as of now. */
export const expectedSequence = (guard: Guard): number =>
  guard instanceof Fence ? guard.revision : guard.after;

/** Whether a guard speaks of the message's own subject, which its own storing moves on. */
export const guardsOwnSubject = (message: Outgoing): boolean =>
  message.guard !== undefined &&
  (message.guard.subject ?? message.subject) === message.subject;

const headerText = (message: Outgoing, place: BatchPlace | undefined): string => {
  const { guard } = message;
  let text = `NATS/1.0\r\nNats-Msg-Id: ${message.id}\r\n`;
  if (guard !== undefined) {
    text += `Nats-Expected-Last-Subject-Sequence: ${expectedSequence(guard)}\r\n`;
    if (!guardsOwnSubject(message)) {
      text += `Nats-Expected-Last-Subject-Sequence-Subject: ${guard.subject}\r\n`;
    }
  }
  if (place !== undefined) {
    text += `Nats-Batch-Id: ${place.batch}\r\nNats-Batch-Sequence: ${place.position}\r\n`;
    if (place.last) text += "Nats-Batch-Commit: 1\r\n";
  }
  return `${text}${message.extraHeaders}\r\n`;
};

/**
 * The headers of one publish after another. The client encodes them before `publish` returns, so one
 * instance serves a connection, and no map of names and values is built to be thrown away.
 */
export class PublishHeaders extends MsgHdrsImpl {
  #slab: Uint8Array = new Uint8Array();
  #bytes: Uint8Array = this.#slab;

  /** Makes these the headers of a message that is published next. */
  write(message: Outgoing, place: BatchPlace | undefined): this {
    const text = headerText(message, place);
    const most = text.length * maxBytesPerUnit;
    if (this.#slab.length < most) this.#slab = new Uint8Array(Math.max(slabBytes, most));
    const { written } = encoder.encodeInto(text, this.#slab);
    this.#bytes = this.#slab.subarray(0, written);
    this.#slab = this.#slab.subarray(written);
    return this;
  }

  override encode(): Uint8Array {
    return this.#bytes;
  }
}

/** What the server said about an append. */
export type Answer =
  | { readonly _tag: "Stored"; readonly sequence: number; readonly duplicate: boolean }
  | Refusal
  | { readonly _tag: "NobodyThere" };

export interface Refusal {
  readonly _tag: "Refused";
  readonly errorCode: number;
  readonly description: string;
}

const digit0 = 0x30;
const closingBrace = 0x7d;

/** Reads answers of one stream; `{"stream":"<name>","seq":` is the usual beginning. */
export const answerReader = (stream: string): (data: Uint8Array) => Answer => {
  const usual = encoder.encode(`{"stream":${JSON.stringify(stream)},"seq":`);
  return (data) => {
    if (data.length === 0) return { _tag: "NobodyThere" };
    if (data.length > usual.length && data[usual.length - 1] === usual[usual.length - 1]) {
      let at = usual.length;
      let sequence = 0;
      for (; at < data.length; at++) {
        const value = data[at]! - digit0;
        if (value < 0 || value > 9) break;
        sequence = sequence * 10 + value;
      }
      if (sequence > 0 && at === data.length - 1 && data[at] === closingBrace) {
        return { _tag: "Stored", sequence, duplicate: false };
      }
    }
    return readJson(data);
  };
};

const readJson = (data: Uint8Array): Answer => {
  const text = decoder.decode(data);
  let json;
  try {
    json = JSON.parse(text) as {
      readonly seq?: number;
      readonly duplicate?: boolean;
      readonly error?: { readonly err_code?: number; readonly description?: string };
    } | null;
  } catch {
    return { _tag: "Refused", errorCode: 0, description: `an answer that is not JSON: ${text}` };
  }
  return json?.error === undefined && typeof json?.seq === "number"
    ? { _tag: "Stored", sequence: json.seq, duplicate: json.duplicate === true }
    : {
      _tag: "Refused",
      errorCode: json?.error?.err_code ?? 0,
      description: json?.error?.description ?? text,
    };
};
