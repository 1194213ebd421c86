/**
 * Histories that the core itself makes, for property tests: a stream of mail and journal records, and
 * owners of it that read late, take up what they like, and are followed by others. Nothing in it
 * decides what is right.
 */
import * as HashMap from "effect/HashMap";
import * as Result from "effect/Result";
import type * as Schema from "effect/Schema";
import fc from "fast-check";
import { beforeTakingUp, type Command, decide, type Limits } from "../../../actors/core/decide.ts";
import { receive, record as evolve, takeUp } from "../../../actors/core/evolve.ts";
import { type ExecutionState, initial, type Mail } from "../../../actors/core/state.ts";
import type { Failure } from "../../../schema/failure.ts";
import {
  ActorName,
  ExecutionId,
  SignalId,
  Tenant,
  Timestamp,
  WorkerInstanceId,
} from "../../../schema/ids.ts";
import type { JournalRecord } from "../../../schema/journal_record.ts";
import type { MailRecord, StartRecord } from "../../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../../schema/outcome_record.ts";

/** One record of an execution, at its place in the stream. */
export type StreamEntry =
  | { readonly type: "mail"; readonly mail: Mail }
  | { readonly type: "journal"; readonly record: JournalRecord; readonly at: Timestamp };

/** What happens to an execution, or what is tried with it. */
export type Action =
  | { readonly type: "mail"; readonly mail: Exclude<MailRecord, StartRecord> }
  | { readonly type: "read" | "takeUp" }
  | { readonly type: "command"; readonly command: Command }
  /** Another owner takes over, from one that failed or from one that let go. */
  | { readonly type: "claim"; readonly reclaims: boolean };

export const replay = (
  entries: ReadonlyArray<StreamEntry>,
  from: ExecutionState = initial,
): ExecutionState =>
  entries.reduce(
    (state, entry) =>
      entry.type === "mail" ? receive(state, entry.mail) : evolve(state, entry.record, entry.at),
    from,
  );

/** A state as plain data, so that two of them are compared and shown by what is in them. */
export const plain = (state: ExecutionState): object => ({
  ...state,
  operations: inOrder(state.operations),
  signalKeys: inOrder(state.signalKeys),
  cells: inOrder(state.cells),
  tags: inOrder(state.tags),
});

const inOrder = <Value>(map: HashMap.HashMap<string, Value>): ReadonlyArray<[string, Value]> =>
  [...HashMap.entries(map)].sort(([a], [b]) => a < b ? -1 : 1);

export const at = (sequence: number): Timestamp => Timestamp.make(1_700_000_000_000 + sequence);

