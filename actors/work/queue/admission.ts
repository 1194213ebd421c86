/**
 * Who may begin, of those who wait in a queue: as many as may run at once, no more of one key than it
 * allows, not faster than the rates say, tenants by their weights, and within a tenant the most
 * urgent first, where who has waited longer has become more urgent. Pure: times come with the calls.
 */
import { Bucket, type Rate } from "./bucket.ts";
import { WaitingLine } from "./waiting_line.ts";

export interface QueueLimits {
  /** How many may run at once. */
  readonly concurrency: number;
  /** How many of one key of a tenant may run at once. */
  readonly perKey: number;
  readonly perTenant?: number;
  readonly rate?: Rate;
  readonly tenantRate?: Rate;
  readonly keyRate?: Rate;
  /** How much of the queue a tenant gets while others wait as well; 1 for those not named. */
  readonly weights: Readonly<Record<string, number>>;
  /** Who has waited for so long comes before who has a priority more by one. */
  readonly ageingMs: number;
  readonly paused: boolean;
  readonly pausedTenants: ReadonlyArray<string>;
}

/** A place in a queue. */
export interface Seat {
  readonly id: string;
  readonly tenant: string;
  readonly key?: string;
  readonly priority: number;
  readonly since: number;
}

/** What is known of a key, for as long as it differs from one that nobody has ever asked for. */
interface KeyUse {
  holders: number;
  waiters: number;
  bucket: Bucket | undefined;
}

interface Share {
  readonly tenant: string;
  line: WaitingLine;
  readonly keys: Map<string, KeyUse>;
  running: number;
  bucket: Bucket | undefined;
  /** How much the tenant has had, by its weight. */
  had: number;
}

