/**
 * One schedule of the commit path of production, on a server in memory: many executions append at
 * once, singly or in shared batches, some of them for owners that are none any more, while the
 * connection breaks and the server refuses what it could take. What was told to whom appended must be
 * what the log has. Time is moved by hand: the timers of the path are caught.
 */
import * as Cause from "effect/Cause";
import * as Exit from "effect/Exit";
import { Fence } from "../../streams/fence.ts";
import type { Appended, AppendError } from "../../streams/log.ts";
import { AppendUnit } from "../../streams/log/append_unit.ts";
import { Appender } from "../../streams/log/appender.ts";
import type { Outgoing } from "../../streams/log/wire.ts";
import type { Address } from "../../streams/subjects.ts";
import { AppendServer, stream } from "./append_server.ts";
import type { Choices } from "./choices.ts";
import { HandMovedTime } from "./hand_moved_time.ts";
import { Wrong } from "./wrong.ts";

interface Writer {
  readonly address: Address;
  readonly fence: Fence;
  readonly lease: string;
  left: number;
}

interface Append {
  readonly name: string;
  readonly writer: Writer;
  readonly ids: ReadonlyArray<string>;
  exit: Exit.Exit<Appended, AppendError> | undefined;
}

const restlessTurns = 5_000;

class Schedule {
  readonly #choices: Choices;
  readonly #time: HandMovedTime;
  readonly #server: AppendServer;
  readonly #appender: Appender;
  readonly #writers: ReadonlyArray<Writer>;
  readonly #appends: Array<Append> = [];
  readonly trace: Array<string> = [];
  #isConnected = true;

