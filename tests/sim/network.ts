/**
 * What is on its way between processes and the server: requests and answers, each of which arrives
 * when somebody says so, in any order, or never. A process whose connection breaks does not learn
 * what became of its requests.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { StaleFence, Unavailable } from "../../schema/errors.ts";
import { Fence } from "../../streams/fence.ts";
import { type Appended, type AppendError, Log, type Message } from "../../streams/log.ts";
import { randomMessageId } from "../../streams/message_id.ts";
import type { Address } from "../../streams/subjects.ts";
import type { Process } from "./process.ts";
import type { World } from "./world.ts";

/** One message on its way. */
interface Flight {
  readonly process: Process;
  readonly arrive: () => void;
  /** The connection breaks; what the server is to do, it may still do. */
  readonly lose: (hasArrived: boolean) => void;
}

export class Network {
  readonly #world: World;
  /** Whether a request arrives once more, since it was sent again. */
  readonly #isRepeated: () => boolean;
  #flights: Array<Flight> = [];

  constructor(world: World, isRepeated: () => boolean) {
    this.#world = world;
    this.#isRepeated = isRepeated;
  }

  get size(): number {
    return this.#flights.length;
  }

  /** One of those that are on their way arrives. */
  arrive(index: number): void {
    const [flight] = this.#flights.splice(index, 1);
    flight!.arrive();
  }

  /** The connection of a process breaks. */
  cut(process: Process, hasArrived: () => boolean): void {
    const lost = this.#flights.filter((flight) => flight.process === process);
    if (lost.length === 0) return;
    this.#flights = this.#flights.filter((flight) => flight.process !== process);
    this.#world.died.add(process.name);
    this.#world.say(`${process.name} loses its connection, with ${lost.length} under way`);
    for (const flight of lost) flight.lose(hasArrived());
  }

  /** Asks somebody who is elsewhere. */
  call<A, E>(process: Process, ask: Effect.Effect<A, E>): Effect.Effect<A, E | Unavailable> {
    return Effect.callback((resume) => {
      if (process.isDead) return;
      const asked = this.#world.now;
      const answer = (exit: Exit.Exit<A, E | Unavailable>) =>
        process.post(() => {
          const trip = this.#world.now - asked;
          this.#world.vagueMs = Math.max(this.#world.vagueMs, trip / 2);
          resume(exit);
        });
      const lost = () =>
        answer(Exit.fail(
          new Unavailable({ operation: "a request", reason: "cut", landed: "unknown" }),
        ));
      this.#flights.push({
        process,
        arrive: () => {
          const exit = this.#world.run(Effect.exit(ask));
          if (this.#isRepeated()) {
            const again = () => void this.#world.run(Effect.exit(ask));
            this.#flights.push({ process, arrive: again, lose: () => {} });
          }
          this.#flights.push({ process, arrive: () => answer(exit), lose: lost });
        },
        lose: (hasArrived) => {
          if (hasArrived) this.#world.run(Effect.exit(ask));
          lost();
        },
      });
    });
  }

  /** The log as a process has it: one append of an execution at a time, each with an id of its own. */
  logOf(process: Process): Log["Service"] {
    const { log } = this.#world;
    const ask = <A, E>(effect: Effect.Effect<A, E>) => this.call(process, effect);
    const lanes = new Map<string, Semaphore.Semaphore>();
    const inTurn = <A, E>(to: Address, effect: Effect.Effect<A, E>) => {
      const lane = lanes.get(to.tail) ?? Semaphore.makeUnsafe(1);
      lanes.set(to.tail, lane);
      return lane.withPermits(1)(effect);
    };
    const append = (
      to: Address,
      messages: ReadonlyArray<Message>,
      send: (messages: ReadonlyArray<Message>) => Effect.Effect<Appended, AppendError>,
    ): Effect.Effect<Appended, AppendError> =>
      inTurn(
        to,
        Effect.suspend((): Effect.Effect<Appended, AppendError> => {
          const fence = messages.map(({ guard }) => guard).find((guard) => guard instanceof Fence);
          const stale = () =>
            new StaleFence({ execution: to.label, revision: fence!.revision, landed: "no" });
          if (fence?.lost === true) return Effect.fail(stale());
          return ask(send(messages.map(asSent))).pipe(
            Effect.tap(({ sequence }) =>
              Effect.sync(() => messages.forEach(({ onStored }, i) => onStored?.(sequence + i)))
            ),
            Effect.tapError((error) =>
              Effect.sync(() => {
                if (error._tag === "StaleFence") fence?.lose();
              })
            ),
          );
        }),
      );
    return Log.of({
      ...log,
      append: (to, message) => append(to, [message], ([sent]) => log.append(to, sent!)),
      appendBatch: (to, messages) => append(to, messages, (sent) => log.appendBatch(to, sent)),
      first: (...of) => ask(log.first(...of)),
      last: (...of) => ask(log.last(...of)),
      lastOfEach: (...of) => ask(log.lastOfEach(...of)),
      lastSequences: (...of) => ask(log.lastSequences(...of)),
      next: (...of) => ask(log.next(...of)),
      read: (...of) =>
        Stream.unwrap(
          Effect.map(ask(Stream.runCollect(log.read(...of))), (all) => Stream.fromIterable(all)),
        ),
      readThrough: (...of) => ask(log.readThrough(...of)),
      tail: (shard) => ask(log.tail(shard)),
      purge: (...of) => ask(log.purge(...of)),
      remove: (...of) => ask(log.remove(...of)),
    });
  }
}

/** As it leaves the process: what its guard expects, and what its id is, is settled then. */
const asSent = (message: Message): Message => {
  const { onStored: _, guard, ...rest } = message;
  const id = message.id ?? (guard instanceof Fence ? guard.nextId() : randomMessageId());
  if (guard === undefined) return { ...rest, id };
  const sent = guard instanceof Fence
    ? new Fence(guard.subject, guard.nonce, guard.revision)
    : guard;
  return { ...rest, id, guard: sent };
};
