/**
 * The commit path of one stream. It keeps one append in flight per execution and a bounded number in
 * all, sends lean single publishes or, where each commit waits for the disk, shares one atomic batch
 * among executions, and settles unanswered attempts by their message ids. It never guesses: an
 * outcome that the server does not tell within the deadline is reported as unknown.
 */
import * as Exit from "effect/Exit";
import * as MutableList from "effect/MutableList";
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import {
  AlreadyExists,
  NoSpace,
  SequenceConflict,
  ServerRefused,
  StaleFence,
  Unavailable,
} from "../../schema/errors.ts";
import { Fence } from "../fence.ts";
import { newInbox } from "../inbox.ts";
import { type Appended, type AppendError, maxBatchSize } from "../log.ts";
import { randomMessageId } from "../message_id.ts";
import { ageMs, type AppendUnit, type Moment } from "./append_unit.ts";
import { meaningOf } from "./refusal.ts";
import {
  type Answer,
  answerReader,
  type BatchPlace,
  expectedSequence,
  guardsOwnSubject,
  type Outgoing,
  PublishHeaders,
  type Refusal,
} from "./wire.ts";

/** What was stored next under a subject. */
export interface Following {
  readonly sequence: number;
  readonly id: string | undefined;
  /** Whether it removed what was there before it. */
  readonly replaces: boolean;
}

export interface AppenderOptions {
  readonly stream: string;
  /** Whether appends that wait for the disk share a commit, or each goes by itself. */
  readonly commit: "single" | "shared";
  /** Unanswered for so long, an attempt is in doubt. */
  readonly answerTimeoutMs: number;
  /** After so long the caller is told that the outcome is unknown. */
  readonly giveUpAfterMs: number;
  /** How long the server remembers a message id, less a margin. */
  readonly idsKnownForMs: number;
  readonly maxInFlightMessages: number;
  readonly maxInFlightBytes: number;
  /**
   * Reads the first record that the leader has on a subject after a sequence: what became of an
   * attempt whose guard its own storing has broken.
   */
  readonly firstAfter: (subject: string, after: number) => Promise<Following | undefined>;
}

/** Whether what was there is gone: it may have been seen by whoever removed it. */
const isReplaced = (found: Following | undefined): boolean => found?.replaces !== false;

const replacedSince = "what it may have written was replaced";

/** What travels under one reply token: one unit, or a batch that several share. */
type Flight = AppendUnit | ReadonlyArray<AppendUnit>;

const isShared = (flight: Flight): flight is ReadonlyArray<AppendUnit> => Array.isArray(flight);

const unitsOf = (flight: Flight): ReadonlyArray<AppendUnit> => isShared(flight) ? flight : [flight];

const messagesIn = (flight: Flight): number =>
  isShared(flight)
    ? flight.reduce((sum, unit) => sum + unit.messages.length, 0)
    : flight.messages.length;

const bytesIn = (flight: Flight): number =>
  isShared(flight) ? flight.reduce((sum, unit) => sum + unit.bytes, 0) : flight.bytes;

const moment = (): Moment => ({ monotonicMs: performance.now(), wallMs: Date.now() });

const maxSharedBytes = 4 * 1024 * 1024;
/** Below this a batch costs more than its members by themselves. */
const minSharedUnits = 10;
/** A batch is stored as a whole or not at all: part of one under the same ids is not the same batch. */
const partlyKnown = {
  errorCode: 10201,
  description: "some of its message ids, but not all, are those of records stored before",
};
/** A condition that no stream meets, since no message has this id. */
const neverStored = "Nats-Expected-Last-Msg-Id: (none)\r\n";
const restMs = 20;
const sweepMs = 250;

