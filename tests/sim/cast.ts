/**
 * Who plays in a schedule: a few executions with the programs that they run, and the clients and
 * operators who start them, send them what they wait for, and now and then get in their way.
 */
import * as Option from "effect/Option";
import { openOperations } from "../../actors/core/state.ts";
import { ExecutionId, Timestamp } from "../../schema/ids.ts";
import type { Address } from "../../streams/subjects.ts";
import { Book } from "./book.ts";
import type { Choices } from "./choices.ts";
import { type Letter, lettersTo, signalOf } from "./letters.ts";
import { anyProgram, type Program, programOf } from "./programs.ts";
import { judge, unfinished } from "./verdict.ts";
import type { World } from "./world.ts";

interface Root {
  readonly address: Address;
  readonly start: { readonly notBefore?: Timestamp; readonly deadline?: Timestamp };
  /** What clients have yet to send, and how much they have sent. */
  readonly letters: ReadonlyArray<Letter>;
  sent: number;
}

export class Cast {
  readonly book: Book;
  /** Whether how it ends may depend on who comes first. */
  readonly isRacy: boolean;
  readonly #choices: Choices;
  readonly #world: World;
  readonly #programs: Map<string, Program>;
  readonly #roots: ReadonlyArray<Root>;
  #helped = 0;

  constructor(world: World, choices: Choices, hasRaces: boolean) {
    this.#choices = choices;
    this.#world = world;
    this.book = new Book(world);
    this.isRacy = choices.oneIn(2);
    const shared = anyProgram(choices, this.isRacy);
    this.#programs = new Map([["shared", shared]]);
    this.#roots = Array.from({ length: choices.oneIn(3) ? 2 : 1 }, (_, i) => {
      const program = anyProgram(choices, this.isRacy, shared, hasRaces);
      this.#programs.set(`${i}`, program);
      const notBefore = Timestamp.make(world.now + 5_000);
      const deadline = Timestamp.make(world.now + 10_000 + choices.below(30_000));
      return {
        address: world.addressOf(ExecutionId.make(`root/${i}`)),
        start: {
          ...(choices.oneIn(6) ? { notBefore } : {}),
          ...(this.isRacy && choices.oneIn(4) ? { deadline } : {}),
        },
        letters: lettersTo(program, this.isRacy, choices),
        sent: -1,
      };
    });
  }

  programOf(execution: string): Program {
    return programOf(execution, this.#programs);
  }

  /** What has not ended, by its name. */
  get unfinished(): ReadonlyArray<string> {
    return unfinished(this.book, this.#world).map(({ address }) => address.label);
  }

  judge(): void {
    judge(this.book, this.#world, this.#programs, this.isRacy);
  }

  /** A client sends the next of what it has to send. */
  send(): boolean {
    const waiting = this.#roots.filter(({ letters, sent }) => sent < letters.length);
    if (waiting.length === 0) return false;
    const root = this.#choices.of(waiting);
    const { address, letters, start } = root;
    const letter = letters[root.sent++];
    const { post } = this.#world;
    this.#world.say(`a client sends ${letter?.kind ?? "the start"} to ${address.label}`);
    if (letter !== undefined) this.#world.run(post.send(address, letter));
    else this.#world.run(post.start(address, { kind: "start", seed: "seed", ...start }));
    return true;
  }

  /** Runs again what has ended otherwise than it was meant to. */
  retry(): boolean {
    if (!this.isRacy) return false;
    const ended = this.#roots.filter(({ address }) =>
      this.book.stateOf(address).done !== undefined
    );
    if (ended.length === 0) return false;
    const { address } = this.#choices.of(ended);
    const from = this.#choices.of(["start", "failure"] as const);
    this.#world.say(`an operator runs ${address.label} again, from ${from}`);
    this.#world.run(this.#world.post.send(address, { kind: "retry", from }));
    return true;
  }

  revoke(): void {
    const { address } = this.#choices.of(this.#roots);
    const { leases } = this.#world;
    const current = Option.getOrUndefined(this.#world.run(leases.current(address)));
    if (current?.held !== true) return;
    this.#world.say(`an operator revokes the lease of ${address.label}`);
    this.#world.run(leases.revoke(address, { by: "operator" }));
  }

  /** Sends what is waited for in vain, if what clients have sent was not enough. */
  help(): boolean {
    if (!this.isRacy) return false;
    const waits = unfinished(this.book, this.#world).flatMap(({ address, state }) =>
      openOperations(state).flatMap(([, operation]) =>
        operation.kind === "wait" && operation.due === undefined
          ? [{ address, signal: operation.signal }]
          : []
      )
    );
    for (const { address, signal } of waits) {
      const letter = signalOf(signal, `help-${this.#helped}`, `${signal} help ${this.#helped}`);
      this.#helped++;
      this.#world.run(this.#world.post.send(address, letter));
    }
    return waits.length > 0;
  }
}
