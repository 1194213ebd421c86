/**
 * The operations of one run of an actor's code: each asks the program for its place, writes what
 * begins it, and resumes the code with what the journal says. Whatever is awaited here can be dropped
 * at any moment and is found again by its name.
 */
import { createHash } from "node:crypto";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Schedule from "effect/Schedule";
import type * as Schema from "effect/Schema";
import { InvalidInput, type PayloadTooLarge } from "../../schema/errors.ts";
import { type Cancelled, ChildFailed, StepFailed } from "../../schema/execution_errors.ts";
import {
  ExecutionId,
  executionIdentity,
  executionText,
  type Tenant,
  Timestamp,
} from "../../schema/ids.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Command } from "../core/decide.ts";
import {
  endOf,
  type Operation,
  type OperationKind,
  type Result as OperationResult,
} from "../core/state.ts";
import { failureOf } from "./failure_of.ts";
import type {
  ChildOptions,
  OperationError,
  Operations,
  RunOptions,
  Spawned,
  Step,
} from "./operations.ts";
import type { Post } from "./post.ts";
import type { Program } from "./program.ts";
import { runStep } from "./step.ts";

type Json = Schema.Json;

/** What the operations need of their activation. */
export interface Host {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly attempt: number;
  readonly life: number;
  readonly seed: string;
  readonly cancelled: AbortSignal;
  /** What the journal has under a key. */
  readonly operation: (key: string) => Operation | undefined;
  readonly post: Post;
  readonly program: Program;
  /** The server's time in milliseconds. */
  readonly now: Effect.Effect<Timestamp>;
  readonly cancelledError: () => Cancelled;
  readonly asParent: (key: string) => ParentReference;
  /** Writes what a command says, if it still can be; `stored` is called in any case but a refusal. */
  readonly submit: (
    command: Command,
    stored?: () => void,
    refused?: (error: PayloadTooLarge) => void,
  ) => void;
  /** Calls back at a time of the server's clock, unless the activation ends before. */
  readonly arm: (due: number, then: () => void) => void;
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<unknown>;
  readonly whileBusy: (effect: Effect.Effect<void>) => Effect.Effect<void>;
  readonly whileParked: (effect: Effect.Effect<void>) => Effect.Effect<void>;
}

type Begin = (
  key: string,
  known: Operation | undefined,
  refused: (error: PayloadTooLarge) => void,
) => Effect.Effect<void> | undefined;

const millis = (input: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(input));