  constructor(choices: Choices, time: HandMovedTime) {
    this.#choices = choices;
    this.#time = time;
    this.#server = new AppendServer(choices);
    this.#appender = new Appender(this.#server.connection, {
      stream,
      commit: choices.oneIn(4) ? "single" : "shared",
      answerTimeoutMs: 5_000,
      giveUpAfterMs: 30_000,
      idsKnownForMs: 60_000,
      maxInFlightMessages: 512,
      maxInFlightBytes: 1 << 20,
      firstAfter: (subject, after) => this.#server.firstAfter(subject, after),
    });
    this.#writers = Array.from({ length: 1 + choices.below(24) }, (_, i) => {
      const lease = `$KV.appends.lease.0.order.acme.${i}`;
      const nonce = `owner-${i}`;
      return {
        address: { shard: 0, tail: `0.order.acme.${i}`, label: `order/${i}` } as Address,
        fence: new Fence(lease, nonce, this.#server.store(lease, `lease ${i}`)),
        lease,
        left: 1 + choices.below(3),
      };
    });
  }

  async run(): Promise<void> {
    const misfortunes = this.#choices.below(60);
    for (let i = 0; i < misfortunes; i++) {
      this.#disturb();
      await microtasks();
    }
    this.#say("from now on all goes well");
    this.#server.isMoody = false;
    for (let turn = 0; turn < restlessTurns; turn++) {
      this.#connect();
      while (this.#append() || this.#server.take() || this.#server.tell()) continue;
      await microtasks();
      if (this.#appends.every(({ exit }) => exit !== undefined) && this.#server.isIdle) break;
      this.#time.pass(20);
    }
    this.#judge();
    this.#appender.close();
  }

  #say(what: string): void {
    this.trace.push(`${String(this.#time.now).padStart(7)} ms  ${what}`);
  }

  #disturb(): void {
    switch (this.#choices.below(17)) {
      case 16:
        return this.#goAhead();
      case 15:
        return this.#disconnect();
      case 14:
        return this.#connect();
      case 13:
        return this.#time.pass(this.#choices.below(6_000));
      case 12:
        return this.#takeOver();
      case 11:
      case 10:
        return this.#time.pass(20);
      case 9:
      case 8:
      case 7:
        this.#server.tell();
        return;
      case 6:
      case 5:
      case 4:
        this.#server.take();
        return;
      default: {
        let count = 1 + this.#choices.below(16);
        while (count-- > 0 && this.#append()) continue;
      }
    }
  }

  #append(): boolean {
    const writers = this.#writers.filter(({ left }) => left > 0);
    if (writers.length === 0) return false;
    const writer = this.#choices.of(writers);
    writer.left--;
    const { address, fence } = writer;
    const name = `append ${this.#appends.length} of ${address.label}`;
    const kind = this.#choices.oneIn(4) ? this.#choices.of(["mail", "event"] as const) : "log";
    const subject = `appends.${kind}.${address.tail}`;
    const onTheLast = { after: this.#server.lastSequence(subject) };
    const replaces = kind === "event" && this.#choices.oneIn(2);
    const messages = Array.from({ length: this.#choices.oneIn(4) ? 2 : 1 }, (_, i): Outgoing => ({
      subject,
      body: new Uint8Array([i]),
      id: kind === "log" ? fence.nextId() : `${name}, ${i}`,
      guard: kind === "log" ? fence : kind === "event" && i === 0 ? onTheLast : undefined,
      extraHeaders: replaces && i === 0 ? "Nats-Rollup: sub\r\n" : "",
      onStored: undefined,
    }));
    const append: Append = { name, writer, ids: messages.map(({ id }) => id), exit: undefined };
    this.#appends.push(append);
    this.#say(`${name} is asked for`);
    const [first, ...rest] = messages;
    this.#appender.submit(
      new AppendUnit(address, [first!, ...rest], (exit) => {
        if (append.exit !== undefined) throw new Wrong(`${name} is answered twice`);
        append.exit = exit;
        this.#say(`${name}: ${Exit.isSuccess(exit) ? `at ${exit.value.sequence}` : causeOf(exit)}`);
      }),
    );
    return true;
  }

  /** Somebody else is first under a subject, or puts something in the place of what is there. */
  #goAhead(): void {
    const { address } = this.#choices.of(this.#writers);
    const id = `rival ${this.#server.records.length}`;
    this.#server.store(`appends.event.${address.tail}`, id, this.#choices.oneIn(2));
    this.#say(`${id} is ahead in ${address.label}`);
  }

  #disconnect(): void {
    if (!this.#isConnected) return;
    this.#isConnected = false;
    this.#say("the connection breaks");
    this.#server.cut();
    this.#appender.disconnected();
  }

  #connect(): void {
    if (this.#isConnected) return;
    this.#isConnected = true;
    this.#say("the connection is back");
    this.#appender.reconnected();
  }

  /** Another owner has the execution from now on. */
  #takeOver(): void {
    const { lease, address } = this.#choices.of(this.#writers);
    const sequence = this.#server.store(lease, `takeover ${this.#server.records.length}`);
    this.#say(`${address.label} is taken over at ${sequence}`);
  }

  #judge(): void {
    const { records } = this.#server;
    const reached = new Map<Writer, number>();
    for (const { name, writer, ids, exit } of this.#appends) {
      if (exit === undefined) throw new Wrong(`${name} is never answered`);
      const stored = records.filter(({ id }) => ids.includes(id));
      const isWhole = stored.length === ids.length &&
        stored.every(({ id, sequence }, i) =>
          id === ids[i] && sequence === stored[0]!.sequence + i
        );
      if (stored.length > 0 && !isWhole) throw new Wrong(`of ${name} the log has a part`);
      if (Exit.isSuccess(exit)) {
        const { sequence } = exit.value;
        if (!isWhole) throw new Wrong(`${name} is told as written, and is not`);
        if (stored[0]!.sequence !== sequence) throw new Wrong(`${name} is not at ${sequence}`);
        if (sequence < (reached.get(writer) ?? 0)) throw new Wrong(`${name} comes before another`);
        reached.set(writer, sequence);
      } else if (stored.length > 0 && !causeOf(exit).includes("unknown")) {
        throw new Wrong(`${name} is told as refused, and is at ${stored[0]!.sequence}`);
      }
    }
  }
}

/** Why an append failed, and whether it is known that nothing was stored. */
const causeOf = (exit: Exit.Failure<Appended, AppendError>): string => {
  const error = Cause.squash(exit.cause) as AppendError;
  return `${error._tag}${"landed" in error ? `, landed: ${error.landed}` : ""}`;
};

const microtasks = async (): Promise<void> => {
  for (let i = 0; i < 4; i++) await Promise.resolve();
};

export const problemOf = async (choices: Choices): Promise<string | undefined> => {
  const time = new HandMovedTime();
  let schedule: Schedule | undefined;
  try {
    schedule = new Schedule(choices, time);
    await schedule.run();
    return undefined;
  } catch (error) {
    const problem = error instanceof Wrong ? error.message : String((error as Error).stack);
    return [...schedule?.trace ?? [], problem].join("\n");
  } finally {
    time.release();
  }
};
