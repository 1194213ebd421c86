/**
 * A world without a network: the log in memory, the time, the mail on its way, and the timers that
 * the server keeps. Everything that it does by itself, when and how often, is somebody's choice.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import * as Post from "../../actors/engine/post.ts";
import { type ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import * as Leases from "../../streams/lease.ts";
import { Log, type Message } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { Sessions } from "../../streams/session.ts";
import { type Address, subjectOf } from "../../streams/subjects.ts";
import type { Choices } from "./choices.ts";

export const tenant = Tenant.make("acme");
const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };

/** What everything lives by; it moves when it is told to. */
let now = 1_700_000_000_000;
const clock: Clock.Clock = {
  currentTimeMillisUnsafe: () => now,
  currentTimeMillis: Effect.sync(() => now),
  currentTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
  currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
  monotonicTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
  monotonicTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
  sleep: () => Effect.never,
};

/** The workers that are alive. */
const sessions = new Set<string>();
const layerSessions = Layer.succeed(Sessions, {
  open: () => Effect.void,
  isOpen: (worker) => Effect.sync(() => sessions.has(worker)),
  list: Effect.succeed([]),
  changes: Stream.never,
});

const runtime = ManagedRuntime.make(
  Leases.layer.pipe(
    Layer.provideMerge(layerMemory({ layout })),
    Layer.provide(layerSessions),
    Layer.provide(Layer.succeed(Clock.Clock, clock)),
  ),
);
const context = await runtime.context();
export const close = () => runtime.dispose();

/** One message on its way to a worker, until it is acknowledged. */
export interface Item {
  readonly address: Address;
  readonly mail: number;
  /** Who says that it has it. */
  holder: object | undefined;
  isAcked: boolean;
}

interface Timer {
  readonly to: Address;
  readonly due: number;
  readonly body: Uint8Array;
}

export class World {
  readonly choices: Choices;
  readonly trace: Array<string> = [];
  readonly log: Log["Service"];
  readonly leases: Leases.Leases["Service"];
  readonly post: Post.Post;
  readonly #items = new Map<string, Array<Item>>();
  readonly #timers = new Map<string, Timer>();
  readonly #began = now;

  constructor(choices: Choices) {
    this.choices = choices;
    const { log, leases } = Effect.runSyncWith(context)(
      Effect.all({ log: Log, leases: Leases.Leases }),
    );
    this.log = {
      ...log,
      append: (to, message) =>
        Effect.tap(
          log.append(to, withoutTimer(message)),
          ({ sequence, duplicate }) =>
            Effect.sync(() => duplicate || this.#stored(to, message, sequence)),
        ),
      appendBatch: () => Effect.die("nothing here writes batches"),
    };
    this.leases = leases;
    this.post = Post.make(this.log);
    sessions.clear();
  }

  get now(): number {
    return now;
  }

  get timers(): ReadonlyMap<string, Timer> {
    return this.#timers;
  }

  /** Does at once what takes time elsewhere. */
  run<A, E>(effect: Effect.Effect<A, E>): A {
    return Effect.runSyncWith(context)(effect);
  }

  say(what: string): void {
    this.trace.push(`${String(now - this.#began).padStart(7)} ms  ${what}`);
  }

  open(worker: string): void {
    sessions.add(worker);
  }

  crash(worker: string): void {
    sessions.delete(worker);
  }

  pass(ms: number): void {
    now += ms;
  }

  addressOf(execution: ExecutionId): Address {
    return this.post.addressOf(execution, tenant);
  }

  /** What is on its way. */
  get items(): ReadonlyArray<Item> {
    return [...this.#items.values()].flat();
  }

  itemsOf({ tail }: Address): ReadonlyArray<Item> {
    return this.#items.get(tail) ?? [];
  }

  ack(item: Item): void {
    if (item.isAcked) return;
    item.isAcked = true;
    item.holder = undefined;
    const { tail } = item.address;
    const left = this.itemsOf(item.address).filter((other) => other !== item);
    if (left.length === 0) this.#items.delete(tail);
    else this.#items.set(tail, left);
  }

  /** Puts the message of a timer that is due into its mailbox; one that fires twice is still there. */
  fire(name: string, again: boolean): void {
    const { to, due, body } = this.#timers.get(name)!;
    if (due > now) throw new Error("the timer is not due");
    if (!again) this.#timers.delete(name);
    this.say(`the timer ${name} fires ${now - due} ms late`);
    this.run(this.log.append(to, { kind: "mail", body }));
  }

  #stored(to: Address, { kind, key, schedule, unschedules, body }: Message, sequence: number) {
    if (kind === "mail") {
      const items = this.itemsOf(to);
      const item = { address: to, mail: sequence, holder: undefined, isAcked: false };
      this.#items.set(to.tail, [...items, item]);
    }
    const name = `${to.label} ${key ?? ""}`;
    if (schedule !== undefined) this.#timers.set(name, { to, due: schedule.at, body });
    if (unschedules === true) this.#timers.delete(name);
  }
}

/** The log in memory has timers of its own, which ask nobody. */
const withoutTimer = (message: Message): Message => {
  if (message.schedule === undefined && message.unschedules !== true) return message;
  const { schedule: _, unschedules: _taken, ...rest } = message;
  return { ...rest, replaces: true };
};

export const subjectOfLease = (address: Address): string => subjectOf(address, "lease");
