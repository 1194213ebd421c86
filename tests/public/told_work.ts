/**
 * What holds of the events of work of any one execution, whatever happened to it: a run goes only
 * from a state into one that may follow, whenever it runs there is exactly one attempt, and a lease
 * ends as it was. It knows the events alone, and not what they are told from.
 */
import * as Schema from "effect/Schema";
import type { RecordedWorkEvent, RunState } from "@weir/weir/schema";

/** What it takes from the schemas: those of the package, or those of the tree. */
type Words = Pick<
  typeof import("@weir/weir/schema"),
  "isFinal" | "isValidTransition" | "WorkEvent"
>;

/** The attempts that may end with a run coming into a state, by their results. */
const resultsBefore: { readonly [State in RunState]?: ReadonlyArray<string> } = {
  retryWait: ["failure", "timeout"],
  suspended: ["suspended"],
  completed: ["success"],
  failed: ["failure", "timeout"],
  canceled: ["failure"],
};

class Witness {
  readonly #words: Words;
  readonly #isWorkEvent: (event: unknown) => boolean;
  #place = { sequence: 0, ordinal: -1 };
  #run: string | undefined;
  #state: RunState | undefined;
  #attempt: string | undefined;
  #result: string | undefined;
  readonly #attempts = new Set<string>();
  #lease: { readonly owner: string; readonly expiry: number } | undefined;

  constructor(words: Words, isWorkEvent: (event: unknown) => boolean) {
    this.#words = words;
    this.#isWorkEvent = isWorkEvent;
  }

  /** What is wrong with an event behind those that were heard before. */
  hear(event: RecordedWorkEvent): string | undefined {
    const { sequence, ordinal } = event;
    const before = this.#place;
    this.#place = { sequence, ordinal };
    const isNext = sequence === before.sequence
      ? ordinal === before.ordinal + 1
      : sequence > before.sequence && ordinal === 0;
    if (!isNext) return "it is out of its place";
    if (event.kind === "other") return undefined;
    if (!this.#isWorkEvent(event)) return "it is no event";
    switch (event.kind) {
      case "runCreated": {
        const isBeginning = this.#state === undefined || this.#words.isFinal(this.#state);
        this.#run = event.run.id;
        this.#state = "scheduled";
        return isBeginning && event.run.state === "scheduled" ? undefined : "a run is under way";
      }
      case "runStateChanged":
        if (event.previousState !== this.#state) return `it was ${this.#state}`;
        if (["suspended", "canceled"].includes(event.newState)) return "that has its own word";
        return this.#come(event.newState, event.runId);
      case "runSuspended":
        return this.#come("suspended", event.runId);
      case "runResumed":
        return this.#state === "suspended" ? this.#come("ready", event.runId) : "it is not asleep";
      case "runCanceled":
        return this.#come("canceled", event.runId);
      case "attemptStarted":
        if (this.#attempt !== undefined) return `${this.#attempt} is under way`;
        if (this.#attempts.has(event.attemptId)) return "it was there before";
        this.#attempts.add(event.attemptId);
        this.#attempt = event.attemptId;
        return undefined;
      case "attemptFinished": {
        if (this.#attempt !== event.attemptId) return `${this.#attempt} is under way`;
        this.#attempt = undefined;
        this.#result = event.result;
        const isFailed = event.result === "failure" || event.result === "timeout";
        if (isFailed !== (event.error !== undefined)) return "it has an error, or lacks one";
        return event.output !== undefined && event.result !== "success" ? "its output" : undefined;
      }
      case "leaseAcquired":
        this.#lease = event;
        return undefined;
      case "leaseHeartbeat": {
        const { owner, expiry } = this.#lease ?? { owner: undefined, expiry: 0 };
        this.#lease = event;
        return event.owner === owner && event.expiry >= expiry ? undefined : `owner was ${owner}`;
      }
      case "leaseExpired":
      case "leaseReleased": {
        const lease = this.#lease;
        this.#lease = undefined;
        const isIts = event.owner === lease?.owner && event.expiry === lease.expiry;
        return isIts ? undefined : `the lease was ${JSON.stringify(lease)}`;
      }
      case "taskCreated":
      case "dependencyDeclared":
        return this.#state === undefined ? undefined : "the task was there";
      case "taskCanceled":
        return undefined;
      default:
        return "nothing of an execution tells that";
    }
  }

  #come(to: RunState, run: string): string | undefined {
    const from = this.#state;
    this.#state = to;
    if (run !== this.#run) return `the run is ${this.#run}`;
    if (from === undefined || !this.#words.isValidTransition(from, to)) {
      return `${from} to ${to} is not allowed`;
    }
    if ((to === "running") !== (this.#attempt !== undefined)) return "the attempt is not told of";
    if (from !== "running") return undefined;
    return resultsBefore[to]!.includes(this.#result!)
      ? undefined
      : `its result was ${this.#result}`;
  }
}

/** What is wrong with the events of an execution, in the order in which they are told. */
export const judgeOfWork = (words: Words) => {
  const isWorkEvent = Schema.is(words.WorkEvent);
  return (events: ReadonlyArray<RecordedWorkEvent>): string | undefined => {
    const witness = new Witness(words, isWorkEvent);
    for (const [i, event] of events.entries()) {
      const problem = witness.hear(event);
      if (problem !== undefined) {
        const told = events.slice(0, i + 1).map((each) => JSON.stringify(each)).join("\n");
        return `${problem}:\n${told}`;
      }
    }
    return undefined;
  };
};
