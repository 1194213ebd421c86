/**
 * An entry as a consumer gave it, of which only what is asked for is taken apart: most readers want
 * no header of most messages, and to read them costs more than all else about a message.
 */
import type { Msg } from "@nats-io/nats-core";
import type { Entry } from "../log.ts";
import type { Sealing } from "../sealing.ts";
import { isReference, objectHeader, recordHeader } from "./spill.ts";

export class Arrived implements Entry {
  readonly shard: number;
  readonly subject: string;
  readonly sequence: number;
  readonly at: number;
  readonly #message: Msg;
  readonly #sealing: Sealing;
  #body: Uint8Array | undefined;

  constructor(
    shard: number,
    message: Msg,
    { sequence, at }: { readonly sequence: number; readonly at: number },
    sealing: Sealing,
  ) {
    this.shard = shard;
    this.subject = message.subject;
    this.sequence = sequence;
    this.at = at;
    this.#message = message;
    this.#sealing = sealing;
  }

  get body(): Uint8Array {
    return this.#body ??= this.#sealing.open(this.#message.data);
  }

  get id(): string | undefined {
    return this.#header("Nats-Msg-Id");
  }

  get removed(): boolean {
    return this.#header("KV-Operation") !== undefined ||
      this.#header("Nats-Marker-Reason") !== undefined;
  }

  get follows(): number | undefined {
    const last = this.#header("Nats-Expected-Last-Subject-Sequence");
    const isOfOwn = this.#header("Nats-Expected-Last-Subject-Sequence-Subject") === undefined;
    return last === undefined || !isOfOwn ? undefined : Number(last);
  }

  /**
   * The object that the body refers to, if it was too large for a message. Bucket keys are small: one
   * that claims an object was made by hand, and is judged as it stands.
   */
  get object(): string | undefined {
    return !isReference(this.#message.data) || this.subject.startsWith("$KV.")
      ? undefined
      : this.#header(objectHeader);
  }

  /** Of what kind the record is that lies elsewhere, as its writer says; older ones say nothing. */
  get recordKind(): string | undefined {
    return this.#header(recordHeader);
  }

  #header(name: string): string | undefined {
    const { headers } = this.#message;
    return headers?.has(name) ? headers.get(name) : undefined;
  }
}