export const operationsOf = (host: Host): Operations => {
  const { program, submit } = host;
  const cells = new Map<string, Json>();
  let draws = 0;

  const perform = (
    name: string,
    kind: OperationKind,
    begin: Begin,
  ): Effect.Effect<readonly [key: string, result: OperationResult], OperationError> =>
    Effect.callback((resume) => {
      let key: string;
      try {
        key = program.keyOf(name, kind);
      } catch (error) {
        return resume(Effect.fail(error as OperationError));
      }
      let begun: Fiber.Fiber<unknown> | undefined;
      program.request({
        key,
        kind,
        begin: (known) => {
          const effect = begin(key, known, (error) => {
            program.withdraw(key);
            resume(Effect.fail(error));
          });
          if (effect !== undefined) begun = host.fork(effect);
        },
        deliver: (result) => {
          if (result.type !== "cancelled") return resume(Effect.succeed([key, result] as const));
          if (begun !== undefined) host.fork(Fiber.interrupt(begun));
          resume(Effect.fail(host.cancelledError()));
        },
      });
      return Effect.suspend(() => {
        program.withdraw(key);
        return begun === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(begun));
      });
    });

  /** An operation that one record settles at once. */
  const write = (name: string, kind: OperationKind, command: (key: string) => Command) =>
    Effect.asVoid(perform(name, kind, (key, _, refused) => {
      submit(command(key), undefined, refused);
      return undefined;
    }));

  const record = (command: Command): Effect.Effect<void> =>
    Effect.callback((resume) => submit(command, () => resume(Effect.void)));

  /** Names of the engine's own begin with `weir.`. */
  const named = (name: string): Effect.Effect<string, InvalidInput> =>
    typeof name === "string" && name.length > 0 && name.length <= 200 && !name.startsWith("weir.")
      ? Effect.succeed(name)
      : Effect.fail(
        new InvalidInput({
          what: "step name",
          value: String(name),
          rule: "expected 1 to 200 characters that do not begin with weir.",
        }),
      );

  const performNamed = (name: string, kind: OperationKind, begin: Begin) =>
    Effect.flatMap(named(name), (name) => perform(name, kind, begin));

  const run = (
    name: string,
    body: (step: Step) => Effect.Effect<unknown, unknown>,
    options: RunOptions = {},
  ) =>
    performNamed(name, "run", (key, known) =>
      host.whileBusy(runStep(
        key,
        known?.kind === "run" ? known : undefined,
        body,
        options,
        {
          idempotencyKey: `${host.tenant}/${host.execution}/${host.life}/${key}`,
          now: host.now,
          parkUntil: (time) =>
            host.whileParked(
              Effect.callback<void>((resume) => host.arm(time, () => resume(Effect.void))),
            ),
          record,
        },
      ))).pipe(
        Effect.flatMap(([key, result]) =>
          result.type === "value"
            ? Effect.succeed(result.value)
            : Effect.fail(new StepFailed({ step: key, failure: failureIn(result) }))
        ),
      );

  const sleep = (name: string, duration: Duration.Input) =>
    Effect.asVoid(performNamed(name, "sleep", (key, known) => {
      const arm = (due: number) => host.arm(due, () => submit({ kind: "elapsed", key }));
      if (known?.kind === "sleep") {
        arm(known.due);
        return undefined;
      }
      return Effect.map(host.now, (now) => {
        const due = Timestamp.make(now + Math.ceil(millis(duration)));
        submit({ kind: "sleeping", key, due }, () => arm(due));
      });
    }));

  const wait: Operations["wait"] = (signal, { name = signal, timeout } = {}) =>
    performNamed(name, "wait", (key, known) => {
      const arm = (due: number | undefined) => {
        if (due !== undefined) host.arm(due, () => submit({ kind: "elapsed", key }));
      };
      if (known?.kind === "wait") {
        arm(known.due);
        return undefined;
      }
      if (timeout === undefined) {
        submit({ kind: "waiting", key, signal });
        return undefined;
      }
      return Effect.map(host.now, (now) => {
        const due = Timestamp.make(now + Math.ceil(millis(timeout)));
        submit({ kind: "waiting", key, signal, due }, () => arm(due));
      });
    }).pipe(
      Effect.map(([, result]) => result.type === "value" ? { payload: result.value } : undefined),
    );

  const childOf = (key: string, { actor, execution }: ChildOptions): ExecutionId => {
    const known = host.operation(key);
    if (known !== undefined && "execution" in known) return known.execution;
    if (execution !== undefined) return execution;
    const { name } = executionIdentity(host.execution);
    const suffix = host.attempt === 0 ? "" : `~${host.attempt}`;
    return ExecutionId.make(executionText(actor, `${name}/${key}${suffix}`));
  };

  /** Starts a child, or joins the one that has its id already. */
  const startChild = Effect.fnUntraced(function* (
    key: string,
    endKey: string,
    execution: ExecutionId,
    options: ChildOptions,
  ) {
    const { input, tenant, route, requires, tags } = options;
    const parent = host.asParent(endKey);
    const to = host.post.addressOf(execution, tenant);
    const start: StartRecord = {
      kind: "start",
      seed: createHash("sha256").update(`${host.seed}\n${key}`).digest("base64url").slice(0, 22),
      parent,
      ...(input === undefined ? {} : { input }),
      ...(route === undefined ? {} : { route }),
      ...(requires === undefined ? {} : { requires }),
      ...(tags === undefined ? {} : { tags }),
    };
    const started = yield* host.post.start(to, start);
    const theirs = started.record.parent;
    const isOwn = theirs?.execution === parent.execution && theirs.tenant === parent.tenant &&
      theirs.life === parent.life && theirs.key === parent.key;
    if (!isOwn) yield* host.post.join(to, started, parent);
  });

  const child = (name: string, verb: "call" | "spawn", options: ChildOptions) =>
    performNamed(name, verb, (key, known, refused) => {
      const execution = childOf(key, options);
      const endKey = verb === "call" ? key : endOf(key);
      const start = host.whileBusy(
        startChild(key, endKey, execution, options).pipe(
          Effect.retry({
            while: (error) => error.retryable,
            schedule: Schedule.spaced("1 second"),
          }),
          Effect.catch((error) =>
            Effect.sync(() =>
              submit({ kind: "callFailed", key: endKey, failure: failureOf(error) })
            )
          ),
        ),
      );
      if (known !== undefined) return start;
      const { actor, tenant, route, onParentEnd = "cancel" } = options;
      submit(
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
        () => host.fork(start),
        refused,
      );
      return undefined;
    });

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

  const spawn: Operations["spawn"] = (name, options) =>
    Effect.map(child(name, "spawn", options), ([key]): Spawned => {
      const execution = childOf(key, options);
      const result = Effect.flatMap(
        perform(endOf(key), "end", () => undefined),
        ([, result]) => ended(execution, result),
      );
      return { execution, result };
    });

  const now = perform("weir.now", "note", (key) =>
    Effect.map(
      host.now,
      (value) => submit({ kind: "noted", key, what: "now", value }),
    )).pipe(
      Effect.map(([, result]) =>
        result.type === "value" && typeof result.value === "number" ? result.value : 0
      ),
    );

  const draw = (): Buffer =>
    createHash("sha256").update(`${host.seed}\n${host.life}\n${draws++}`).digest();

  return {
    execution: host.execution,
    tenant: host.tenant,
    attempt: host.attempt,
    cancelled: host.cancelled,
    run,
    sleep,
    wait,
    call,
    spawn,
    now,
    uuid: () => {
      const bytes = draw();
      bytes[6] = (bytes[6]! & 0x0f) | 0x40;
      bytes[8] = (bytes[8]! & 0x3f) | 0x80;
      const hex = bytes.toString("hex");
      return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]]
        .map(([from, to]) => hex.slice(from, to)).join("-");
    },
    random: () => draw().readUIntBE(0, 6) / 2 ** 48,
    tag: (name, value) =>
      write(`weir.tag/${name}`, "tag", (key) => ({
        kind: "tag",
        key,
        change: "attached",
        name,
        value,
      })),
    untag: (name) =>
      write(
        `weir.tag/${name}`,
        "tag",
        (key) => ({ kind: "tag", key, change: "cleared", name }),
      ),
    cell: (name) => cells.get(name),
    setCell: (name, value) =>
      write(`weir.cell/${name}`, "cell", (key) => ({
        kind: "cell",
        key,
        name,
        ...(value === undefined ? {} : { value }),
      })).pipe(
        Effect.tap(() =>
          Effect.sync(() => value === undefined ? cells.delete(name) : cells.set(name, value))
        ),
      ),
  };
};

const failureIn = (result: OperationResult) =>
  result.type === "failure" ? result.failure : { name: result.type, message: result.type };
