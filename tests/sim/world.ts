/**
 * A world without a network: the log in memory, the time, the mail on its way, and the timers that
 * the server keeps. Everything that it does by itself, when and how often, is somebody's choice.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import * as Post from "../../actors/engine/post.ts";
import { type ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import * as Leases from "../../streams/lease.ts";
import { Log, type Message } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { Sessions } from "../../streams/session.ts";
import type { Address } from "../../streams/subjects.ts";
import type { Choices } from "./choices.ts";
import { problemOfTimer } from "./sequence.ts";

export const tenant = Tenant.make("acme");
const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };

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
  readonly #said: Array<readonly [atMs: number, what: () => string]> = [];
  readonly log: Log["Service"];
  readonly leases: Leases.Leases["Service"];
  readonly sessions: Sessions["Service"];
  readonly post: Post.Post;
  /** Everybody to whom mail was sent, and all that was sent. */
  readonly addresses = new Map<string, Address>();
  readonly mails: Array<readonly [mail: number, to: Address]> = [];
  /** Workers that once left things as they were. */
  readonly died = new Set<string>();
  /** How many records there are, but for those of leases. */
  records = 0;
  /** By how much anybody may have been wrong about the time of the server: half a round trip. */
  vagueMs = 0;
  /** What was seen to be wrong as it was stored. */
  wrong: string | undefined;
  readonly #items = new Map<string, Array<Item>>();
  readonly #timers = new Map<string, Timer>();
  /** The workers of which the server knows that they are alive. */
  readonly #sessions = new Set<string>();
  readonly #scope = Scope.makeUnsafe();
  readonly #began = 1_700_000_000_000;
  /** What everything lives by; it moves when it is told to. */
  #now = this.#began;

  constructor(choices: Choices) {
    this.choices = choices;
    this.sessions = Sessions.of({
      open: () => Effect.void,
      isOpen: (worker) => Effect.sync(() => this.#sessions.has(worker)),
      list: Effect.succeed([]),
      changes: Stream.never,
    });
    const layer = Leases.layer.pipe(
      Layer.provideMerge(layerMemory({ layout })),
      Layer.provide(Layer.succeed(Sessions, this.sessions)),
      Layer.provide(Layer.succeed(Clock.Clock, this.#clock())),
    );
    const { log, leases } = Effect.runSync(
      Effect.all({ log: Log, leases: Leases.Leases }).pipe(
        Effect.provideContext(Effect.runSync(Layer.buildWithScope(layer, this.#scope))),
      ),
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
  }

  close(): void {
    Effect.runSync(Scope.close(this.#scope, Exit.void));
  }

  get now(): number {
    return this.#now;
  }

  get timers(): ReadonlyMap<string, Timer> {
    return this.#timers;
  }

  /** Does at once what takes time elsewhere. */
  run<A, E>(effect: Effect.Effect<A, E>): A {
    return Effect.runSync(effect);
  }

  say(what: string | (() => string)): void {
    this.#said.push([this.#now, typeof what === "string" ? () => what : what]);
  }

  /** All that was said, in its order. */
  get trace(): ReadonlyArray<string> {
    return this.#said.map(([at, what]) => `${String(at - this.#began).padStart(7)} ms  ${what()}`);
  }

  open(worker: string): void {
    this.#sessions.add(worker);
  }

  /** The server takes a worker for dead. */
  endSession(worker: string): void {
    this.#sessions.delete(worker);
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  addressOf(execution: ExecutionId): Address {
    return this.post.addressOf(execution, tenant);
  }

  /** What is on its way. */
  get items(): ReadonlyArray<Item> {
    return [...this.#items.values()].flat();
  }

  ack(item: Item): void {
    if (item.isAcked) return;
    item.isAcked = true;
    item.holder = undefined;
    const { tail } = item.address;
    const left = this.#itemsOf(item.address).filter((other) => other !== item);
    if (left.length === 0) this.#items.delete(tail);
    else this.#items.set(tail, left);
  }

  /** Offers again what was acknowledged, as a server does that was killed before it had saved that. */
  offerAgain(address: Address, mail: number): void {
    const items = this.#itemsOf(address);
    if (items.some((item) => item.mail === mail)) return;
    const item = { address, mail, holder: undefined, isAcked: false };
    this.#items.set(address.tail, [...items, item]);
  }

  /** Puts the message of a timer that is due into its mailbox; one that fires twice is still there. */
  fire(name: string, again: boolean): void {
    const { to, due, body } = this.#timers.get(name)!;
    if (due > this.#now) throw new Error("the timer is not due");
    if (!again) this.#timers.delete(name);
    this.say(`the timer ${name} fires ${this.#now - due} ms late`);
    this.run(this.log.append(to, { kind: "mail", body }));
  }

  #itemsOf({ tail }: Address): ReadonlyArray<Item> {
    return this.#items.get(tail) ?? [];
  }

  #stored(to: Address, { kind, key, schedule, unschedules, body }: Message, sequence: number) {
    this.records++;
    this.say(() => `the log has ${to.label} ${kind} ${key ?? ""} at ${sequence}: ${shown(body)}`);
    if (kind === "mail") {
      this.addresses.set(to.tail, to);
      this.mails.push([sequence, to]);
      this.offerAgain(to, sequence);
    }
    const name = `${to.label} ${key ?? ""}`;
    if (schedule !== undefined) {
      this.wrong ??= problemOfTimer(to, { at: schedule.at, body, key: name });
    }
    if (schedule !== undefined) this.#timers.set(name, { to, due: schedule.at, body });
    if (unschedules === true) this.#timers.delete(name);
  }

  #clock(): Clock.Clock {
    const nanos = () => BigInt(this.#now) * 1_000_000n;
    return {
      currentTimeMillisUnsafe: () => this.#now,
      currentTimeMillis: Effect.sync(() => this.#now),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: () => Effect.never,
    };
  }
}

const decoder = new TextDecoder();
const shownLength = 160;

/** The beginning of a record, which is JSON. */
const shown = (body: Uint8Array): string => decoder.decode(body).slice(0, shownLength);

/** The log in memory has timers of its own, which ask nobody. */
const withoutTimer = (message: Message): Message => {
  if (message.schedule === undefined && message.unschedules !== true) return message;
  const { schedule: _, unschedules: _taken, ...rest } = message;
  return { ...rest, replaces: true };
};