export class Admission {
  #limits: QueueLimits;
  readonly #waiting = new Map<string, Seat>();
  readonly #running = new Map<string, Seat>();
  readonly #shares = new Map<string, Share>();
  #bucket: Bucket | undefined;
  /** What has come together for a key from which nobody has taken, since the queue is kept here. */
  #untouched: Bucket | undefined;
  /** How much the tenant has had that was served last. */
  #had = 0;
  #now = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
    this.#bucket = Bucket.of(limits.rate);
    this.#untouched = Bucket.of(limits.keyRate);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Of how many keys anything is known. */
  get keys(): number {
    let known = 0;
    for (const { keys } of this.#shares.values()) known += keys.size;
    return known;
  }

  /** Goes by other limits from now on; who runs goes on. */
  configure(limits: QueueLimits): void {
    this.#limits = limits;
    this.#bucket = Bucket.of(limits.rate, this.#bucket);
    this.#untouched = Bucket.of(limits.keyRate, this.#untouched);
    for (const share of this.#shares.values()) {
      share.bucket = Bucket.of(limits.tenantRate, share.bucket);
      for (const use of share.keys.values()) use.bucket = Bucket.of(limits.keyRate, use.bucket);
      share.line = this.#lineOf(share.keys);
    }
    for (const seat of this.#waiting.values()) this.#line(seat);
  }

  enter(seat: Seat): void {
    if (this.#waiting.has(seat.id) || this.#running.has(seat.id)) return;
    this.#waiting.set(seat.id, seat);
    if (seat.key !== undefined) this.#use(this.#share(seat.tenant), seat.key).waiters++;
    this.#line(seat);
  }

  /** Somebody who was let in before, by whoever kept the queue then. */
  resume(seat: Seat): void {
    if (this.#running.has(seat.id)) return;
    this.withdraw(seat.id);
    this.#run(seat);
  }

  /** Waits no more; who was let in keeps his place, whoever has heard of that. */
  withdraw(id: string): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    const share = this.#share(waiting.tenant);
    share.line.remove(id);
    if (waiting.key === undefined) return;
    this.#use(share, waiting.key).waiters--;
    this.#forget(share, waiting.key);
  }

  /** Waits or runs no more. */
  leave(id: string): void {
    this.withdraw(id);
    const running = this.#running.get(id);
    if (running === undefined) return;
    this.#running.delete(id);
    const share = this.#share(running.tenant);
    share.running--;
    if (running.key === undefined) return;
    this.#use(share, running.key).holders--;
    this.#forget(share, running.key);
    share.line.freed(running.key);
  }

  /** The next who may begin, and counts as running from now on; nobody, if nobody may. */
  admit(now: number): Seat | undefined {
    this.#goTo(now);
    const { concurrency, paused } = this.#limits;
    if (paused || this.#running.size >= concurrency || this.#bucket?.has(now) === false) {
      return undefined;
    }
    const share = this.#nextShare(now);
    if (share === undefined) return undefined;
    const seat = this.#waiting.get(share.line.take()!.id)!;
    this.#waiting.delete(seat.id);
    this.#bucket?.take(now);
    share.bucket?.take(now);
    if (seat.key !== undefined) {
      const use = this.#use(share, seat.key);
      use.waiters--;
      use.bucket?.take(now);
    }
    this.#had = share.had;
    share.had += 1 / (this.#limits.weights[seat.tenant] ?? 1);
    this.#run(seat);
    return seat;
  }

  /** When somebody may begin who may not now, if only time is missing; later it is to be asked again. */
  nextAt(now: number): number | undefined {
    if (this.#waiting.size === 0 || this.#limits.paused) return undefined;
    let next = Infinity;
    const consider = (bucket: Bucket | undefined) => {
      if (bucket?.has(now) === false) next = Math.min(next, bucket.readyAt(now));
    };
    consider(this.#bucket);
    for (const share of this.#shares.values()) {
      if (share.line.size === 0) continue;
      consider(share.bucket);
      if (this.#limits.keyRate !== undefined) {
        for (const { waiters, bucket } of share.keys.values()) if (waiters > 0) consider(bucket);
      }
    }
    return next === Infinity ? undefined : next;
  }

  /** Has those looked at again whose time has come. */
  elapse(now: number): void {
    this.#goTo(now);
    if (this.#limits.keyRate === undefined) return;
    for (const share of this.#shares.values()) {
      for (const [key, { waiters, bucket }] of share.keys) {
        if (waiters === 0) this.#forget(share, key);
        else if (bucket?.has(now) === true) share.line.freed(key);
      }
    }
  }

  /** Why somebody waits, for a person. */
  why(id: string): string | undefined {
    const seat = this.#waiting.get(id);
    if (seat === undefined) return undefined;
    const { paused, pausedTenants, concurrency, perKey, perTenant } = this.#limits;
    const share = this.#share(seat.tenant);
    const use = seat.key === undefined ? undefined : share.keys.get(seat.key);
    if (paused) return "the queue is paused";
    if (pausedTenants.includes(seat.tenant)) return `the tenant ${seat.tenant} is paused`;
    if (use !== undefined && use.holders >= perKey) {
      const holders = [...this.#running.values()].filter(({ tenant, key }) =>
        tenant === seat.tenant && key === seat.key
      );
      return `the key ${seat.key} is held by ${holders.map(({ id }) => id).join(", ")}`;
    }
    if (perTenant !== undefined && share.running >= perTenant) {
      return `${share.running} of the tenant ${seat.tenant} run, as many as may`;
    }
    const isSlowed = [this.#bucket, share.bucket, use?.bucket].some((bucket) =>
      bucket?.has(this.#now) === false
    );
    if (isSlowed) return "the rate limit lets nobody in yet";
    if (this.#running.size >= concurrency) return `${this.#running.size} run, as many as may`;
    return "others come first";
  }

  #goTo(now: number): void {
    this.#now = now;
    // It fills from the first time that there is.
    this.#untouched?.has(now);
  }

  #nextShare(now: number): Share | undefined {
    const { perTenant = Infinity, pausedTenants } = this.#limits;
    let first: Share | undefined;
    for (const share of this.#shares.values()) {
      if (share.line.size === 0 || share.running >= perTenant) continue;
      if (pausedTenants.includes(share.tenant) || share.bucket?.has(now) === false) continue;
      if (share.line.peek() === undefined) continue;
      if (first === undefined || share.had < first.had) first = share;
    }
    return first;
  }

  #run(seat: Seat): void {
    this.#running.set(seat.id, seat);
    const share = this.#share(seat.tenant);
    share.running++;
    if (seat.key !== undefined) this.#use(share, seat.key).holders++;
  }

  #share(tenant: string): Share {
    let share = this.#shares.get(tenant);
    if (share === undefined) {
      const keys = new Map<string, KeyUse>();
      share = {
        tenant,
        keys,
        line: this.#lineOf(keys),
        running: 0,
        bucket: Bucket.of(this.#limits.tenantRate),
        had: this.#had,
      };
      this.#shares.set(tenant, share);
    }
    return share;
  }

  #use({ keys }: Share, key: string): KeyUse {
    let use = keys.get(key);
    if (use === undefined) {
      use = { holders: 0, waiters: 0, bucket: Bucket.of(this.#limits.keyRate, this.#untouched) };
      keys.set(key, use);
    }
    return use;
  }

  /** Of a key that nobody asks for and that is owed all it can be, nothing needs to be known. */
  #forget({ keys }: Share, key: string): void {
    const use = keys.get(key);
    if (use === undefined || use.holders > 0 || use.waiters > 0) return;
    if (use.bucket?.isFull(this.#now) !== false) keys.delete(key);
  }

  #lineOf(keys: ReadonlyMap<string, KeyUse>): WaitingLine {
    return new WaitingLine((key) => {
      const use = keys.get(key);
      if (use === undefined) return true;
      return use.holders < this.#limits.perKey && use.bucket?.has(this.#now) !== false;
    });
  }

  #line(seat: Seat): void {
    const share = this.#share(seat.tenant);
    // Who has not waited for anything is owed nothing.
    if (share.line.size === 0) share.had = Math.max(share.had, this.#had);
    share.line.add(this.#waiter(seat));
  }

  #waiter({ id, key, priority, since }: Seat) {
    return {
      id,
      ...(key === undefined ? {} : { key }),
      score: priority - since / this.#limits.ageingMs,
    };
  }
}
