/**
 * One schedule of the engine itself: the workers of production, each a process with a clock of its
 * own, on the log in memory. What they say to the server and to each other is on its way for a while,
 * gets lost, is answered twice; they freeze, die and lose their connections. Then the misfortunes
 * stop, and what must have come of it is said in `verdict.ts`.
 */
import assert from "node:assert/strict";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import { takeTurn } from "../../actors/engine/next_turn.ts";
import * as Worker from "../../actors/engine/worker.ts";
import { ExecutionId, WorkerInstanceId } from "../../schema/ids.ts";
import { type Answer, HandOver, type Verdict } from "../../streams/hand_over.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { type Delivery, Mailboxes } from "../../streams/mailbox.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { Sessions } from "../../streams/session.ts";
import { actorCode } from "./actor_code.ts";
import { Cast } from "./cast.ts";
import type { Choices } from "./choices.ts";
import { Network } from "./network.ts";
import { PostOffice } from "./post_office.ts";
import { Process } from "./process.ts";
import { World } from "./world.ts";
import { Wrong } from "./wrong.ts";
import { EngineControl } from "../../streams/engine_control.ts";

/** Nobody has the engine paused here. */
const nothingIsPaused = EngineControl.of({
  change: () => Effect.die("nothing here is paused"),
  list: () => Effect.succeed([]),
  history: () => Effect.succeed([]),
  holds: () => Effect.undefined,
  refuses: () => Effect.undefined,
  listen: () => Effect.void,
  known: () => new Map(),
});

/** Who takes more turns than this will never come to rest. */
const restlessTurns = 10_000;
/** In which nothing happens, although nothing is far off; longer than any lease or pause. */
const patienceMs = 180_000;
const silentForMs = 2_000;
const skewMs = 10 * 60_000;
/** Longer than an execution that only waits stays in memory, and longer than it is thought to be behind. */
const dawdlesMs = [1, 800, 30_000];

class Schedule {
  readonly #choices: Choices;
  readonly #world: World;
  readonly #cast: Cast;
  readonly #network: Network;
  readonly #office: PostOffice;
  readonly #workers: Array<Process> = [];
  readonly #answers = new Map<Process, (delivery: Delivery) => Effect.Effect<Answer>>();
  readonly #residentGrace: number;
  readonly #concurrency: number;
  /** Whether the code takes its time now and then. */
  readonly #isSlow: boolean;
  /** Whether things go wrong by themselves. */
  #isStormy = true;
  #hired = 0;
  /** Why a worker is not there any more. */
  #fatal: string | undefined;

  constructor(world: World, choices: Choices) {
    this.#choices = choices;
    this.#world = world;
    this.#cast = new Cast(world, choices, true);
    this.#network = new Network(world, () => this.#isStormy && choices.oneIn(16));
    this.#office = new PostOffice(world, () => this.#isStormy && choices.oneIn(8));
    this.#residentGrace = choices.of([1, 300, 5_000]);
    this.#concurrency = choices.of([1_000, 2, 1]);
    this.#isSlow = choices.oneIn(2);
    const workers = 1 + choices.below(3);
    for (let i = 0; i < workers; i++) this.#hire(`worker-${this.#hired++}`);
  }

