/**
 * What an activation was offered because of its execution, and has not acked: one message at least,
 * which brings the execution back if its owner dies.
 */
import { firstWhere } from "../../schema/first_where.ts";
import type { Entry } from "../../streams/log.ts";
import type { Delivery } from "../../streams/mailbox.ts";

const byMail = (a: Delivery, b: Delivery): number =>
  a.mail - b.mail || a.entry.sequence - b.entry.sequence;

export class OfferedMail {
  /** In the order of the mailbox; there may be as many as an execution may have signals. */
  readonly #deliveries: Array<Delivery> = [];

  get all(): ReadonlyArray<Delivery> {
    return this.#deliveries;
  }

  /** Up to where the mailbox is to be read. */
  get last(): number {
    return this.#deliveries.at(-1)?.mail ?? 0;
  }

  /** Takes a message over, in place of an earlier offer of it. */
  take(delivery: Delivery): void {
    const index = firstWhere(this.#deliveries, (other) => byMail(other, delivery) >= 0);
    const found = this.#deliveries[index];
    const isSame = found !== undefined && byMail(found, delivery) === 0;
    // It is this worker's under its new offer, and nothing is to be said of the old one.
    if (isSame) found.handedOver();
    this.#deliveries.splice(index, isSame ? 1 : 0, delivery);
  }

  /** Extends the server's patience. */
  keepAlive(): void {
    for (const delivery of this.#deliveries) delivery.working();
  }

  /** A message of the mailbox, if it was offered with what it says. */
  entryOf(mail: number): Entry | undefined {
    let index = firstWhere(this.#deliveries, (each) => each.mail >= mail);
    while (this.#deliveries[index]?.mail === mail && this.#deliveries[index]!.spilled) index++;
    const found = this.#deliveries[index];
    return found?.mail === mail ? found.entry : undefined;
  }

  /**
   * Acks all but the last of the mailbox. An owner that is none any more keeps that as well, so that no
   * two of them can ack all.
   */
  ackAllButLast(): void {
    for (const delivery of this.#deliveries.splice(0, this.#deliveries.length - 1)) delivery.ack();
  }
}