/** The stream of one execution, and its present owner. */
export class Stage {
  readonly entries: Array<StreamEntry> = [];
  /** The owner's state. */
  state: ExecutionState = initial;
  readonly #limits: Limits;
  /** Told of each step of the owner's state. */
  readonly #watch: (
    before: ExecutionState,
    after: ExecutionState,
    by: JournalRecord | Mail,
  ) => void;
  #sequence = 0;
  #unread: Array<Mail> = [];

  constructor(
    start: StartRecord,
    { limits = { signals: 10_000, replays: 10 }, watch = () => {} }: {
      readonly limits?: Limits;
      readonly watch?: (
        before: ExecutionState,
        after: ExecutionState,
        by: JournalRecord | Mail,
      ) => void;
    } = {},
  ) {
    this.#limits = limits;
    this.#watch = watch;
    this.post(start);
    this.read();
  }

  /** What the owner has not read yet. */
  get unread(): ReadonlyArray<Mail> {
    return this.#unread;
  }

  post(record: MailRecord): Mail {
    const sequence = ++this.#sequence;
    const mail = { sequence, at: at(sequence), record };
    this.entries.push({ type: "mail", mail });
    this.#unread.push(mail);
    return mail;
  }

  read(): void {
    for (const mail of this.#unread.splice(0)) this.state = receive(this.state, mail);
  }

  /** Takes up the first message that was read, as an owner must. */
  takeUp(): void {
    const [mail] = this.state.inbox;
    if (mail === undefined) return;
    const record = beforeTakingUp(this.state, this.#limits);
    if (record !== undefined) return this.write(record);
    const before = this.state;
    this.state = takeUp(before);
    this.#watch(before, this.state, mail);
  }

  /** Takes up all that was read. */
  takeUpAll(): void {
    while (this.state.inbox.length > 0) this.takeUp();
  }

  /** Sends a message that the owner takes up at once. */
  deliver(record: MailRecord): Mail {
    const mail = this.post(record);
    this.read();
    this.takeUpAll();
    return mail;
  }

  /** Writes what a command says, if it is not refused. */
  command(command: Command): boolean {
    const decided = decide(this.state, command);
    if (Result.isFailure(decided)) return false;
    this.write(decided.success);
    return true;
  }

  write(record: JournalRecord): void {
    const sequence = ++this.#sequence;
    const entry = { type: "journal", record, at: at(sequence) } as const;
    this.entries.push(entry);
    const before = this.state;
    this.state = evolve(before, record, entry.at);
    this.#watch(before, this.state, record);
  }

  /** Another owner takes over with what the stream says and nothing else. */
  claim(reclaims: boolean): void {
    const { epoch, attempt } = this.state;
    this.#unread = [];
    this.state = replay(this.entries);
    this.write({
      kind: "claimed",
      worker: WorkerInstanceId.make(`worker-${epoch + 1}`),
      epoch: epoch + 1,
      attempt: attempt + (reclaims ? 1 : 0),
      reclaims: reclaims ? this.state.reclaims + 1 : 0,
    });
  }

  act(action: Action): void {
    switch (action.type) {
      case "mail":
        this.post(action.mail);
        return;
      case "read":
        return this.read();
      case "takeUp":
        return this.takeUp();
      case "command":
        this.command(action.command);
        return;
      case "claim":
        return this.claim(action.reclaims);
    }
  }
}

export const start: StartRecord = { kind: "start", seed: "seed" };
export const failure: Failure = { name: "CardDeclined", message: "no" };
export const tenant = Tenant.make("acme");
export const parent = { execution: ExecutionId.make("order/p"), tenant, life: 1, key: "ship" };
export const stranger = { ...parent, execution: ExecutionId.make("order/stranger") };

export const signal = (
  name: string,
  fields: { readonly key?: string; readonly payload?: Schema.Json } = {},
): Extract<MailRecord, { readonly kind: "signal" }> => ({
  kind: "signal",
  name,
  signalId: SignalId.make(`signal-${signals++}`),
  ...fields,
});
let signals = 0;

export const stepOf = (key: string, value: Schema.Json = key): Command => ({
  kind: "step",
  key,
  result: { type: "value", value },
  tries: 1,
  durationMs: 1,
});

export const failedStepOf = (key: string): Command => ({
  kind: "step",
  key,
  result: { type: "failure", failure },
  tries: 1,
  durationMs: 1,
});

export const callOf = (
  key: string,
  { verb = "call", execution = `child/${key}`, onParentEnd = "cancel" }: {
    readonly verb?: "call" | "spawn";
    readonly execution?: string;
    readonly onParentEnd?: "cancel" | "abandon";
  } = {},
): Command => ({
  kind: "calling",
  key,
  verb,
  actor: ActorName.make("child"),
  execution: ExecutionId.make(execution),
  tenant,
  onParentEnd,
});

export const childEnded = (
  key: string,
  outcome: OutcomeRecord,
  execution = `child/${key}`,
): MailRecord & { readonly kind: "child" } => ({
  kind: "child",
  key,
  execution: ExecutionId.make(execution),
  outcome,
});

export const done = (outcome: OutcomeRecord = { type: "success" }): Command => ({
  kind: "done",
  outcome,
});

const key = fc.constantFrom("a", "b", "c", "d");
/** With the ends of spawned children. */
const anyKey = fc.oneof(key, fc.constantFrom("weir.end/a", "weir.end/b"));
const name = fc.constantFrom("x", "y");
const due = fc.integer({ min: 1, max: 1_000 }).map((ms) => Timestamp.make(ms));
const json = fc.constantFrom<Schema.Json>(null, 0, "v", { deep: [true] });
const maybe = <Field extends string, Value>(field: Field, value: fc.Arbitrary<Value>) =>
  fc.option(value).map((value) => value === null ? {} : { [field]: value });
const anyFailure = fc.constantFrom<Failure>(failure, {
  name: "TimeoutError",
  message: "late",
  retryable: false,
});

export const outcome = fc.oneof<Array<fc.Arbitrary<OutcomeRecord>>>(
  maybe("value", json).map((value) => ({ type: "success", ...value })),
  anyFailure.map((failure) => ({ type: "failure", failure })),
  fc.constant({ type: "cancelled", reason: "enough" }),
  fc.constant({ type: "expired" }),
  fc.constant({ type: "skipped", reason: "not needed" }),
);

export const anyMail = fc.oneof<Array<fc.Arbitrary<Exclude<MailRecord, StartRecord>>>>(
  fc.tuple(name, maybe("key", fc.constantFrom("k", "l")), maybe("payload", json)).map(
    ([name, key, payload]) => signal(name, { ...key, ...payload }),
  ),
  fc.constantFrom(
    { kind: "cancel" },
    { kind: "cancel", reason: "why" },
    { kind: "cancel", force: true },
    { kind: "cancel", parent },
    { kind: "cancel", parent: stranger },
  ),
  fc.constantFrom({ kind: "pause" }, { kind: "pause", reason: "lunch" }),
  fc.constant({ kind: "resume" }),
  fc.constantFrom({ kind: "promote" }, { kind: "promote", key: "now" }),
  fc.constantFrom({ kind: "retry", from: "failure" }, { kind: "retry", from: "start" }),
  fc.tuple(fc.oneof(key, fc.constant("weir.deadline")), due).map(([key, due]) => ({
    kind: "timer",
    key,
    due,
  })),
  fc.tuple(anyKey, outcome, fc.constantFrom("child/1", "child/2")).map((
    [key, outcome, execution],
  ) => childEnded(key, outcome, execution)),
  fc.constantFrom({ kind: "join", parent }, { kind: "join", parent: stranger }),
  fc.constant({ kind: "pause", life: 999 }),
);

export const anyCommand = fc.oneof<Array<fc.Arbitrary<Command>>>(
  fc.tuple(key, json).map(([key, value]) => stepOf(key, value)),
  key.map(failedStepOf),
  fc.tuple(key, anyFailure, due).map(([key, failure, retryAt]) => ({
    kind: "stepFailed",
    key,
    failure,
    tries: 1,
    retryAt,
  })),
  fc.tuple(key, due).map(([key, due]) => ({ kind: "sleeping", key, due })),
  fc.tuple(key, name, maybe("due", due)).map(([key, signal, due]) => ({
    kind: "waiting",
    key,
    signal,
    ...due,
  })),
  key.map((key) => ({ kind: "elapsed", key })),
  fc.tuple(json, fc.subarray(["a", "b"]), fc.subarray(["x"])).map(([input, taken, cleared]) => ({
    kind: "continued",
    input,
    taken,
    cleared,
  })),
  fc.tuple(
    key,
    fc.constantFrom("call" as const, "spawn" as const),
    fc.constantFrom("child/1", "child/2"),
    fc.constantFrom("cancel" as const, "abandon" as const),
  ).map(([key, verb, execution, onParentEnd]) => callOf(key, { verb, execution, onParentEnd })),
  fc.tuple(anyKey, anyFailure).map(([key, failure]) => ({ kind: "callFailed", key, failure })),
  fc.tuple(key, json).map(([key, value]) => ({ kind: "noted", key, what: "now", value })),
  fc.tuple(key, name, maybe("value", json)).map(([key, name, value]) => ({
    kind: "cell",
    key,
    name,
    ...value,
  })),
  fc.tuple(key, name, fc.boolean()).map(([key, name, attached]) => ({
    kind: "tag",
    key,
    name,
    ...(attached ? { change: "attached", value: "v" } : { change: "cleared" }),
  })),
  fc.tuple(anyFailure, due).map(([failure, retryAt]) => ({
    kind: "attemptFailed",
    failure,
    retryAt,
  })),
);

const anyAction = fc.oneof<Array<fc.WeightedArbitrary<Action>>>(
  { weight: 6, arbitrary: anyMail.map((mail) => ({ type: "mail", mail })) },
  { weight: 5, arbitrary: fc.constant({ type: "read" }) },
  { weight: 6, arbitrary: fc.constant({ type: "takeUp" }) },
  { weight: 12, arbitrary: anyCommand.map((command) => ({ type: "command", command })) },
  { weight: 1, arbitrary: outcome.map((outcome) => ({ type: "command", command: done(outcome) })) },
  { weight: 2, arbitrary: fc.boolean().map((reclaims) => ({ type: "claim", reclaims })) },
);

export const anyStart = fc.constantFrom<StartRecord>(start, {
  ...start,
  input: [1],
  tags: { x: "initial", z: "kept" },
  parent,
  notBefore: Timestamp.make(10),
  deadline: Timestamp.make(100),
});

export const actions = fc.array(anyAction, { maxLength: 80, size: "max" });