  run(): void {
    const misfortunes = this.#choices.below(120);
    for (let i = 0; i < misfortunes; i++) this.#disturb();
    this.#world.say("from now on all goes well");
    this.#isStormy = false;
    this.#finish();
    if (this.#fatal !== undefined) throw new Wrong(this.#fatal);
    this.#cast.judge();
  }

  // Workers.

  #hire(name: string): void {
    const process = new Process(this.#world, name, this.#choices.below(1_000));
    if (this.#choices.oneIn(2)) {
      process.skewMs = this.#choices.of([skewMs, -skewMs, this.#choices.below(skewMs)]);
    }
    this.#world.open(name);
    this.#workers.push(process);
    const log = this.#network.logOf(process);
    const stage = {
      programOf: (execution: ExecutionId) => this.#cast.programOf(execution),
      failuresOf: (execution: ExecutionId) =>
        this.#cast.book.stateOf(this.#world.addressOf(execution)).failures,
      dawdle: Effect.suspend(() =>
        this.#isSlow && this.#choices.oneIn(3)
          ? Effect.sleep(this.#choices.of(dawdlesMs))
          : Effect.void
      ),
    };
    const layer = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
      Layer.provideMerge(Layer.succeedContext(
        Context.make(Log, log).pipe(
          Context.add(Sessions, this.#world.sessions),
          Context.add(Mailboxes, this.#office.mailboxesOf(process)),
          Context.add(HandOver, this.#handOverOf(process)),
          Context.add(EngineControl, nothingIsPaused),
        ),
      )),
    );
    const worker = Worker.make({
      actors: [actorCode("root", stage), actorCode("child", stage)],
      identity: WorkerInstanceId.make(name),
      leaseTtl: "10 seconds",
      residentGrace: this.#residentGrace,
      concurrency: this.#concurrency,
      keep: { default: "forever" },
    });
    const fiber = Effect.runForkWith(process.context)(
      Effect.scoped(Effect.andThen(Effect.provide(worker, layer), Effect.never)),
    );
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit) && !process.isDead) this.#fatal = `${name} ends: ${exit.cause}`;
    });
    // Until it has said that it is there.
    for (let i = 0; i < 100 && !this.#office.isServedBy(process); i++) {
      process.run();
      while (this.#network.size > 0) this.#network.arrive(0);
    }
    assert.ok(this.#office.isServedBy(process), `${name} does not start`);
  }

  #handOverOf(process: Process): HandOver["Service"] {
    return HandOver.of({
      serve: (_, answer) => Effect.sync(() => void this.#answers.set(process, answer)),
      send: (name, delivery) =>
        Effect.callback<Verdict>((resume) => {
          const to = this.#workers.find((worker) => worker.name === name);
          const say = (verdict: Verdict, afterMs = 0) =>
            process.post(() => resume(Effect.delay(Effect.succeed(verdict), afterMs)));
          if (to === undefined) return say("absent");
          const answer = this.#answers.get(to);
          if (to.isFrozen || answer === undefined || (this.#isStormy && this.#choices.oneIn(8))) {
            return say("silent", silentForMs);
          }
          to.post(() => {
            const given = this.#office.inHandsOf(to, delivery);
            const asked = Effect.runForkWith(to.context)(answer(given));
            asked.addObserver((exit) => say(Exit.isSuccess(exit) ? exit.value : "silent"));
          });
        }).pipe(Effect.timeoutOrElse({
          duration: silentForMs,
          orElse: () => Effect.succeed<Verdict>("silent"),
        })),
    });
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
        return this.#network.cut(
          this.#choices.of(this.#workers),
          () => this.#choices.oneIn(2),
        );
      case 34:
        return this.#offerAgain();
      case 33:
        return this.#restart();
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
        this.#choices.of(this.#workers).skewMs = this.#choices.below(2 * skewMs) - skewMs;
        return;
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
    const worker = this.#choices.of(this.#workers);
    const did = this.#arrive() || worker.run(this.#choices) || takeTurn() || this.#deliver() ||
      this.#runAny() || this.#cast.send() || this.#fire();
    if (did) return;
    const next = this.#nextTime();
    this.#world.pass(next === Infinity ? 1_000 : Math.max(1, next - this.#world.now));
  }

  #runAny(): boolean {
    return this.#workers.some((worker) => worker.run(this.#choices));
  }

  #arrive(): boolean {
    if (this.#network.size === 0) return false;
    this.#network.arrive(this.#choices.below(this.#network.size));
    return true;
  }

  #deliver(): boolean {
    const { free } = this.#office;
    if (free.length === 0) return false;
    this.#office.offer(this.#choices.of(free), this.#choices.of(this.#workers));
    return true;
  }

  #fire(): boolean {
    const due = [...this.#world.timers].filter(([, { due }]) => due <= this.#world.now);
    if (due.length === 0) return false;
    this.#world.fire(this.#choices.of(due)[0], this.#choices.oneIn(4));
    return true;
  }

  /** What it had is nobody's; another takes its place. */
  #crash(worker: Process): void {
    this.#world.say(`${worker.name} crashes`);
    this.#network.cut(worker, () => this.#choices.oneIn(2));
    this.#world.died.add(worker.name);
    worker.die();
    this.#workers.splice(this.#workers.indexOf(worker), 1);
    if (this.#choices.oneIn(2)) this.#world.endSession(worker.name);
    this.#hire(`worker-${this.#hired++}`);
  }

