/**
 * The events of the log that are still to be published, as one reader has learnt of them, oldest
 * first. It may lag, and so may propose what somebody else has taken meanwhile: a claim decides. Of
 * one key and shard it proposes only the oldest event. It reads and writes nothing.
 */
import { createHash } from "node:crypto";
import type { Timestamp } from "../../schema/ids.ts";
import type { Address } from "../subjects.ts";
import type { NewOutboxEvent } from "./event.ts";
import type { OutboxRecord } from "./record.ts";

/** An event that is neither sent nor dead. */
export interface OpenEvent {
  readonly address: Address;
  readonly event: NewOutboxEvent;
  readonly createdAt: Timestamp;
  /** Of the record that holds the event. */
  readonly firstSequence: number;
  /** Of the last record: the next must follow it. */
  readonly sequence: number;
  readonly failures: number;
  /** Whether somebody has claimed it. */
  readonly isClaimed: boolean;
  /** When it may be claimed: its lock has lapsed, or the pause after a failure is over. */
  readonly claimableAt: number;
}

/** One record, and where the log has it. */
export interface Placed {
  readonly address: Address;
  readonly sequence: number;
  readonly at: number;
  readonly record: OutboxRecord;
}

/** How many times what is asked for is looked at, so that several owners rarely choose the same. */
const choiceFactor = 8;

const placeOf = ({ shard, tail }: Address): string => `${shard}.${tail}`;

const lineOf = ({ shard, tail }: Address, key: string): string =>
  `${shard}.${tail.slice(0, tail.indexOf("."))}.${key}`;

/** Another order for each owner. */
const preference = (owner: string, event: NewOutboxEvent): string =>
  createHash("sha256").update(`${owner}\n${event.id}`).digest("base64");

export class Backlog {
  /** In the order of the log. */
  readonly #open = new Map<string, OpenEvent>();
  readonly #byId = new Map<string, string>();
  /** The places of the events of one key, oldest first. */
  readonly #lines = new Map<string, Set<string>>();

  get size(): number {
    return this.#open.size;
  }

  get events(): Iterable<OpenEvent> {
    return this.#open.values();
  }

  byId(id: string): OpenEvent | undefined {
    const place = this.#byId.get(id);
    return place === undefined ? undefined : this.#open.get(place);
  }

  /** Takes one record in; says whether there is something to claim that there was not before. */
  take({ address, sequence, at, record }: Placed): boolean {
    const place = placeOf(address);
    const known = this.#open.get(place);
    if (known !== undefined && sequence <= known.sequence) return false;
    if (record.kind === "event") {
      const { kind: _, createdAt, ...event } = record;
      this.#add(place, {
        address,
        event,
        createdAt,
        firstSequence: sequence,
        sequence,
        failures: 0,
        isClaimed: false,
        claimableAt: 0,
      });
      return true;
    }
    // What begins before the first record that was read is over.
    if (known === undefined) return false;
    switch (record.kind) {
      case "claimed":
        this.#open.set(place, {
          ...known,
          sequence,
          isClaimed: true,
          claimableAt: at + record.lockMs,
        });
        return false;
      case "failed": {
        const { failures, retryAfterMs } = record;
        const claimableAt = at + retryAfterMs;
        this.#open.set(place, { ...known, sequence, failures, isClaimed: false, claimableAt });
        return false;
      }
      case "released":
        this.#open.set(place, { ...known, sequence, isClaimed: false, claimableAt: 0 });
        return true;
      case "sent":
      case "dead":
      case "deleted":
        this.#remove(place, known);
        return false;
    }
  }

  /** What may be claimed now, in an order of the owner's own among the oldest. */
  claimable(now: number, { owner, limit }: { readonly owner: string; readonly limit: number }) {
    const found: Array<OpenEvent> = [];
    for (const [place, open] of this.#open) {
      if (found.length >= limit * choiceFactor) break;
      if (open.claimableAt <= now && this.#isFirst(place, open)) found.push(open);
    }
    if (found.length <= limit) return found;
    return found
      .map((open) => [preference(owner, open.event), open] as const)
      .sort(([a], [b]) => a < b ? -1 : 1)
      .map(([, open]) => open);
  }

  /** Up to where everything of a shard is over, if what was read of it ends with `read`. */
  floor(shard: number, read: number): number {
    let floor = read;
    // Above an event that is open it would lose that, so their order is not relied on.
    for (const { address, firstSequence } of this.#open.values()) {
      if (address.shard === shard) floor = Math.min(floor, firstSequence - 1);
    }
    return floor;
  }

  #isFirst(place: string, { address, event }: OpenEvent): boolean {
    if (event.key === undefined) return true;
    const [first] = this.#lines.get(lineOf(address, event.key)) ?? [];
    return first === undefined || first === place;
  }

  #add(place: string, open: OpenEvent): void {
    const { address, event: { id, key } } = open;
    const known = this.#open.get(place);
    if (known !== undefined) this.#remove(place, known);
    this.#open.set(place, open);
    this.#byId.set(id, place);
    if (key === undefined) return;
    const line = lineOf(address, key);
    const places = this.#lines.get(line);
    if (places === undefined) this.#lines.set(line, new Set([place]));
    else places.add(place);
  }

  #remove(place: string, { address, event: { id, key } }: OpenEvent): void {
    this.#open.delete(place);
    this.#byId.delete(id);
    if (key === undefined) return;
    const line = lineOf(address, key);
    const places = this.#lines.get(line);
    places?.delete(place);
    if (places?.size === 0) this.#lines.delete(line);
  }
}
