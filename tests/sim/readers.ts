/**
 * One schedule of the readers of a family, over all shards of a log in memory: they die and go on
 * from a cursor that they have kept, the last one or one before. Behind a cursor comes what the log
 * has behind it, in the order of each shard, each once and nothing left out.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { type CursorPosition, decodeCursor } from "../../schema/cursor.ts";
import { ExecutionId, Namespace, WorkerInstanceId } from "../../schema/ids.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { Sessions } from "../../streams/session.ts";
import { executionAddress, shardRoot } from "../../streams/subjects.ts";
import type { Choices } from "./choices.ts";
import { Process } from "./process.ts";
import { tenant } from "./world.ts";
import { Wrong } from "./wrong.ts";

const ttl = "10 seconds";
const executions = 6;
const restlessTurns = 1_000;

class Schedule {
  readonly trace: Array<string> = [];
  readonly #choices: Choices;
  readonly #process: Process;
  readonly #scope = Scope.makeUnsafe();
  readonly #log: Log["Service"];
  readonly #leases: Leases.Leases["Service"];
  readonly #families: Families.Families["Service"];
  readonly #held: Array<Leases.Lease | undefined> = [];
  /** The cursors that the reader has kept, and what it reads now. */
  readonly #kept: Array<string> = ["earliest"];
  #position: CursorPosition | undefined;
  #reader: Fiber.Fiber<unknown, unknown> | undefined;
  #wrong: string | undefined;
  now = 1_700_000_000_000;

  constructor(choices: Choices) {
    this.#choices = choices;
    this.#process = new Process(this, "reader", 1);
    const layout = {
      namespace: Namespace.make("readers"),
      shards: 1 + choices.below(3),
      parts: 2,
    };
    const sessions = Sessions.of({
      open: () => Effect.void,
      isOpen: () => Effect.succeed(true),
      list: Effect.succeed([]),
      changes: Stream.never,
    });
    const layer = Layer.mergeAll(Leases.layer, Families.layerMemory).pipe(
      Layer.provideMerge(layerMemory({ layout })),
      Layer.provide(Layer.succeed(Sessions, sessions)),
    );
    const context = Effect.runSync(
      Layer.buildWithScope(layer, this.#scope).pipe(Effect.provideContext(this.#process.context)),
    );
    const services = Effect.all({ log: Log, leases: Leases.Leases, families: Families.Families });
    const { log, leases, families } = Effect.runSync(Effect.provideContext(services, context));
    this.#log = log;
    this.#leases = leases;
    this.#families = families;
  }

  say(what: string | (() => string)): void {
    this.trace.push(typeof what === "string" ? what : what());
  }

  run(): void {
    const misfortunes = this.#choices.below(60);
    for (let i = 0; i < misfortunes; i++) this.#disturb();
    for (let turn = 0; turn < restlessTurns; turn++) {
      if (this.#reader === undefined) this.#read();
      if (!this.#process.run()) break;
    }
    if (this.#wrong !== undefined) throw new Wrong(this.#wrong);
    const missing = this.#between(this.#position, undefined);
    if (missing.length > 0) throw new Wrong(`the reader never gets ${missing.join(", ")}`);
  }

  close(): void {
    this.#process.die();
    Effect.runSync(Effect.exit(Scope.close(this.#scope, Exit.void)));
  }

  #disturb(): void {
    switch (this.#choices.below(12)) {
      case 11:
        return this.#stop();
      case 10:
      case 9:
        return this.#read();
      case 8:
      case 7:
      case 6:
        this.#process.run(this.#choices);
        return;
      case 5:
        this.now += this.#choices.below(20_000);
        return;
      default:
        return this.#write();
    }
  }

  /** Some lease changes in one or two records. */
  #write(): void {
    const i = this.#choices.below(executions);
    const to = executionAddress(this.#log.layout, tenant, ExecutionId.make(`order/${i}`));
    const held = this.#held[i];
    const worker = WorkerInstanceId.make("worker");
    const act = held === undefined
      ? Effect.map(this.#leases.acquire(to, { worker, ttl }), (lease) => {
        this.#held[i] = lease;
      })
      : this.#choices.oneIn(2)
      ? Effect.map(this.#leases.renew(held), (lease) => {
        this.#held[i] = lease;
      })
      : Effect.map(this.#leases.release(held), () => {
        this.#held[i] = undefined;
      });
    Effect.runSync(Effect.exit(Effect.provideContext(act, this.#process.context)));
    this.say(`a lease of shard ${to.shard} changes`);
  }

  #read(): void {
    this.#stop();
    const { length } = this.#kept;
    const back = this.#choices.oneIn(3) ? this.#choices.below(length) : 0;
    const after = this.#kept[length - 1 - back]!;
    this.#position = after === "earliest" ? undefined : positionOf(after);
    this.say(`a reader begins behind ${shown(this.#position)}`);
    this.#reader = Effect.runForkWith(this.#process.context)(
      this.#families.read("leaseHistory", { after }).pipe(
        Stream.runForEach(({ cursor }) => Effect.sync(() => this.#take(cursor))),
      ),
    );
    const reader = this.#reader;
    reader.addObserver((exit) => {
      if (this.#reader === reader) this.#wrong ??= `the reader ends: ${JSON.stringify(exit)}`;
    });
  }

  #stop(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader === undefined) return;
    this.say("the reader dies");
    Effect.runForkWith(this.#process.context)(Fiber.interrupt(reader));
    this.#process.run();
  }

  #take(cursor: string): void {
    const position = positionOf(cursor);
    this.say(`the reader gets what is at ${shown(position)}`);
    const passed = this.#between(this.#position, position);
    if (passed.length !== 1) {
      this.#wrong ??= passed.length === 0
        ? `the reader gets again what is at ${shown(position)}`
        : `the reader leaves out some of ${passed.join(", ")}`;
    }
    this.#position = position;
    this.#kept.push(cursor);
  }

  /** What the log has behind one position, up to another or to its end. */
  #between(
    from: CursorPosition | undefined,
    to: CursorPosition | undefined,
  ): ReadonlyArray<string> {
    const { layout } = this.#log;
    return Array.from({ length: layout.shards }, (_, shard) => {
      const subject = `$KV.${shardRoot(layout, shard)}.lease.>`;
      const entries = Effect.runSync(
        this.#log.readThrough({ shard, subject }, {
          after: from?.shards[shard]?.sequence ?? 0,
          through: 0,
        }),
      );
      const upTo = to?.shards[shard]?.sequence ?? Infinity;
      return entries.filter(({ sequence }) => sequence <= upTo)
        .map(({ sequence }) => `${shard}:${sequence}`);
    }).flat();
  }
}

const positionOf = (cursor: string): CursorPosition => Effect.runSync(decodeCursor(cursor));

const shown = (position: CursorPosition | undefined): string =>
  position === undefined
    ? "nothing"
    : position.shards.map(({ sequence }, shard) => `${shard}:${sequence}`).join(" ");

export const problemOf = (choices: Choices): string | undefined => {
  const schedule = new Schedule(choices);
  try {
    schedule.run();
    return undefined;
  } catch (error) {
    const problem = error instanceof Wrong ? error.message : String((error as Error).stack);
    return [...schedule.trace, problem].join("\n");
  } finally {
    schedule.close();
  }
};
