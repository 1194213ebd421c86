/**
 * What an activation was offered because of its execution, and has not acked: one message at least,
 * which brings the execution back if its owner dies.
 */
import type { Entry } from "../../streams/log.ts";
import type { Delivery } from "../../streams/mailbox.ts";

const byMail = (a: Delivery, b: Delivery): number =>
  a.mail - b.mail || a.entry.sequence - b.entry.sequence;

export class OfferedMail {
  #deliveries: Array<Delivery> = [];

  get all(): ReadonlyArray<Delivery> {
    return this.#deliveries;
  }

  /** Up to where the mailbox is to be read. */
  get last(): number {
    return this.#deliveries.at(-1)?.mail ?? 0;
  }

  /** Takes a message over, in place of an earlier offer of it. */
  take(delivery: Delivery): void {
    const isSame = ({ entry }: Delivery) => entry.sequence === delivery.entry.sequence;
    // It is this worker's under its new offer, and nothing is to be said of the old one.
    this.#deliveries.find(isSame)?.handedOver();
    const others = this.#deliveries.filter((other) => !isSame(other));
    this.#deliveries = [...others, delivery].sort(byMail);
  }

  /** Extends the server's patience. */
  keepAlive(): void {
    for (const delivery of this.#deliveries) delivery.working();
  }

  /** A message of the mailbox, if it was offered with what it says. */
  entryOf(mail: number): Entry | undefined {
    return this.#deliveries.find((each) => each.mail === mail && !each.spilled)?.entry;
  }

  /**
   * Acks all but the last of the mailbox. An owner that is none any more keeps that as well, so that no
   * two of them can ack all.
   */
  ackAllButLast(): void {
    for (const delivery of this.#deliveries.splice(0, this.#deliveries.length - 1)) delivery.ack();
  }
}
