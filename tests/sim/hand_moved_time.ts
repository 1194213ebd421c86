/**
 * The clocks and timers of this process, moved by hand until they are released; for code that asks
 * the platform for them. Nothing else may wait for a timer meanwhile.
 */
interface Timer {
  at: number;
  readonly every: number | undefined;
  readonly act: () => void;
}

export class HandMovedTime {
  #now = 0;
  readonly #timers = new Map<number, Timer>();
  #next = 1;
  readonly release: () => void;

  constructor() {
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
    const { now: dateNow } = Date;
    const performanceNow = performance.now;
    this.release = () => {
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
      Date.now = dateNow;
      performance.now = performanceNow;
    };
    const clear = (id: number | undefined) => void this.#timers.delete(id ?? 0);
    Object.assign(globalThis, {
      setTimeout: (act: () => void, ms = 0) => this.#set(act, ms, undefined),
      setInterval: (act: () => void, ms = 0) => this.#set(act, ms, ms),
      clearTimeout: clear,
      clearInterval: clear,
    });
    Date.now = () => this.#now;
    performance.now = () => this.#now;
  }

  get now(): number {
    return this.#now;
  }

  pass(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      let due: readonly [number, Timer] | undefined;
      for (const entry of this.#timers) {
        if (entry[1].at <= until && (due === undefined || entry[1].at < due[1].at)) due = entry;
      }
      if (due === undefined) break;
      const [id, timer] = due;
      this.#now = Math.max(this.#now, timer.at);
      if (timer.every === undefined) this.#timers.delete(id);
      else timer.at = this.#now + Math.max(1, timer.every);
      timer.act();
    }
    this.#now = until;
  }

  #set(act: () => void, ms: number, every: number | undefined): number {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + ms, every, act });
    return id;
  }
}
