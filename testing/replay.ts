/**
 * Whether an actor's function does the same when it runs again: it is watched as it runs, and run a
 * second time on what it was answered then, in that order. No step runs again, and the engine knows
 * nothing of it. What both runs read alike from outside of the context, it cannot tell.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate, setTimeout } from "node:timers/promises";
import type { Actor, ActorContext, ChildOptions, SpawnedChild } from "../actors/actor.ts";
import { Durable } from "../actors/actor_context.ts";
import { nameOf } from "../actors/definition.ts";
import { failureOf } from "../actors/engine/failure_of.ts";
import { NondeterministicProgram } from "../schema/execution_errors.ts";

/** How long the second run may be busy with what the context knows nothing of. */
const patienceMs = 1_000;
/** So long that a clock shows that it is later. */
const laterMs = 2;
const longestShown = 200;

/** One thing that a function asks of its context. */
interface Asked {
  readonly verb: string;
  readonly step: string;
  readonly input: string | undefined;
}

/** What reached the function: an answer to what it asked, or the request to stop. */
type Event =
  | { readonly to: number; readonly value: unknown }
  | { readonly to: number; readonly error: unknown }
  | { readonly reason: unknown };

/** A run, as far as the context can tell. */
interface Trace {
  readonly asked: Array<Asked>;
  readonly events: Array<Event>;
  readonly drawn: Array<unknown>;
}

/** Anything as text, equal if it is equal. */
const shown = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
};

const cut = (text: string): string =>
  text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;

const sentenceOf = ({ verb, step, input }: Asked): string =>
  cut(`ctx.${verb} ${JSON.stringify(step)}${input === undefined ? "" : ` with ${input}`}`);

/** How a function came to its end, in a sentence. */
const endOf = async (run: () => unknown): Promise<string> => {
  try {
    return `it returned ${shown(await run())}`;
  } catch (error) {
    const { name, message } = failureOf(error);
    return `it threw ${name}: ${message}`;
  }
};

/** What becomes of the uses of a context. */
interface Means {
  readonly of: Pick<ActorContext, "executionId" | "tenant" | "attempt" | "cancelled">;
  /** What comes of asking; `wrap` is what the function sees of it. */
  readonly ask: <A>(asked: Asked, real: () => Promise<A>, wrap?: (value: A) => A) => Promise<A>;
  readonly draw: <A>(real: () => A) => A;
  readonly cell: (name: string, real: () => unknown) => unknown;
  readonly step: <A>(run: () => A) => A;
}

