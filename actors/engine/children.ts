/**
 * Starting other executions and awaiting their ends. That a child is wanted is recorded before it is
 * started, so that it has one name and its parent's end can reach it; whoever takes over after a
 * crash starts it again, which does nothing if it is there. It is the child that tells its end.
 */
import { createHash } from "node:crypto";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import { ChildFailed, ExecutionNotFound } from "../../schema/execution_errors.ts";
import { ActorName, ExecutionId, executionText, parse } from "../../schema/ids.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { AppendError, ReadError } from "../../streams/log.ts";
import { boundLike, type Task } from "../../schema/task.ts";
import { belowKey, endOf, type Result as OperationResult } from "../core/state.ts";
import { Tags } from "../tags.ts";
import { failureOfCause } from "./failure_of.ts";
import { failureIn, type Host, type Perform } from "./host.ts";
import type { ChildOptions, JoinOptions, Operations, Spawned } from "./operations.ts";
import { checkJson } from "./to_json.ts";

const isExecutionId = Schema.is(ExecutionId);

const digestOf = (text: string): string =>
  createHash("sha256").update(text).digest("base64url").slice(0, 22);

/** A key as one part of a name: two that differ make names that differ. */
const partOf = (key: string): string =>
  key.replace(/[%/~]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

export const childrenOf = (
  host: Host,
  { perform, performNamed }: { readonly perform: Perform; readonly performNamed: Perform },
): Pick<Operations, "after" | "below" | "call" | "cancel" | "join" | "spawn"> => {
  /** The children that were spawned in this run. */
  const begun = new Set<string>();

  const childOf = (key: string, { actor, execution }: ChildOptions): ExecutionId => {
    const known = host.operation(key);
    if (known !== undefined && "execution" in known) return known.execution;
    if (execution !== undefined) return execution;
    const suffix = host.attempt === 0 ? "" : `~${host.attempt}`;
    const name = `${host.execution}.${host.life}/${partOf(key)}${suffix}`;
    const made = executionText(actor, name);
    return ExecutionId.make(isExecutionId(made) ? made : executionText(actor, digestOf(name)));
  };

  /** What a child costs is its parent's matter as well. */
  const inheriting = ({ tenant, task }: ChildOptions): Task | undefined =>
    tenant === host.tenant ? boundLike({ budgets: host.bound }, task) : task;

  /** Starts a child, or joins the one that has its id already. */
  const startChild = Effect.fnUntraced(function* (
    key: string,
    endKey: string,
    execution: ExecutionId,
    options: ChildOptions,
  ) {
    const { input, tenant, route, requires, tags, priority } = options;
    const task = inheriting(options);
    const parent = host.asParent(endKey);
    const to = host.post.addressOf(execution, tenant);
    const start: StartRecord = {
      kind: "start",
      seed: digestOf(`${host.seed}\n${key}`),
      parent,
      ...(input === undefined ? {} : { input }),
      ...(route === undefined ? {} : { route }),
      ...(requires === undefined ? {} : { requires }),
      ...(tags === undefined ? {} : { tags }),
      ...(priority === undefined ? {} : { priority }),
      ...(task === undefined ? {} : { task }),
    };
    const started = yield* host.post.start(to, start);
    const theirs = started.record.parent;
    const isOwn = theirs?.execution === parent.execution && theirs.tenant === parent.tenant &&
      theirs.life === parent.life && theirs.key === parent.key && theirs.call === parent.call;
    if (!isOwn) yield* host.post.join(to, started, parent);
  });

  const joinOther = Effect.fnUntraced(function* (
    key: string,
    { execution, tenant }: JoinOptions,
  ) {
    const to = host.post.addressOf(execution, tenant);
    const start = yield* host.post.findStart(to);
    if (Option.isNone(start)) return yield* new ExecutionNotFound({ execution });
    const { sequence: life, record } = start.value;
    const parent = host.asParent(key);
    const outcome = yield* host.post.endOf(to, life);
    // The message is the one that the other would send.
    if (outcome !== undefined) yield* host.post.notify(parent, execution, outcome);
    else yield* host.post.join(to, { life, record }, parent);
  });

  /** Makes itself known to another execution, under an operation that the journal has. */
  const reaching = (
    endKey: string,
    reach: Effect.Effect<void, AppendError | ReadError | ExecutionNotFound>,
  ) =>
    host.whileStarting(
      reach.pipe(
        Effect.retry({
          while: (error) => error.retryable,
          schedule: Schedule.spaced("1 second"),
        }),
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.interrupt
            : Effect.sync(() =>
              host.submit({ kind: "callFailed", key: endKey, failure: failureOfCause(cause) })
            )
        ),
      ),
    );

  /** Starts a child under an operation that the journal has, in vain or not. */
  const starting = (key: string, endKey: string, options: ChildOptions) =>
    reaching(endKey, startChild(key, endKey, childOf(key, options), options));

  const child = Effect.fnUntraced(
    function* (name: string, verb: "call" | "spawn", options: ChildOptions) {
      yield* parse(ActorName, "actor name", options.actor);
      yield* parse(Tags, "tags", options.tags ?? {});
      const input = yield* checkJson(`the input of ${options.actor}`, options.input);
      return yield* beginChild(name, verb, { ...options, input });
    },
  );

  /** Goes on with what an owner before may not have done, whatever becomes of who asks for it. */
  const goOn = (endKey: string, reach: () => Effect.Effect<void>): undefined => {
    const end = host.operation(endKey);
    if (host.isContinued && end !== undefined && end.settled === undefined) host.fork(reach());
  };

  const beginChild = (name: string, verb: "call" | "spawn", options: ChildOptions) => {
    const endKeyOf = (key: string) => verb === "call" ? key : endOf(key);
    const again = (key: string) => goOn(endKeyOf(key), () => starting(key, endKeyOf(key), options));
    return performNamed(
      name,
      verb,
      (key, known, refused) => {
        if (known !== undefined) return again(key);
        const execution = childOf(key, options);
        const start = starting(key, endKeyOf(key), options);
        const { actor, tenant, route, onParentEnd = "cancel" } = options;
        host.submit(
          {
            kind: "calling",
            key,
            verb,
            actor,
            execution,
            tenant,
            ...(route === undefined ? {} : { route }),
            onParentEnd,
          },
          () => {
            if (verb === "spawn") begun.add(key);
            host.fork(start);
          },
          refused,
        );
        return undefined;
      },
      false,
      again,
    );
  };

  const ended = (execution: string, result: OperationResult) => {
    if (result.type === "ended" && result.outcome.type === "success") {
      return Effect.succeed(result.outcome.value);
    }
    const outcome = result.type === "ended" ? result.outcome.type : "failure";
    const failure = result.type === "ended"
      ? result.outcome.type === "failure" ? result.outcome.failure : undefined
      : failureIn(result);
    return Effect.fail(
      new ChildFailed({ execution, outcome, ...(failure === undefined ? {} : { failure }) }),
    );
  };

  const call: Operations["call"] = (name, options) =>
    Effect.flatMap(
      child(name, "call", options),
      ([key, result]) => ended(childOf(key, options), result),
    );

  const joining = (perform: Perform): Operations["join"] => (name, options) => {
    const reachOf = (key: string) => reaching(key, joinOther(key, options));
    const again = (key: string) => goOn(key, () => reachOf(key));
    return Effect.flatMap(
      perform(
        name,
        "call",
        (key, known, refused) => {
          if (known !== undefined) return again(key);
          host.submit(
            { kind: "calling", key, verb: "join", onParentEnd: "abandon", ...options },
            () => host.fork(reachOf(key)),
            refused,
          );
          return undefined;
        },
        false,
        again,
      ),
      ([, result]) => ended(options.execution, result),
    );
  };

  const spawn: Operations["spawn"] = (name, options) =>
    Effect.map(child(name, "spawn", options), ([key]): Spawned => {
      // The journal has it; whether the child has been started as well, it does not say.
      const end = host.operation(endOf(key));
      const isCertain = end === undefined || end.settled !== undefined || begun.delete(key);
      if (host.isContinued && !isCertain) host.fork(starting(key, endOf(key), options));
      const execution = childOf(key, options);
      const result = Effect.flatMap(
        perform(endOf(key), "end", () => undefined),
        ([, result]) => ended(execution, result),
      );
      return { execution, result };
    });

  const cancel: Operations["cancel"] = ({ execution, tenant, route }) =>
    Effect.asVoid(perform(`weir.cancel/${execution}`, "note", (key) => {
      const to = host.post.addressOf(execution, tenant);
      return host.whileBusy(
        host.post.cancelChild(to, host.asParent(key), route).pipe(
          Effect.retry({
            while: (error) => error.retryable,
            schedule: Schedule.spaced("1 second"),
          }),
          Effect.ignore,
          Effect.andThen(
            Effect.sync(() =>
              host.submit({ kind: "noted", key, what: "cancel", value: execution })
            ),
          ),
        ),
      );
    }));

  const goesOn = Effect.fnUntraced(function* ({ execution, tenant, life }: ParentReference) {
    const to = host.post.addressOf(execution, tenant);
    const start = yield* host.post.findStart(to);
    if (Option.isNone(start) || start.value.sequence !== life) return false;
    if ((yield* host.post.endOf(to, life)) !== undefined) return false;
    // If it ends before it reads this, it answers what comes late.
    yield* host.post.join(to, { life, record: start.value.record }, host.asParent(belowKey));
    return true;
  });

  const below: Operations["below"] = (parent) =>
    Effect.map(
      perform(belowKey, "note", (key) =>
        host.whileBusy(
          goesOn(parent).pipe(
            Effect.retry({
              while: (error) => error.retryable,
              schedule: Schedule.spaced("1 second"),
            }),
            Effect.catch(() => Effect.succeed(false)),
            Effect.flatMap((value) =>
              Effect.sync(() => host.submit({ kind: "noted", key, what: "below", value }))
            ),
          ),
        )),
      ([, result]) => result.type === "value" && result.value === true,
    );

  return { below, call, cancel, join: joining(performNamed), after: joining(perform), spawn };
};
