/**
 * Does what is asked of budgets. Whatever is asked of one while it is being written is decided next,
 * in order, and stored in one write; so are all that share a budget. The server refuses what was
 * decided on budgets that have changed meanwhile, and then it is decided anew.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as FiberSet from "effect/FiberSet";
import * as Result from "effect/Result";
import type { BudgetName } from "../../schema/budget.ts";
import type { BudgetProblem } from "../../schema/budget_errors.ts";
import { Unavailable } from "../../schema/errors.ts";
import type { Tenant } from "../../schema/ids.ts";
import type { AppendError, Log, ReadError } from "../log.ts";
import { betweenTries } from "../register.ts";
import type { ServerClock } from "../server_clock.ts";
import type { Command, Outcome } from "./command.ts";
import { type Book, decide } from "./decide.ts";
import { knowsKey, mayKnowKey, maySpend } from "./facts.ts";
import { make as makeShelf, type Read, type Recall } from "./shelf.ts";
import type { BudgetState, Held } from "./state.ts";
import { type Task, Turns } from "./turns.ts";

/** Why budgets could not be changed, or asked. */
export type ClerkError =
  | BudgetProblem
  | ReadError
  | Exclude<
    AppendError,
    { readonly _tag: "AlreadyExists" | "SequenceConflict" | "StaleFence" | "InvalidBatch" }
  >;

type Done = Result.Result<Outcome<Command>, ClerkError>;

interface Job extends Task {
  readonly tenant: Tenant;
  readonly command: Command;
  readonly settle: (exit: Exit.Exit<Outcome<Command>, ClerkError>) => void;
}

/** Somebody else was quicker, or what was known is to be asked again. */
class Overtaken {
  readonly _tag = "Overtaken";
}

const mostTasks = 128;
const mostThings = 256;

const closed = (landed: "no" | "unknown") =>
  Exit.fail(
    new Unavailable({ operation: "use budgets", reason: "they were closed", landed }),
  );

const impossible = (error: AppendError) => Effect.die(error);

/** What may lie beside a budget that these commands ask about. */
const recallsOf = (
  jobs: ReadonlyArray<Job>,
  name: BudgetName,
  state: BudgetState | undefined,
  now: number,
): ReadonlyArray<Recall> => {
  if (state === undefined) return [];
  const found = new Map<string, Recall>();
  for (const { command } of jobs) {
    if (!(command.budgets as ReadonlyArray<BudgetName>).includes(name)) continue;
    const key = "key" in command ? command.key : undefined;
    const execution = "execution" in command ? command.execution : undefined;
    if (key !== undefined && !knowsKey(state, key) && mayKnowKey(state, now)) {
      found.set(`key ${key}`, { key });
    }
    if (execution !== undefined && maySpend(state, execution)) {
      found.set(`execution ${execution}`, { execution });
    }
  }
  return [...found.values()];
};

/** Decides one command after the other. */
const decideAll = (
  jobs: ReadonlyArray<Job>,
  read: ReadonlyMap<BudgetName, Result.Result<Read, ReadError>>,
  now: number,
): { readonly book: Book; readonly done: ReadonlyArray<Done> } => {
  let book: Book = new Map(
    [...read].flatMap(([name, found]) =>
      Result.isSuccess(found) ? [[name, found.success.held] as const] : []
    ),
  );
  const done = jobs.map(({ command }): Done => {
    for (const name of command.budgets) {
      const found = read.get(name)!;
      if (Result.isFailure(found)) return Result.fail(found.failure);
    }
    return Result.map(decide(book, command, now), (decided) => {
      book = decided.book;
      return decided.outcome;
    });
  });
  return { book, done };
};

export type Clerk = Effect.Success<ReturnType<typeof make>>;

