/**
 * One schedule: a few executions, workers and clients, to which everything happens that may, in an
 * order that is drawn. Then the misfortunes stop, and what is left to do is done. What must have come
 * of it is said in `verdict.ts`.
 */
import assert from "node:assert/strict";
import { Cast } from "./cast.ts";
import type { Choices } from "./choices.ts";
import { Owner } from "./owner.ts";
import { judgeOwner } from "./verdict.ts";
import { type Item, World } from "./world.ts";
import { Wrong } from "./wrong.ts";

interface Worker {
  readonly name: string;
  isFrozen: boolean;
  readonly owners: Map<string, Owner>;
}

/** Who takes more turns than this will never come to rest. */
const restlessTurns = 5_000;
/** In which nothing happens, although nothing is far off; longer than any lease. */
const patienceMs = 60_000;
const askAgainMs = 1_000;

class Schedule {
  readonly #choices: Choices;
  readonly #world: World;
  readonly #cast: Cast;
  readonly #workers: Array<Worker> = [];
  /** When mail that nobody could take is offered again. */
  readonly #later = new Map<string, number>();
  /** Up to where the mail is of those whom nobody has started. */
  readonly #unstarted = new Map<string, number>();
  #hired = 0;

  constructor(world: World, choices: Choices) {
    this.#choices = choices;
    this.#world = world;
    this.#cast = new Cast(world, choices, false);
    const workers = 1 + choices.below(3);
    for (let i = 0; i < workers; i++) this.#hire(`worker-${this.#hired++}`);
  }

  run(): void {
    const misfortunes = this.#choices.below(100);
    for (let i = 0; i < misfortunes; i++) this.#disturb();
    this.#world.say("from now on all goes well");
    this.#finish();
    this.#cast.judge();
  }

  // What goes wrong, and what goes on meanwhile.

