/**
 * The pulls of one worker at one consumer. While the connection is up, some wait at the server under
 * the worker's priority, so that mail comes without being asked for; a change of priority withdraws
 * them and loses nothing that was on its way. Pulls end by themselves well before `ackWaitMs`, so that
 * what a frozen worker does not acknowledge is never offered to it again.
 */
import { type Msg, nanos, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import { newInbox } from "../inbox.ts";
import { rankGroup, type Source } from "../mailbox_consumers.ts";

/** Shorter than `ackWaitMs` less `workingEveryMs`: a frozen worker's last pull is gone by then. */
const pullForMs = 6_000;
/** A little before the last pull ends. */
const pullEveryMs = 5_500;
/** A pull came to its end: 404 and 408; anything else that the server says needs a look. */
const isOrdinary = (status: number): boolean => status === 404 || status === 408;

export interface PullerOptions {
  readonly nats: NatsConnection;
  readonly source: Source;
  /** Takes a message, with the priority under which it was pulled. */
  readonly onMessage: (message: Msg, priority: number) => void;
  /** The server gave up a pull: its leader changed, or the consumer is gone. */
  readonly onTrouble: (status: string) => void;
  /** What may be on its way to the worker, and is late if that dies. */
  readonly batch: number;
  /** Whether to fetch on as messages come, and not only when `refill` is called. */
  readonly isEager: () => boolean;
}

/** The pulls under one priority, which come in at an inbox of their own. */
interface Standing {
  readonly priority: number;
  readonly inbox: string;
  readonly subscription: Subscription;
}

export class Puller {
  readonly #options: PullerOptions;
  readonly #subject: string;
  #standing: Standing | undefined;
  /** What the pulls that were not withdrawn still let the server send, or a little less. */
  #awaited = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: PullerOptions) {
    const { stream, consumer } = options.source;
    this.#options = options;
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
  }

  /** Pulls under this priority from now on. */
  rank(priority: number): void {
    const before = this.#standing;
    const { nats } = this.#options;
    if (before?.priority === priority || nats.isClosed()) return;
    const inbox = newInbox(nats);
    const subscription = nats.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) this.#options.onTrouble(error.message);
        else if (message.subject === inbox) this.#onStatus(message);
        else this.#onMessage(message, priority);
      },
    });
    this.#standing = { priority, inbox, subscription };
    this.pull();
    // The new pull waits before the old one goes; what is on its way still arrives.
    if (before !== undefined) withdraw(before);
  }

  /** Has a full batch waiting, whatever became of earlier pulls. */
  pull(): void {
    if (this.#standing === undefined) return;
    clearInterval(this.#timer);
    const { batch } = this.#options;
    this.#timer = setInterval(() => this.#ask(batch), pullEveryMs);
    this.#ask(batch);
  }

  /** Withdraws its pulls; what is on its way still arrives. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#standing !== undefined) withdraw(this.#standing);
    this.#standing = undefined;
  }

  #ask(batch: number): void {
    const { nats } = this.#options;
    if (this.#standing === undefined || nats.isClosed()) return;
    const { inbox, priority } = this.#standing;
    this.#awaited = this.#options.batch;
    const request = { batch, expires: nanos(pullForMs), group: rankGroup, priority };
    nats.publish(this.#subject, JSON.stringify(request), { reply: inbox });
  }

  /** Has a full batch waiting again, if much of it has come. */
  refill(): void {
    const { batch } = this.#options;
    if (this.#awaited <= batch / 2) this.#ask(batch - Math.max(0, this.#awaited));
  }

  #onMessage(message: Msg, priority: number): void {
    this.#awaited--;
    if (this.#options.isEager()) this.refill();
    this.#options.onMessage(message, priority);
  }

  #onStatus(message: Msg): void {
    const { code = 0, description = "" } = message.headers ?? {};
    if (!isOrdinary(code)) this.#options.onTrouble(`${code} ${description}`.trim());
  }
}

const withdraw = ({ subscription }: Standing): void => {
  subscription.drain().catch(() => undefined);
};
