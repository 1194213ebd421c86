/**
 * The promise door as one principal has it: each verb is judged before it reads or writes anything,
 * by one table. A verb that the table does not know is refused. It adds nothing to what verbs do.
 */
import { ruleOf, type VerbRule, verbs } from "../../schema/access.ts";
import { Forbidden } from "../../schema/access_errors.ts";
import type { Tenant } from "../../schema/ids.ts";
import type { Run, SentSignal } from "../run.ts";
import type { Schedule } from "../schedule.ts";
import type { SignalDefinition } from "../signal.ts";
import type { CreateTriggerOptions } from "../triggers.ts";
import type { InitialSignal, StartOptions, Weir } from "../weir.ts";
import type { Guard, Request } from "./guard.ts";
import { guardedIterable } from "./guarded_iterable.ts";

// deno-lint-ignore no-explicit-any -- each verb has arguments of its own
type AnyVerb = (...args: Array<any>) => any;

type VerbsIn<Things, Path extends string = ""> = {
  [Name in keyof Things & string]: Things[Name] extends AnyVerb ? `${Path}${Name}` : never;
}[keyof Things & string];

/** What belongs to the connection alone. */
type Plain = "as" | "close";

/** Every verb of the door: its own, those of its parts, and those of a run. */
export type DoorVerb =
  | Exclude<VerbsIn<Weir>, Plain>
  | {
    [Part in keyof Weir & string]: Weir[Part] extends string ? never
      : VerbsIn<Weir[Part], `${Part}.`>;
  }[keyof Weir & string]
  | VerbsIn<Run, "run.">
  | VerbsIn<Schedule, "schedule.">;

/** Does not compile while a verb is missing. */
const _complete: Readonly<Record<DoorVerb, VerbRule>> = verbs;

const isVerb = (value: unknown): value is AnyVerb => typeof value === "function";

/** The run that a verb is of. */
interface Of {
  readonly id: string;
  readonly tenant: Tenant;
}

const needsOf = ({ needs }: SignalDefinition<unknown>) =>
  needs === undefined ? {} : { needs: [needs] };

/** What a trigger does, as a verb; none, if it would be refused anyway. */
const deedOf = (then: unknown): Pick<Request, "verb" | "needs"> | undefined => {
  if (typeof then !== "object" || then === null) return undefined;
  if ("promote" in then) return { verb: "run.promote" };
  if ("signal" in then) {
    const { name } = then as { readonly name?: string | SignalDefinition<unknown> };
    return {
      verb: "run.signal",
      ...(typeof name === "object" && name !== null ? needsOf(name) : {}),
    };
  }
  return "submit" in then ? { verb: "submit" } : undefined;
};

class GuardedDoor {
  readonly #guard: Guard;
  constructor(guard: Guard) {
    this.#guard = guard;
  }

  /** A thing whose verbs are judged; the parts of the door have some of their own. */
  verbs<Things extends object>(things: Things, path: string, of?: Of): Things {
    return Object.fromEntries(
      Object.entries(things).map(([name, value]) => {
        if (isVerb(value)) return [name, this.#verb(`${path}${name}`, value, of)];
        const isPart = path === "" && typeof value === "object" && value !== null;
        return [name, isPart ? this.verbs(value, `${name}.`) : value];
      }),
    ) as Things;
  }

  #run(run: Run): Run {
    return this.verbs(run, "run.", { id: run.id, tenant: run.tenant as Tenant });
  }