/** A context whose every use goes by the means; `real` does it. */
const contextBy = ({ of, ask, draw, cell, step }: Means, real: ActorContext): ActorContext => {
  const asked = (verb: string, name: string, ...inputs: ReadonlyArray<unknown>): Asked => {
    const given = inputs.filter((input) => input !== undefined);
    return { verb, step: name, input: given.length === 0 ? undefined : given.map(shown).join() };
  };
  return {
    executionId: of.executionId,
    tenant: of.tenant,
    attempt: of.attempt,
    cancelled: of.cancelled,
    run: (name, run, options) =>
      ask(
        asked("run", name),
        () => real.run(name, (context) => step(() => run(context)), options),
      ),
    consume: (name, amounts, options) =>
      ask(
        asked("consume", name, amounts, options),
        () => real.consume(name, amounts, options),
      ),
    budget: real.budget,
    sleep: (name, duration) =>
      ask(asked("sleep", name, duration), () => real.sleep(name, duration)),
    wait: <A>(
      signal: Parameters<typeof real.wait<A>>[0],
      options: { readonly name?: string } = {},
    ) =>
      ask(
        asked("wait", options.name ?? nameOf(signal), nameOf(signal), options),
        () => real.wait(signal, options),
      ),
    token: (signal, options = {}) =>
      ask(asked("token", nameOf(signal), options), () => real.token(signal, options)),
    call: (actor, input, options = {}) =>
      ask(
        asked("call", options.name ?? nameOf(actor), nameOf(actor), input, options),
        () => real.call(actor, input, options),
      ),
    spawn: <Input, Output>(
      actor: Actor<Input, Output>,
      input: NoInfer<Input>,
      options: ChildOptions = {},
    ) => {
      const name = options.name ?? nameOf(actor);
      return ask(
        asked("spawn", name, nameOf(actor), input, options),
        () => real.spawn(actor, input, options),
        ({ id, result }): SpawnedChild<Output> => ({
          id,
          result: () => ask(asked("result", name), result),
        }),
      );
    },
    results: real.results,
    join: (actor, id, options = {}) =>
      ask(asked("join", options.name ?? nameOf(actor), id), () => real.join(actor, id, options)),
    now: () => ask(asked("now", "now"), real.now),
    uuid: () => draw(real.uuid),
    random: () => draw(real.random),
    emit: (output, frame) => ask(asked("emit", output, frame), () => real.emit(output, frame)),
    outbox: {
      add: (eventType, payload, options = {}) =>
        ask(
          asked("outbox.add", options.name ?? eventType, eventType, payload, options),
          () => real.outbox.add(eventType, payload, options),
        ),
    },
    tag: (name, value) => ask(asked("tag", name, value), () => real.tag(name, value)),
    untag: (name) => ask(asked("untag", name), () => real.untag(name)),
    state: <A>(name: string) => ({
      get: () => cell(name, real.state(name).get) as A | undefined,
      set: (value: A | undefined) =>
        ask(asked("state", name, value), () => real.state<A>(name).set(value)),
    }),
  };
};

const copied = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(copied);
  if (value instanceof Date) return new Date(value);
  if (value instanceof Map) return new Map(Array.from(value, (entry) => entry.map(copied)) as []);
  if (value instanceof Set) return new Set(Array.from(value, copied));
  if (ArrayBuffer.isView(value)) return structuredClone(value);
  return value instanceof Object && Object.getPrototypeOf(value) === Object.prototype
    ? Object.fromEntries(Object.entries(value).map(([name, field]) => [name, copied(field)]))
    : value;
};

/** A copy that the function cannot change; an instance of a class of its own stays what it is. */
const copyOf = <A>(value: A): A => {
  try {
    return copied(value) as A;
  } catch {
    // It holds itself.
    return value;
  }
};

const within = new AsyncLocalStorage<Trace>();

/** Runs a function, and keeps what it asks for and is given. */
const firstRun = async (
  actor: Actor<unknown, unknown>,
  real: ActorContext,
  input: unknown,
  then: (trace: Trace, end: string) => void,
): Promise<unknown> => {
  const trace: Trace = { asked: [], events: [], drawn: [] };
  let isOver = false;
  const add = (event: Event) => {
    if (!isOver) trace.events.push(event);
  };
  const onCancelled = () => add({ reason: real.cancelled.reason });
  if (real.cancelled.aborted) onCancelled();
  real.cancelled.addEventListener("abort", onCancelled, { once: true });
  /** Steps do not run again, and what comes too late is not the function's. */
  const isUnseen = () => isOver || within.getStore() === trace;
  const context = contextBy({
    of: real,
    ask: (asked, ask, wrap) => {
      if (isUnseen()) return ask();
      const to = trace.asked.push(asked) - 1;
      const answer = ask();
      // By its own `then` it would learn that somebody awaits it.
      Promise.prototype.then.call(answer, (value) => {
        add({ to, value: wrap === undefined ? copyOf(value) : value });
        if (wrap !== undefined) Object.assign(value as object, wrap({ ...value }));
      }, (error) => add({ to, error }));
      return answer;
    },
    draw: (draw) => {
      const value = draw();
      if (!isUnseen()) trace.drawn.push(value);
      return value;
    },
    cell: (_, get) => get(),
    step: (run) => within.run(trace, run),
  }, real);
  let failed: { readonly error: unknown } | undefined;
  let result: unknown;
  const end = await endOf(async () => {
    try {
      return result = await actor.run(context, input);
    } catch (error) {
      failed = { error };
      throw error;
    } finally {
      isOver = true;
    }
  });
  real.cancelled.removeEventListener("abort", onCancelled);
  then(trace, end);
  if (failed !== undefined) throw failed.error;
  return result;
};

