/** Bytes as the text that records hold, and back: ids in hexadecimal digits, payloads in base64. */
import { Buffer } from "node:buffer";
import type { EntryId } from "effect/eventlog/EventJournal";

const view = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

export const base64 = (bytes: Uint8Array): string => view(bytes).toString("base64");

export const bytesOf = (text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.from(text, "base64"));

/** Texts are in the order of the ids. */
export const idText = (id: EntryId): string => view(id).toString("hex");

export const idOf = (text: string): EntryId => new Uint8Array(Buffer.from(text, "hex")) as EntryId;
