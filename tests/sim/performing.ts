/**
 * What an owner does because the code of its actor asks for it, one thing after another, in an order
 * that is drawn.
 */
import { operation } from "../../actors/core/state.ts";
import {
  ActorName,
  type ExecutionId,
  ExecutionId as Execution,
  Timestamp,
} from "../../schema/ids.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { Hold, Pause } from "./hold.ts";
import { next, type Operation, type Program, sharedChild, spawnedBy, valueOf } from "./programs.ts";
import { tenant } from "./world.ts";

export class Performer {
  readonly #hold: Hold;
  readonly #program: Program;
  readonly #end: (outcome: OutcomeRecord) => Generator<Pause, void>;
  /** Children of which it is known that they were started. */
  readonly #started = new Set<string>();

  constructor(
    hold: Hold,
    program: Program,
    end: (outcome: OutcomeRecord) => Generator<Pause, void>,
  ) {
    this.#hold = hold;
    this.#program = program;
    this.#end = end;
  }

  /** One thing of what the code asks for; false if there is nothing that can be done now. */
  *perform(): Generator<Pause, boolean> {
    const { choices, now } = this.#hold.world;
    const turn = next(this.#program, this.#hold.state);
    if (turn.type === "end") {
      yield* this.#end(turn.outcome);
      return true;
    }
    if (turn.type === "fail") {
      const retryAt = Timestamp.make(now + 1 + choices.below(3_000));
      const failure = { name: "AttemptFailed", message: "try again" };
      yield* this.#hold.execute({ kind: "attemptFailed", failure, retryAt });
      this.#hold.adoptAttempt();
      return true;
    }
    const unbegun = turn.pending.find(({ key, kind }) =>
      kind !== "run" && kind !== "end" && operation(this.#hold.state, key) === undefined
    );
    if (unbegun !== undefined) {
      yield* this.#begin(unbegun);
      return true;
    }
    const pending = new Map(
      [...this.#unstarted(), ...turn.pending].map((each) => [each.key, each]),
    );
    const ready = [...pending.values()].filter((pending) => this.#isReady(pending));
    if (ready.length === 0) return false;
    yield* this.#goOn(choices.of(ready));
    return true;
  }

  /** What was spawned, and may not have been started by whoever recorded that. */
  #unstarted(): ReadonlyArray<Operation> {
    return spawnedBy(this.#program).filter(({ key }) => {
      const end = operation(this.#hold.state, key);
      return end !== undefined && end.settled === undefined;
    });
  }

  *#begin(begun: Operation): Generator<Pause, void> {
    const { key } = begun;
    const { now } = this.#hold.world;
    switch (begun.kind) {
      case "sleep":
        return yield* this.#hold.execute({
          kind: "sleeping",
          key,
          due: Timestamp.make(now + begun.ms),
        });
      case "wait": {
        const { signal, timeoutMs } = begun;
        const due = timeoutMs === undefined ? {} : { due: Timestamp.make(now + timeoutMs) };
        return yield* this.#hold.execute({ kind: "waiting", key, signal, ...due });
      }
      case "call":
      case "spawn":
        return yield* this.#hold.execute({
          kind: "calling",
          key,
          verb: begun.kind,
          actor: ActorName.make("child"),
          execution: this.#childOf(begun),
          tenant,
          onParentEnd: begun.isLeftAlone ? "abandon" : "cancel",
        });
      case "note":
        return yield* this.#hold.execute({ kind: "noted", key, what: "now", value: valueOf(key) });
      case "cell":
        return yield* this.#hold.execute({ kind: "cell", key, name: "total", value: key });
      case "tag":
        return yield* this.#hold.execute({
          kind: "tag",
          key,
          change: "attached",
          name: "where",
          value: key,
        });
    }
  }

  #isReady(pending: Operation): boolean {
    const known = operation(this.#hold.state, pending.key);
    switch (pending.kind) {
      case "run":
        return known?.kind !== "run" || (known.retryAt ?? 0) <= this.#hold.world.now;
      case "sleep":
      case "wait":
        return (known?.kind === "sleep" || known?.kind === "wait") && known.due !== undefined &&
          known.due <= this.#hold.world.now;
      case "call":
      case "spawn":
      case "end":
        return !this.#started.has(pending.key);
      default:
        return false;
    }
  }

  *#goOn(pending: Operation): Generator<Pause, void> {
    const { key } = pending;
    const { choices, now } = this.#hold.world;
    switch (pending.kind) {
      case "run": {
        const known = operation(this.#hold.state, key);
        const tries = (known?.kind === "run" ? known.tries : 0) + 1;
        this.#hold.say(`runs ${key}, try ${tries}`);
        yield "busy";
        if (tries <= pending.failures) {
          const retryAt = Timestamp.make(now + 1 + choices.below(2_000));
          const failure = { name: "Again", message: `try ${tries}` };
          return yield* this.#hold.execute({ kind: "stepFailed", key, failure, tries, retryAt });
        }
        const result = pending.isHopeless
          ? { type: "failure" as const, failure: { name: "Hopeless", message: "no" } }
          : { type: "value" as const, value: valueOf(key) };
        return yield* this.#hold.execute({ kind: "step", key, result, tries, durationMs: 0 });
      }
      case "sleep":
      case "wait":
        return yield* this.#hold.execute({ kind: "elapsed", key });
      case "call":
      case "spawn":
      case "end": {
        yield* this.#startChild(pending.kind === "end" ? pending.of : pending, key);
        this.#started.add(key);
      }
    }
  }

  *#startChild(called: Operation, endKey: string): Generator<Pause, void> {
    const { post } = this.#hold.world;
    const { key } = called;
    const execution = this.#childOf(called);
    const { life } = this.#hold.state;
    const call = operation(this.#hold.state, endKey)!.opened;
    const parent = { execution: this.#hold.execution, tenant, life, key: endKey, call };
    const to = this.#hold.world.addressOf(execution);
    const started = yield* this.#hold.do(post.start(to, { kind: "start", seed: key, parent }));
    const theirs = started.record.parent;
    const isOwn = theirs?.execution === parent.execution && theirs.life === parent.life &&
      theirs.key === parent.key && theirs.call === parent.call;
    if (!isOwn) yield* this.#hold.do(post.join(to, started, parent));
  }

  #childOf(called: Operation): ExecutionId {
    const { key } = called;
    const known = operation(this.#hold.state, key);
    if (known !== undefined && "execution" in known) return known.execution;
    if ("isShared" in called && called.isShared) return sharedChild;
    const { attempt, life } = this.#hold.state;
    const suffix = attempt === 0 ? "" : `~${attempt}`;
    return Execution.make(`child/${this.#hold.execution}.${life}/${key}${suffix}`);
  }
}