export const make = Effect.fnUntraced(function* (
  log: Log["Service"],
  clock: ServerClock["Service"],
) {
  const shelf = makeShelf(log);
  const fibers = yield* FiberSet.make<unknown, never>();
  const run = yield* FiberSet.runtime(fibers)();

  const readOne = (tenant: Tenant, name: BudgetName, jobs: ReadonlyArray<Job>, now: number) =>
    Effect.result(Effect.gen(function* () {
      const { held, isFresh } = yield* shelf.read(tenant, name);
      const names = recallsOf(jobs, name, held.state, now);
      return names.length === 0
        ? { held, isFresh }
        : { held: yield* shelf.recall(tenant, name, held, names), isFresh };
    }));

  const attempt = Effect.fnUntraced(function* (
    tenant: Tenant,
    names: ReadonlyArray<BudgetName>,
    jobs: ReadonlyArray<Job>,
  ): Effect.fn.Return<ReadonlyArray<Done>, ClerkError | Overtaken> {
    const now = yield* clock.now;
    const found = yield* Effect.forEach(
      names,
      (name) => Effect.map(readOne(tenant, name, jobs, now), (read) => [name, read] as const),
      { concurrency: "unbounded" },
    );
    const read = new Map(found);
    const { book, done } = decideAll(jobs, read, now);
    const isChanged = ({ events }: Held) => events.length > 0;
    // Nothing is stored of these, so that nothing would show that they are as they were.
    const unsure = [...book].flatMap(([name, held]) =>
      !isChanged(held) && !Result.getOrThrow(read.get(name)!).isFresh ? [name] : []
    );
    if (unsure.length > 0) {
      shelf.forget(tenant, unsure);
      return yield* attempt(tenant, names, jobs);
    }
    const changed = [...book].flatMap(([name, held]) =>
      isChanged(held) ? [[name, Result.getOrThrow(read.get(name)!).held.state, held] as const] : []
    );
    if (changed.length === 0) return done;
    const clear = yield* shelf.write(tenant, changed, now).pipe(Effect.catchTags({
      AlreadyExists: () => Effect.fail(new Overtaken()),
      SequenceConflict: () => Effect.fail(new Overtaken()),
      StaleFence: impossible,
      InvalidBatch: impossible,
    }));
    // What is left there for now counts no more, and goes with the next of it.
    run(Effect.ignore(clear));
    return done;
  });

  const perform = (jobs: ReadonlyArray<Job>): Effect.Effect<void> => {
    const { tenant } = jobs[0]!;
    const names = [
      ...new Set(jobs.flatMap(({ command }): ReadonlyArray<BudgetName> => command.budgets)),
    ];
    const isOvertaken = (error: unknown): error is Overtaken => error instanceof Overtaken;
    return attempt(tenant, names, jobs).pipe(
      Effect.tapError(() => Effect.sync(() => shelf.forget(tenant, names))),
      // What was remembered may be old, which says nothing about how many others there are.
      Effect.retry({ times: 1, while: isOvertaken }),
      Effect.retry({ schedule: betweenTries, while: isOvertaken }),
      Effect.exit,
      Effect.map((exit) =>
        jobs.forEach(({ settle }, index) =>
          settle(
            Exit.isSuccess(exit)
              ? Result.match(exit.value[index]!, { onSuccess: Exit.succeed, onFailure: Exit.fail })
              : Exit.failCause(exit.cause as Cause.Cause<ClerkError>),
          )
        )
      ),
      Effect.onInterrupt(() =>
        Effect.sync(() => jobs.forEach(({ settle }) => settle(closed("unknown"))))
      ),
    );
  };

  const turns = new Turns<Job>(
    (jobs, done) => void run(Effect.ensuring(perform(jobs), Effect.sync(done))),
    { mostTasks, mostThings },
  );
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => turns.close().forEach(({ settle }) => settle(closed("no"))))
  );

  return {
    shelf,
    do: <C extends Command>(tenant: Tenant, command: C): Effect.Effect<Outcome<C>, ClerkError> =>
      Effect.callback<Outcome<Command>, ClerkError>((resume) => {
        const job: Job = {
          tenant,
          command,
          things: command.budgets.map((name) => `${tenant.length} ${tenant} ${name}`),
          isAbandoned: false,
          settle: resume,
        };
        if (!turns.submit(job)) job.settle(closed("no"));
        return Effect.sync(() => {
          job.isAbandoned = true;
        });
      }) as Effect.Effect<Outcome<C>, ClerkError>,
  };
});