/** Runs it again on what it was given, and says where it first does something else. */
const secondRun = async (
  actor: Actor<unknown, unknown>,
  real: ActorContext,
  input: unknown,
  trace: Trace,
  firstEnd: string,
): Promise<NondeterministicProgram | undefined> => {
  const { executionId: execution } = real;
  const abort = new AbortController();
  const cells = new Map<string, unknown>();
  const answers: Array<(event: Event) => void> = [];
  const drawn = [...trace.drawn];
  let different: NondeterministicProgram | undefined;
  let end: string | undefined;
  const differ = (step: string, first: string, second: string) => {
    different ??= new NondeterministicProgram({ execution, step, first, second });
  };

  const context = contextBy({
    of: { ...real, executionId: execution, cancelled: abort.signal },
    ask: <A>(asked: Asked, _: unknown, wrap?: (value: A) => A) => {
      const first = trace.asked[answers.length];
      const isEqual = first?.verb === asked.verb && first.step === asked.step &&
        first.input === asked.input;
      if (!isEqual) {
        const before = first === undefined ? cut(firstEnd) : sentenceOf(first);
        differ((first ?? asked).step, before, sentenceOf(asked));
      }
      const answer = new Durable<A>((resolve, reject) => {
        answers.push((event) => {
          if ("error" in event) return reject(event.error);
          if (!("value" in event)) return;
          const value = copyOf(event.value as A);
          if (asked.verb === "state") {
            const given = asked.input === undefined ? undefined : JSON.parse(asked.input);
            cells.set(asked.step, given);
          }
          resolve(wrap === undefined ? value : wrap(value));
        });
      });
      Promise.prototype.then.call(answer, undefined, () => {});
      return answer;
    },
    draw: <A>(draw: () => A) => drawn.length === 0 ? draw() : drawn.shift() as A,
    cell: (name) => cells.get(name),
    step: (run) => run(),
  }, real);

  /** Waits for the function to come to something; says whether it did. */
  const comesTo = async (isThere: () => boolean): Promise<boolean> => {
    const deadline = performance.now() + patienceMs;
    while (!isThere() && different === undefined && end === undefined) {
      if (performance.now() > deadline) return false;
      await setImmediate();
    }
    return isThere();
  };

  await setTimeout(laterMs);
  void endOf(() => actor.run(context, input)).then((text) => end = text);
  for (const event of trace.events) {
    if ("reason" in event) abort.abort(event.reason);
    else if (await comesTo(() => event.to < answers.length)) answers[event.to]!(event);
    await setImmediate();
  }
  await comesTo(() => end !== undefined);
  const missing = trace.asked[answers.length];
  if (missing !== undefined) {
    differ(missing.step, sentenceOf(missing), end === undefined ? "nothing" : cut(end));
  }
  if (end !== firstEnd) differ("the result", cut(firstEnd), cut(end ?? "nothing"));
  return different;
};

/** The same actor; gives word of each second run, which begins when the first has come to its end. */
export const ranTwice = <Input, Output>(
  actor: Actor<Input, Output>,
  onSecond: (
    of: Pick<ActorContext, "executionId" | "tenant">,
    found: Promise<NondeterministicProgram | undefined>,
  ) => void,
): Actor<Input, Output> => {
  const any = actor as Actor<unknown, unknown>;
  return {
    ...actor,
    run: (context, input) => {
      // As they are before the function can change them.
      const again = { ...context, results: copyOf(context.results) };
      const inputAgain = copyOf(input);
      return firstRun(
        any,
        context,
        input,
        (trace, end) => onSecond(context, secondRun(any, again, inputAgain, trace, end)),
      ) as Promise<Output>;
    },
  };
};