  #freeze(worker: Process): void {
    if (worker.isFrozen) return;
    worker.isFrozen = true;
    this.#world.say(`${worker.name} freezes`);
    if (this.#choices.oneIn(2)) this.#world.endSession(worker.name);
  }

  #thaw(worker: Process): void {
    if (!worker.isFrozen) return;
    worker.isFrozen = false;
    this.#world.open(worker.name);
    this.#world.say(`${worker.name} thaws`);
  }

  /** The server's patience ends, or it has forgotten what was acknowledged. */
  #offerAgain(): void {
    const { items, mails } = this.#world;
    if (items.length > 0 && !this.#choices.oneIn(3)) {
      return this.#office.takeBack(this.#choices.of(items));
    }
    if (mails.length === 0) return;
    const [mail, address] = this.#choices.of(mails);
    this.#world.offerAgain(address, mail);
  }

  /** Nobody knows what became of what was under way, and some of what was acknowledged is forgotten. */
  #restart(): void {
    this.#world.say("the server starts anew");
    for (const worker of this.#workers) {
      this.#network.cut(worker, () => this.#choices.oneIn(2));
    }
    for (const item of this.#world.items) this.#office.takeBack(item);
    for (const [mail, address] of this.#world.mails.slice(-2)) {
      if (this.#choices.oneIn(2)) this.#world.offerAgain(address, mail);
    }
  }

  // What is left to do when nothing goes wrong any more.

  #finish(): void {
    for (const worker of this.#workers) this.#thaw(worker);
    let quietSince = this.#world.now;
    let records = this.#world.records;
    let turnsLeft = restlessTurns;
    while (turnsLeft-- > 0) {
      if (this.#world.records !== records) {
        records = this.#world.records;
        quietSince = this.#world.now;
      }
      if (this.#goesOn()) continue;
      const isQuiet = this.#world.items.length === 0 && this.#world.timers.size === 0;
      if (isQuiet && this.#cast.unfinished.length === 0) {
        if (!this.#choices.oneIn(4) || !this.#cast.retry()) return;
        turnsLeft = restlessTurns;
        continue;
      }
      const next = this.#nextTime();
      const isStuck = next === Infinity || this.#world.now - quietSince > patienceMs;
      if (isStuck && !this.#cast.help()) {
        const left = this.#cast.unfinished;
        if (left.length === 0) return;
        throw new Wrong(`${left.join(", ")} will never end`);
      }
      if (isStuck) quietSince = this.#world.now;
      if (next !== Infinity) this.#world.pass(Math.max(1, next - this.#world.now));
    }
    throw new Wrong("it does not come to rest");
  }

  #goesOn(): boolean {
    let did = false;
    for (const worker of this.#workers) if (worker.run()) did = true;
    while (this.#network.size > 0) {
      this.#network.arrive(0);
      did = true;
    }
    if (takeTurn()) did = true;
    for (const item of this.#office.free) {
      this.#office.offer(item, this.#workers[0]!);
      did = true;
    }
    for (const [name, { due }] of [...this.#world.timers]) {
      if (due > this.#world.now) continue;
      this.#world.fire(name, false);
      did = true;
    }
    return this.#cast.send() || did;
  }

  #nextTime(): number {
    const { now, timers } = this.#world;
    const times = [
      this.#office.nextTime,
      ...this.#workers.map(({ nextTime }) => nextTime),
      ...[...timers.values()].map(({ due }) => due),
    ];
    return Math.min(Infinity, ...times.filter((time) => time > now));
  }

  close(): void {
    for (const worker of this.#workers) worker.die();
    takeTurn();
  }
}

/** What went wrong in a schedule, with all that happened before; nothing if all went well. */
export const problemOf = (choices: Choices): string | undefined => {
  const world = new World(choices);
  let schedule: Schedule | undefined;
  try {
    schedule = new Schedule(world, choices);
    schedule.run();
    return undefined;
  } catch (error) {
    const isExpected = error instanceof Wrong || error instanceof assert.AssertionError;
    const problem = isExpected ? error.message : String((error as Error).stack ?? error);
    return [...world.trace, problem].join("\n");
  } finally {
    schedule?.close();
    world.close();
  }
};