  #schedule(schedule: Schedule): Schedule {
    const { id, tenant } = schedule;
    return this.verbs(schedule, "schedule.", { id, tenant: tenant as Tenant });
  }

  #verb(verb: string, call: AnyVerb, of: Of | undefined): AnyVerb {
    const guard = this.#guard;
    const rule = ruleOf(verb);
    if (rule === undefined) {
      const { principal } = guard;
      return () => Promise.reject(new Forbidden({ principal, verb, capabilities: [] }));
    }
    const verbOf = this.#ruled(verb, rule, call, of);
    return (...args) => verbOf(...guard.taken(rule, args));
  }

  #ruled(verb: string, rule: VerbRule, call: AnyVerb, of: Of | undefined): AnyVerb {
    const guard = this.#guard;
    const request = (args: ReadonlyArray<unknown>): Request => ({
      verb,
      rule,
      where: guard.whereOf(rule, args, of?.tenant),
      ...(of === undefined ? {} : { execution: of.id }),
    });
    if (rule.gives === "iterable") {
      return (...args) => guardedIterable(guard, () => request(args), () => call(...args));
    }
    if (verb === "get") return (...args) => this.#run(call(...args));
    if (verb === "getSchedule") return (...args) => this.#schedule(call(...args));
    if (verb === "start" || verb === "submit") {
      return async (...args) => await this.#start(request(args), call, args);
    }
    if (verb === "run.signal") {
      return async (...args) => await this.#signal(request(args), call, args);
    }
    if (verb === "triggers.create") {
      return async (...args) => await this.#createTrigger(request(args), call, args);
    }
    if (rule.gives !== undefined) {
      return async (...args) => {
        const found = await this.#call(() => request(args), call, args);
        if (rule.gives === "runs") {
          return (found as ReadonlyArray<Run>).map((run) => this.#run(run));
        }
        return rule.gives === "run" ? this.#run(found as Run) : this.#schedule(found as Schedule);
      };
    }
    if (rule.concerns === "eachTenant") return () => this.#each(request([]), call);
    return (...args) => this.#call(() => request(args), call, args);
  }

  async #call(asked: () => Request, call: AnyVerb, args: ReadonlyArray<unknown>): Promise<unknown> {
    const guard = this.#guard;
    const request = asked();
    if (await guard.judge(request) === "hidden") return guard.answer(request);
    const [settled] = await Promise.allSettled([call(...guard.signed(request.rule, args))]);
    if (request.rule.waits === true && await guard.judge(request) === "hidden") {
      return guard.answer(request);
    }
    if (settled.status === "rejected") throw settled.reason;
    return settled.value;
  }

  /** Signals that an execution is started with are sent by who starts it. */
  async #start(request: Request, call: AnyVerb, args: ReadonlyArray<unknown>): Promise<Run> {
    const guard = this.#guard;
    await guard.judge(request);
    const [actor, input, options] = args as [unknown, unknown, StartOptions?];
    if (options?.signals === undefined) return this.#run(await call(...args));
    const rule = ruleOf("run.signal")!;
    for (const { signal } of options.signals) {
      await guard.judge({ verb: "run.signal", rule, where: request.where, ...needsOf(signal) });
    }
    const signals = options.signals.map((sent) =>
      guard.signedOptions("source", sent) as InitialSignal
    );
    return this.#run(await call(actor, input, { ...options, signals }));
  }

  /** A signal may say itself what it needs, and what becomes of it is told to who may send it. */
  async #signal(
    request: Request,
    call: AnyVerb,
    args: ReadonlyArray<unknown>,
  ): Promise<SentSignal> {
    const guard = this.#guard;
    const asked = { ...request, ...needsOf(args[0] as SignalDefinition<unknown>) };
    await guard.judge(asked);
    const sent: SentSignal = await call(...guard.signed(request.rule, args));
    const effect: SentSignal["effect"] = async () => {
      await guard.judge(asked);
      return await sent.effect();
    };
    return { ...sent, effect };
  }

  /** What is done later is done for who has it done, who needs what it would take to do it now. */
  async #createTrigger(
    request: Request,
    call: AnyVerb,
    args: ReadonlyArray<unknown>,
  ): Promise<unknown> {
    const guard = this.#guard;
    await guard.judge(request);
    const deed = deedOf((args[0] as CreateTriggerOptions | undefined)?.then);
    if (deed !== undefined) {
      await guard.judge({ ...deed, rule: ruleOf(deed.verb)!, where: request.where });
    }
    return await call(...guard.signed(request.rule, args));
  }

  /** Only those of which the principal may know. */
  async #each(request: Request, call: AnyVerb): Promise<ReadonlyArray<unknown>> {
    const known: Array<unknown> = [];
    for (const found of await call() as ReadonlyArray<{ readonly tenant: Tenant }>) {
      const { tenant } = found;
      const rule = { ...request.rule, hidden: { value: undefined } };
      const verdict = await this.#guard.judge({ ...request, rule, where: { tenant } })
        .catch((error) => {
          if (error instanceof Forbidden) return "hidden";
          throw error;
        });
      if (verdict === "granted") known.push(found);
    }
    return known;
  }
}

/** The same door, for one principal. */
export const guarded = <Door extends object>(door: Door, guard: Guard): Door =>
  new GuardedDoor(guard).verbs(door, "");