  #disturb(): void {
    switch (this.#choices.below(40)) {
      case 39:
        return this.#crash(this.#choices.of(this.#workers));
      case 38:
        return this.#freeze(this.#choices.of(this.#workers));
      case 37:
      case 36:
        return this.#thaw(this.#choices.of(this.#workers));
      case 35:
        return this.#disconnect();
      case 34:
      case 33:
        return this.#offerAgain();
      case 32:
        return this.#cast.revoke();
      case 31:
        return this.#world.pass(this.#choices.below(12_000));
      case 30:
      case 29:
        return this.#world.pass(this.#choices.below(500));
      case 28:
      case 27:
        this.#fire();
        return;
      case 26:
      case 25:
      case 24:
        this.#cast.send();
        return;
      case 23:
        this.#cast.retry();
        return;
      case 22:
      case 21:
      case 20:
      case 19:
        this.#deliver();
        return;
      default:
        this.#goOn();
    }
  }

  #goOn(): void {
    if (this.#advance() || this.#deliver() || this.#cast.send() || this.#fire()) return;
    const next = this.#nextTime();
    this.#world.pass(next === Infinity ? 1_000 : Math.max(1, next - this.#world.now));
  }

  #advance(): boolean {
    const { now } = this.#world;
    const ready = this.#workers.flatMap((worker) =>
      worker.isFrozen ? [] : [...worker.owners.values()]
        .filter(({ wakeAt }) => wakeAt <= now)
        .map((owner) => ({ worker, owner }))
    );
    if (ready.length === 0) return false;
    const { worker, owner } = this.#choices.of(ready);
    this.#step(worker, owner);
    return true;
  }

  #step(worker: Worker, owner: Owner): void {
    if (owner.advance()) return;
    const { tail } = owner.address;
    worker.owners.delete(tail);
    const hasLetGo = owner.ending === "ended" || owner.ending === "suspended";
    // It costs more than what it judges, so some are chosen, by what a repetition repeats.
    if (hasLetGo && owner.written % 4 === 0) judgeOwner(this.#cast.book, owner);
    if (owner.ending === "lost") this.#later.set(tail, this.#world.now + askAgainMs);
    if (owner.ending === "unstarted") this.#unstarted.set(tail, owner.mailRead);
  }

  /** Whether somebody could do something about it. */
  #isWorth({ address, mail, holder }: Item): boolean {
    return holder === undefined && mail > (this.#unstarted.get(address.tail) ?? 0);
  }

  #deliver(): boolean {
    const free = this.#world.items.filter(({ holder }) => holder === undefined);
    if (free.length === 0) return false;
    this.#offer(this.#choices.of(free), this.#choices.of(this.#workers));
    return true;
  }

  #offer(item: Item, worker: Worker): void {
    const { tail, label } = item.address;
    const owner = worker.owners.get(tail);
    if (owner !== undefined) return owner.take(item);
    const program = this.#cast.programOf(label);
    const fleet = { ownerAt: (name: string) => this.#ownerAt(name, tail) };
    worker.owners.set(tail, new Owner(this.#world, fleet, worker.name, program, item));
  }

  #fire(): boolean {
    const due = [...this.#world.timers].filter(([, { due }]) => due <= this.#world.now);
    if (due.length === 0) return false;
    this.#world.fire(this.#choices.of(due)[0], this.#choices.oneIn(4));
    return true;
  }

  #hire(name: string): void {
    this.#world.open(name);
    this.#workers.push({ name, isFrozen: false, owners: new Map() });
  }

  /** What it had is nobody's; another takes its place, sometimes under its very name. */
  #crash(worker: Worker): void {
    const { name } = worker;
    this.#world.say(`${name} crashes`);
    this.#world.died.add(name);
    this.#workers.splice(this.#workers.indexOf(worker), 1);
    for (const owner of worker.owners.values()) owner.leave();
    if (this.#choices.oneIn(3)) return this.#hire(name);
    this.#world.endSession(name);
    this.#hire(`worker-${this.#hired++}`);
  }

  #freeze(worker: Worker): void {
    if (worker.isFrozen) return;
    worker.isFrozen = true;
    this.#world.say(`${worker.name} freezes`);
    if (this.#choices.oneIn(2)) this.#world.endSession(worker.name);
  }

  #thaw(worker: Worker): void {
    if (!worker.isFrozen) return;
    worker.isFrozen = false;
    this.#world.open(worker.name);
    this.#world.say(`${worker.name} thaws`);
  }

  #disconnect(): void {
    const worker = this.#choices.of(this.#workers);
    const owners = [...worker.owners.values()];
    if (worker.isFrozen || owners.length === 0) return;
    const owner = this.#choices.of(owners);
    worker.owners.delete(owner.address.tail);
    this.#world.died.add(worker.name);
    owner.lose();
  }

  /** The server's patience ends, or it has forgotten what was acknowledged. */
  #offerAgain(): void {
    const { items } = this.#world;
    const held = items.filter(({ holder }) => holder !== undefined);
    if (held.length > 0 && !this.#choices.oneIn(3)) {
      this.#choices.of(held).holder = undefined;
      return;
    }
    const all = [...this.#world.mails];
    if (all.length === 0) return;
    const [mail, address] = this.#choices.of(all);
    this.#world.offerAgain(address, mail);
  }

  #ownerAt(name: string, tail: string): Owner | "silent" | undefined {
    const worker = this.#workers.find((worker) => worker.name === name);
    return worker?.isFrozen === true ? "silent" : worker?.owners.get(tail);
  }

  // What is left to do when nothing goes wrong any more.

  #finish(): void {
    for (const worker of this.#workers) this.#thaw(worker);
    let quietSince = this.#world.now;
    let records = this.#world.records;
    for (let turn = 0; turn < restlessTurns; turn++) {
      if (this.#world.records !== records) {
        records = this.#world.records;
        quietSince = this.#world.now;
      }
      if (this.#goesOn()) continue;
      const next = this.#nextTime();
      if (this.#isEmpty() && this.#world.timers.size === 0) {
        const isOver = this.#cast.unfinished.length === 0;
        if (isOver && !(this.#choices.oneIn(4) && this.#cast.retry())) return;
        if (isOver) continue;
      }
      const isStuck = next === Infinity || this.#world.now - quietSince > patienceMs;
      if (isStuck && !(this.#cast.help())) {
        const left = this.#cast.unfinished;
        if (left.length === 0) return;
        throw new Wrong(`${left.join(", ")} will never end`);
      }
      if (next !== Infinity) this.#world.pass(Math.max(1, next - this.#world.now));
    }
    throw new Wrong("it does not come to rest");
  }

  #goesOn(): boolean {
    const { now } = this.#world;
    let did = false;
    for (const worker of this.#workers) {
      for (const owner of [...worker.owners.values()]) {
        if (owner.wakeAt > now) continue;
        this.#step(worker, owner);
        did = true;
      }
    }
    for (const item of this.#world.items) {
      const { tail } = item.address;
      if (!this.#isWorth(item) || (this.#later.get(tail) ?? 0) > now) continue;
      const worker = this.#workers.find(({ owners }) => owners.get(tail)?.isActive === true);
      this.#offer(item, worker ?? this.#workers[0]!);
      did = true;
    }
    for (const [name, { due }] of [...this.#world.timers]) {
      if (due > now) continue;
      this.#world.fire(name, false);
      did = true;
    }
    return this.#cast.send() || did;
  }

  #isEmpty(): boolean {
    return this.#world.items.every((item) => !this.#isWorth(item)) &&
      this.#workers.every(({ owners }) => owners.size === 0);
  }

  #nextTime(): number {
    const { now, timers } = this.#world;
    const owners = this.#workers.flatMap(({ owners }) => [...owners.values()]);
    const free = new Set(
      this.#world.items.filter((item) => this.#isWorth(item)).map(({ address }) => address.tail),
    );
    return Math.min(
      ...[
        ...[...timers.values()].map(({ due }) => due),
        ...owners.map(({ wakeAt }) => wakeAt),
        ...[...this.#later].filter(([tail]) => free.has(tail)).map(([, time]) => time),
      ].filter((time) => time > now),
    );
  }
}

/** What went wrong in a schedule, with all that happened before; nothing if all went well. */
export const problemOf = (choices: Choices): string | undefined => {
  const world = new World(choices);
  try {
    new Schedule(world, choices).run();
    return undefined;
  } catch (error) {
    const isExpected = error instanceof Wrong || error instanceof assert.AssertionError;
    const problem = isExpected ? error.message : String((error as Error).stack ?? error);
    return [...world.trace, problem].join("\n");
  } finally {
    world.close();
  }
};
