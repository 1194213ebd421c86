/**
 * A server that takes appends as JetStream does, as far as the commit path of the log knows: message
 * ids, guards, atomic batches, and refusals that pass by themselves. What is published waits until
 * somebody has it arrive, in its order; so do the answers. A connection that breaks loses both.
 */
import type { MsgHdrs, NatsConnection } from "@nats-io/nats-core";
import type { Choices } from "./choices.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

interface Published {
  readonly subject: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly reply: string | undefined;
}

/** One record. */
export interface Stored {
  readonly sequence: number;
  readonly subject: string;
  readonly id: string;
  /** Whether it removed what was there before it. */
  readonly replaces: boolean;
}

type Answer = (message: { readonly subject: string; readonly data: Uint8Array }) => void;

export const stream = "KV_appends";

const headersOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split("\r\n").slice(1).flatMap((line) => {
      const colon = line.indexOf(": ");
      return colon === -1 ? [] : [[line.slice(0, colon), line.slice(colon + 2)] as const];
    }),
  );

export class AppendServer {
  /** All that were stored, also those that were replaced. */
  readonly records: Array<Stored> = [];
  readonly #choices: Choices;
  /** With one replica a guard on a message's own subject is looked at before its id is. */
  readonly #looksAtGuardsFirst: boolean;
  readonly #ids = new Map<string, number>();
  readonly #last = new Map<string, number>();
  readonly #batches = new Map<string, Array<Published>>();
  #published: Array<Published> = [];
  #answers: Array<{ readonly subject: string; readonly data: Uint8Array }> = [];
  #answer: Answer = () => {};
  /** Whether it refuses now and then what it could take. */
  isMoody = true;

  constructor(choices: Choices) {
    this.#choices = choices;
    this.#looksAtGuardsFirst = choices.oneIn(2);
  }

  /** As much of a connection as appends need. */
  get connection(): NatsConnection {
    const connection = {
      options: {},
      isClosed: () => false,
      subscribe: (
        _: string,
        { callback }: { callback: (error: null, message: unknown) => void },
      ) => {
        this.#answer = (message) => callback(null, message);
        return { unsubscribe: () => {} };
      },
      publish: (
        subject: string,
        _: Uint8Array,
        { reply, headers }: { readonly reply?: string; readonly headers: MsgHdrs },
      ) => {
        const encoded = (headers as unknown as { encode(): Uint8Array }).encode();
        this.#published.push({ subject, headers: headersOf(decoder.decode(encoded)), reply });
      },
    };
    return connection as unknown as NatsConnection;
  }

  get isIdle(): boolean {
    return this.#published.length === 0 && this.#answers.length === 0;
  }

  lastSequence(subject: string): number {
    return this.#last.get(subject) ?? 0;
  }

  /** Stores what somebody else has written. */
  store(subject: string, id: string, replaces = false): number {
    const sequence = this.records.length + 1;
    this.records.push({ sequence, subject, id, replaces });
    this.#last.set(subject, sequence);
    this.#ids.set(id, sequence);
    return sequence;
  }

  firstAfter(subject: string, after: number): Promise<Stored | undefined> {
    const under = this.records.filter((record) => record.subject === subject);
    const there = under.slice(Math.max(0, under.findLastIndex(({ replaces }) => replaces)));
    return Promise.resolve(there.find(({ sequence }) => sequence > after));
  }

  /** The next of what was published arrives. */
  take(): boolean {
    const published = this.#published.shift();
    if (published === undefined) return false;
    const batch = published.headers.get("Nats-Batch-Id");
    if (batch === undefined) this.#commit([published], published.reply);
    else {
      const staged = [...this.#batches.get(batch) ?? [], published];
      this.#batches.set(batch, staged);
      if (published.headers.has("Nats-Batch-Commit")) {
        this.#batches.delete(batch);
        this.#commit(staged, published.reply);
      }
    }
    return true;
  }

  /** The next answer arrives. */
  tell(): boolean {
    const answer = this.#answers.shift();
    if (answer !== undefined) this.#answer(answer);
    return answer !== undefined;
  }

  /** Some of what was published has arrived yet; nothing else does, and no answer. */
  cut(): void {
    let arrived = this.#choices.below(this.#published.length + 1);
    while (arrived-- > 0) this.take();
    this.#published = [];
    this.#answers = [];
    this.#batches.clear();
  }

  #commit(messages: ReadonlyArray<Published>, reply: string | undefined): void {
    const answer = (json: unknown) => {
      if (reply === undefined) return;
      const data = json === undefined ? new Uint8Array() : encoder.encode(JSON.stringify(json));
      this.#answers.push({ subject: reply, data });
    };
    const refuse = (err_code: number, description: string) =>
      answer({ type: "pub_ack", error: { code: 400, err_code, description } });
    const isAlone = messages.length === 1;
    const ids = messages.map(({ headers }) => headers.get("Nats-Msg-Id")!);
    if (this.isMoody && this.#choices.oneIn(12)) {
      if (isAlone && this.#choices.oneIn(2)) return answer(undefined);
      return refuse(10164, "an append with the same guard is under way");
    }
    const brokenGuards = (onlyOwn: boolean) =>
      messages.flatMap(({ subject, headers }) => {
        const expected = headers.get("Nats-Expected-Last-Subject-Sequence");
        const other = headers.get("Nats-Expected-Last-Subject-Sequence-Subject");
        if (expected === undefined || (onlyOwn && other !== undefined)) return [];
        const actual = this.lastSequence(other ?? subject);
        return actual === Number(expected) ? [] : [`wrong last sequence: ${actual}`];
      });
    const [broken] = brokenGuards(true);
    if (this.#looksAtGuardsFirst && broken !== undefined) return refuse(10071, broken);
    const known = ids.map((id) => this.#ids.get(id)).filter((sequence) => sequence !== undefined);
    if (known.length > 0) {
      if (!isAlone) return refuse(10201, "batch publish contains duplicate message id");
      return answer({ stream, seq: known[0], duplicate: true });
    }
    if (messages.some(({ headers }) => headers.has("Nats-Expected-Last-Msg-Id"))) {
      return refuse(10070, "wrong last msg ID");
    }
    const [anyBroken] = brokenGuards(false);
    if (anyBroken !== undefined) return refuse(10071, anyBroken);
    const sequences = messages.map(({ subject, headers }, i) =>
      this.store(subject, ids[i]!, headers.has("Nats-Rollup"))
    );
    answer({ stream, seq: sequences.at(-1) });
  }
}