export class Appender {
  readonly #connection: NatsConnection;
  readonly #options: AppenderOptions;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #readAnswer: (data: Uint8Array) => Answer;
  readonly #headers = new PublishHeaders();
  readonly #flights = new Map<number, Flight>();
  readonly #ready = MutableList.make<AppendUnit>();
  /** Executions with an append under way, and the units that wait behind it. */
  readonly #lanes = new Map<string, MutableList.MutableList<AppendUnit> | undefined>();
  readonly #resting = new Map<AppendUnit, ReturnType<typeof setTimeout>>();
  /** Units whose outcome is being read, each with the number of its latest reading. */
  readonly #readings = new Map<AppendUnit, number>();
  #sweeper: ReturnType<typeof setInterval> | undefined;
  /** Read by the sweeper while anything is outstanding: a clock call per append costs more than it tells. */
  #now: Moment = moment();
  #nextToken = 0;
  #nextReading = 0;
  #messagesInFlight = 0;
  #bytesInFlight = 0;
  #connected = true;
  /** Callers go on as soon as they are settled: what all of them append next goes out together. */
  #settling = false;
  #closed = false;

  constructor(connection: NatsConnection, options: AppenderOptions) {
    this.#connection = connection;
    this.#inbox = `${newInbox(connection)}.`;
    this.#options = options;
    this.#readAnswer = answerReader(options.stream);
    this.#subscription = connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#onAnswer(message);
      },
    });
  }

  /** Takes a unit; it is settled exactly once. */
  submit(unit: AppendUnit): void {
    if (this.#closed) {
      return unit.settle(Exit.fail(this.#unavailable(unit, "the connection is closed")));
    }
    if (this.#sweeper === undefined) {
      this.#now = moment();
      this.#sweeper = setInterval(() => this.#sweep(), sweepMs);
    }
    unit.submitted = this.#now;
    const lane = unit.address.tail;
    if (this.#lanes.has(lane)) {
      let waiting = this.#lanes.get(lane);
      if (waiting === undefined) this.#lanes.set(lane, waiting = MutableList.make());
      MutableList.append(waiting, unit);
      return;
    }
    this.#lanes.set(lane, undefined);
    MutableList.append(this.#ready, unit);
    this.#pump();
  }

  /** Publishes vanish and requests hang while the connection is down: hold back, and doubt. */
  disconnected(): void {
    this.#connected = false;
    const units = [...this.#flights.values()].flatMap(unitsOf);
    this.#flights.clear();
    this.#messagesInFlight = 0;
    this.#bytesInFlight = 0;
    this.#doubt(units);
    MutableList.appendAll(this.#ready, this.#readings.keys());
    this.#readings.clear();
  }

  reconnected(): void {
    this.#connected = true;
    this.#pump();
  }

  close(): void {
    if (this.#closed) return;
    this.disconnected();
    this.#closed = true;
    clearInterval(this.#sweeper);
    for (const timer of this.#resting.values()) clearTimeout(timer);
    const outstanding = [...MutableList.takeAll(this.#ready), ...this.#resting.keys()];
    for (const waiting of this.#lanes.values()) {
      if (waiting !== undefined) outstanding.push(...MutableList.takeAll(waiting));
    }
    this.#resting.clear();
    this.#lanes.clear();
    for (const unit of outstanding) {
      unit.settle(Exit.fail(this.#unavailable(unit, "the connection was closed")));
    }
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
  }

  #pump(): void {
    if (!this.#connected || this.#settling) return;
    if (this.#options.commit === "shared") this.#pumpShared();
    else this.#pumpSingle();
  }

  #pumpSingle(): void {
    const { maxInFlightMessages, maxInFlightBytes } = this.#options;
    while (this.#messagesInFlight < maxInFlightMessages && this.#bytesInFlight < maxInFlightBytes) {
      const unit = this.#takeReady();
      if (unit === undefined) return;
      this.#fly(unit);
    }
  }

  /** One commit at a time: what comes meanwhile waits for the same disk, and shares the next one. */
  #pumpShared(): void {
    if (this.#flights.size > 0) return;
    const fresh: Array<AppendUnit> = [];
    let messages = 0;
    let bytes = 0;
    while (messages < maxBatchSize && bytes < maxSharedBytes) {
      const unit = this.#takeReady();
      if (unit === undefined) break;
      if (unit.inDoubt || unit.messages.length > maxBatchSize - messages) {
        // A known id refuses a whole batch, so what may have landed goes by itself.
        this.#fly(unit);
        continue;
      }
      fresh.push(unit);
      messages += unit.messages.length;
      bytes += unit.bytes;
    }
    this.#flyTogether(fresh);
  }

  /** The next unit that is still worth sending. */
  #takeReady(): AppendUnit | undefined {
    for (;;) {
      const unit = MutableList.take(this.#ready);
      if (unit === MutableList.Empty) return undefined;
      const refusal = this.#refusalBeforeSending(unit);
      if (refusal === undefined && !unit.abandoned) return unit;
      this.#finish(unit, Exit.fail(refusal ?? this.#unavailable(unit, "the caller has gone")));
    }
  }

  #refusalBeforeSending(unit: AppendUnit): AppendError | undefined {
    const guard = unit.messages[0].guard;
    if (guard instanceof Fence && guard.lost) return this.#stale(unit, guard);
    // Doubt is rare, and the sweeper's last look may date from before the laptop slept.
    if (unit.inDoubt && ageMs(unit.firstSent, moment()) > this.#options.idsKnownForMs) {
      return this.#unavailable(unit, "its message id is too old to settle the outcome");
    }
    if (ageMs(unit.submitted, this.#now) > this.#options.giveUpAfterMs) {
      return this.#unavailable(unit, this.#connected ? "the deadline passed" : "disconnected");
    }
    return undefined;
  }

  #flyTogether(units: ReadonlyArray<AppendUnit>): void {
    if (units.length >= minSharedUnits) this.#fly(units);
    else for (const unit of units) this.#fly(unit);
  }

  #fly(flight: Flight): void {
    const reply = this.#takeOff(flight);
    if (!isShared(flight) && flight.messages.length === 1) {
      flight.markSent(this.#now);
      return this.#publish(flight.messages[0], { reply });
    }
    const batch = randomMessageId();
    const units = unitsOf(flight);
    const size = messagesIn(flight);
    let position = 0;
    for (const unit of units) {
      unit.markSent(this.#now);
      for (const message of unit.messages) {
        position++;
        const last = position === size;
        this.#publish(message, last ? { reply } : {}, { batch, position, last });
      }
    }
  }

  #publish(message: Outgoing, options: { readonly reply?: string }, place?: BatchPlace): void {
    const headers = this.#headers.write(message, place);
    this.#connection.publish(message.subject, message.body, { ...options, headers });
  }

  /** Registers a flight and gives the subject that its answer comes to. */
  #takeOff(flight: Flight): string {
    const token = this.#nextToken++;
    this.#flights.set(token, flight);
    this.#messagesInFlight += messagesIn(flight);
    this.#bytesInFlight += bytesIn(flight);
    return this.#inbox + token;
  }

  #land(token: number, flight: Flight): void {
    this.#flights.delete(token);
    this.#messagesInFlight -= messagesIn(flight);
    this.#bytesInFlight -= bytesIn(flight);
  }

  #onAnswer(message: Msg): void {
    const token = Number(message.subject.slice(this.#inbox.length));
    const flight = this.#flights.get(token);
    if (flight === undefined) return;
    this.#land(token, flight);
    const answer = this.#readAnswer(message.data);
    this.#settling = true;
    try {
      if (isShared(flight)) this.#onSharedAnswer(flight, answer);
      else this.#onUnitAnswer(flight, answer);
    } finally {
      this.#settling = false;
    }
    this.#pump();
  }

  #onUnitAnswer(unit: AppendUnit, answer: Answer): void {
    switch (answer._tag) {
      case "Stored":
        if (answer.duplicate) return this.#onStoredBefore(unit, answer.sequence);
        // A batch is acknowledged with its last sequence.
        return this.#succeed(unit, answer.sequence - unit.messages.length + 1, false);
      case "NobodyThere":
        return this.#rest(unit);
      case "Refused":
        return this.#onRefusal(unit, answer);
    }
  }

  #onRefusal(unit: AppendUnit, refusal: Refusal): void {
    const meaning = meaningOf(refusal);
    const { stream } = this.#options;
    switch (meaning._tag) {
      case "TryAgain":
        return this.#rest(unit);
      case "GuardBroken":
        return this.#onGuardBroken(unit, meaning.actual);
      case "IdKnown":
        return this.#onIdKnown(unit);
      case "IdUnknown":
        return this.#finish(unit, Exit.fail(this.#refused(partlyKnown)));
      case "NoSpace": {
        // Limits may be looked at before ids are, so what was in doubt remains so.
        const reason = refusal.description;
        const error = unit.inDoubt
          ? this.#unavailable(unit, reason)
          : new NoSpace({ stream, reason });
        return this.#finish(unit, Exit.fail(error));
      }
      case "Final":
        return this.#finish(unit, Exit.fail(this.#refused(refusal)));
    }
  }

  #onGuardBroken(unit: AppendUnit, actual: number): void {
    const [message] = unit.messages;
    if (!unit.inDoubt || !guardsOwnSubject(message)) {
      return this.#finish(unit, Exit.fail(this.#guardError(unit, message, actual)));
    }
    // The attempt in doubt may itself have moved the subject on: then it is the very next record.
    const after = expectedSequence(message.guard!);
    this.#readBack(unit, message.subject, after, (found) => {
      if (found?.id === message.id) return this.#succeed(unit, found.sequence, false);
      // A fence is lost either way, and says itself that its write may have landed.
      const error = isReplaced(found) && !(message.guard instanceof Fence)
        ? this.#unavailable(unit, replacedSince)
        : this.#guardError(unit, message, actual);
      this.#finish(unit, Exit.fail(error));
    });
  }

  /**
   * Asks where the first message of a batch is, of which some id is known. The server looks for the
   * id before it looks at a condition that cannot hold, so that the question itself is never stored.
   */
  #onIdKnown(unit: AppendUnit): void {
    const [message] = unit.messages;
    const guard = guardsOwnSubject(message) ? undefined : message.guard;
    const question = { ...message, guard, body: new Uint8Array(), extraHeaders: neverStored };
    this.#publish(question, { reply: this.#takeOff(unit) });
  }

  /** The answer to an id that is known speaks of one message; the last of a batch must be in its place. */
  #onStoredBefore(unit: AppendUnit, sequence: number): void {
    const duplicate = !unit.inDoubt;
    if (unit.messages.length === 1) return this.#succeed(unit, sequence, duplicate);
    const last = unit.messages[unit.messages.length - 1]!;
    const place = sequence + unit.messages.length - 1;
    this.#readBack(unit, last.subject, place - 1, (found) => {
      const isWhole = found?.sequence === place && found.id === last.id;
      if (isWhole) return this.#succeed(unit, sequence, duplicate);
      const error = unit.inDoubt && isReplaced(found)
        ? this.#unavailable(unit, replacedSince)
        : this.#refused(partlyKnown);
      this.#finish(unit, Exit.fail(error));
    });
  }

  #readBack(
    unit: AppendUnit,
    subject: string,
    after: number,
    then: (found: Following | undefined) => void,
  ): void {
    const reading = this.#nextReading++;
    const finish = (act: () => void) => {
      // After a break the unit is on its way again, and this answer is nobody's.
      if (this.#readings.get(unit) !== reading) return;
      this.#readings.delete(unit);
      act();
      this.#pump();
    };
    this.#readings.set(unit, reading);
    this.#options.firstAfter(subject, after).then(
      (found) => finish(() => then(found)),
      () => finish(() => this.#rest(unit)),
    );
  }

  #onSharedAnswer(units: ReadonlyArray<AppendUnit>, answer: Answer): void {
    if (answer._tag === "Stored") {
      let sequence = answer.sequence - messagesIn(units) + 1;
      for (const unit of units) {
        this.#succeed(unit, sequence, false);
        sequence += unit.messages.length;
      }
      return;
    }
    if (answer._tag === "NobodyThere" || meaningOf(answer)._tag === "TryAgain") {
      for (const unit of units) this.#rest(unit);
      return;
    }
    // The refusal names no member and nothing was stored: the halves tell more.
    const half = units.length >> 1;
    this.#flyTogether(units.slice(0, half));
    this.#flyTogether(units.slice(half));
  }

  #doubt(units: ReadonlyArray<AppendUnit>): void {
    for (const unit of units) unit.inDoubt = true;
    MutableList.prependAll(this.#ready, units);
  }

  /** Tries again shortly: the server said that nothing was stored, or could not be asked. */
  #rest(unit: AppendUnit): void {
    if (this.#closed) return this.#finish(unit, Exit.fail(this.#unavailable(unit, "closed")));
    this.#resting.set(
      unit,
      setTimeout(() => {
        this.#resting.delete(unit);
        MutableList.append(this.#ready, unit);
        this.#pump();
      }, restMs),
    );
  }

  #finish(unit: AppendUnit, exit: Exit.Exit<Appended, AppendError>): void {
    unit.settle(exit);
    const lane = unit.address.tail;
    const waiting = this.#lanes.get(lane);
    const next = waiting === undefined ? MutableList.Empty : MutableList.take(waiting);
    if (next === MutableList.Empty) this.#lanes.delete(lane);
    else MutableList.append(this.#ready, next);
  }

  #succeed(unit: AppendUnit, sequence: number, duplicate: boolean): void {
    this.#finish(unit, Exit.succeed({ sequence, duplicate }));
  }

  #sweep(): void {
    if (this.#lanes.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    this.#now = moment();
    const late: Array<AppendUnit> = [];
    for (const [token, flight] of this.#flights) {
      const units = unitsOf(flight);
      if (ageMs(units[0]!.lastSent, this.#now) < this.#options.answerTimeoutMs) break;
      this.#land(token, flight);
      late.push(...units);
    }
    this.#doubt(late);
    while (this.#expire()) continue;
    this.#pump();
  }

  /** Settles what is not worth sending any more; what waited behind it comes up, and is looked at next. */
  #expire(): boolean {
    const expired: Array<[AppendUnit, AppendError]> = [];
    MutableList.filter(this.#ready, (unit) => {
      const refusal = this.#refusalBeforeSending(unit);
      if (refusal !== undefined) expired.push([unit, refusal]);
      return refusal === undefined;
    });
    for (const [unit, refusal] of expired) this.#finish(unit, Exit.fail(refusal));
    return expired.length > 0;
  }

  #stale(unit: AppendUnit, fence: Fence): StaleFence {
    const landed = unit.inDoubt ? "unknown" : "no";
    return new StaleFence({ execution: unit.address.label, revision: fence.revision, landed });
  }

  #guardError(unit: AppendUnit, { guard, subject: own }: Outgoing, actual: number): AppendError {
    if (guard instanceof Fence) {
      guard.lose();
      return this.#stale(unit, guard);
    }
    const { after: expected = 0, subject = own } = guard ?? {};
    return expected === 0
      ? new AlreadyExists({ subject, sequence: actual })
      : new SequenceConflict({ subject, expected, actual });
  }

  #refused({ errorCode, description }: Omit<Refusal, "_tag">): ServerRefused {
    const operation = `append to ${this.#options.stream}`;
    return new ServerRefused({ operation, errorCode, description });
  }

  #unavailable(unit: AppendUnit, reason: string): Unavailable {
    const operation = `append to ${unit.address.label}`;
    return new Unavailable({ operation, reason, landed: unit.inDoubt ? "unknown" : "no" });
  }
}
