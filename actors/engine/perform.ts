/**
 * The operations of one run of an actor's code: each asks the program for its place, writes what
 * begins it, and resumes the code with what the journal says. Whatever is awaited here can be dropped
 * at any moment and is found again by its name.
 */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import type * as Schema from "effect/Schema";
import { millisOf } from "../../schema/duration.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { StepFailed } from "../../schema/execution_errors.ts";
import { parse, shown, Timestamp } from "../../schema/ids.ts";
import { checkOptions, type OptionNames } from "../../schema/option_names.ts";
import type { Command } from "../core/decide.ts";
import { attemptNote, type OperationKind } from "../core/state.ts";
import { checkRetry } from "../retry_policy.ts";
import { TagName, TagValue } from "../tags.ts";
import { childrenOf } from "./children.ts";
import { consumeFor } from "./consume.ts";
import { emitterOf } from "./emit.ts";
import { failureIn, type Host, type Perform } from "./host.ts";
import type { OperationError, Operations, RunOptions, Step, WaitOptions } from "./operations.ts";
import { eventsOf } from "./outbox.ts";
import { runStep } from "./step.ts";
import { roomFor } from "./room.ts";
import { tokenFor } from "./token.ts";
import { turnFor } from "./turn.ts";
import { errandFor } from "./errand.ts";
import { checkJson } from "./to_json.ts";

type Json = Schema.Json;

const runOptionNames: OptionNames<RunOptions> = {
  retry: true,
  timeout: true,
  heartbeatTimeout: true,
};

const waitOptionNames: OptionNames<WaitOptions> = { name: true, timeout: true };

const checkLimits = (options: RunOptions) => {
  const { retry, timeout, heartbeatTimeout } = options;
  return Effect.all([
    checkOptions("run", options, runOptionNames),
    retry === undefined ? Effect.void : checkRetry(retry),
    timeout === undefined ? Effect.void : millisOf("timeout", timeout),
    heartbeatTimeout === undefined ? Effect.void : millisOf("heartbeat timeout", heartbeatTimeout),
  ]);
};

export const operationsOf = (host: Host): Operations => {
  const { program, submit } = host;
  const cells = new Map<string, Json>();
  let draws = 0;
  /** What is done again after it was continued is done anew. */
  const life = host.continuations === 0 ? `${host.life}` : `${host.life}.${host.continuations}`;

  const perform: Perform = (name, kind, begin, leavesCancel = false, dropped = () => {}) =>
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
        leavesCancel,
        dropped: () => dropped(key),
        begin: (known) => {
          const fail = (failed: Effect.Effect<never, OperationError>) => {
            program.withdraw(key);
            resume(failed);
          };
          try {
            const effect = begin(key, known, (error) => fail(Effect.fail(error)));
            if (effect === undefined) return;
            // Or else the code would wait for what nobody does.
            begun = host.fork(
              Effect.catchDefect(effect, (defect) => Effect.sync(() => fail(Effect.die(defect)))),
            );
          } catch (error) {
            // It may be begun in a turn of the event loop in which nobody would catch it.
            fail(error instanceof InvalidInput ? Effect.fail(error) : Effect.die(error));
          }
        },
        deliver: (result) => {
          // A copy, since the code may change what it is given, and the state is what is recorded.
          if (result.type !== "cancelled") {
            return resume(Effect.succeed([key, structuredClone(result)] as const));
          }
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

  /** Names of the engine's own begin with `weir.`; half of a character is part of no subject. */
  const named = (name: string): Effect.Effect<string, InvalidInput> =>
    typeof name === "string" && name.length > 0 && name.length <= 200 &&
      !name.startsWith("weir.") && name.isWellFormed()
      ? Effect.succeed(name)
      : Effect.fail(
        new InvalidInput({
          what: "step name",
          value: shown(name),
          rule: "expected 1 to 200 whole characters that do not begin with weir.",
        }),
      );

  const performNamed: Perform = (name, ...operation) =>
    Effect.flatMap(named(name), (name) => perform(name, ...operation));

  const run = (
    name: string,
    body: (step: Step) => Effect.Effect<unknown, unknown>,
    options: RunOptions = {},
  ) =>
    Effect.andThen(
      // What is done already was tried with these, as they were taken then.
      Effect.suspend(() =>
        program.next(name)?.settled === undefined ? checkLimits(options) : Effect.void
      ),
      performNamed(name, "run", (key, known) =>
        host.whileBusy(runStep(
          key,
          known?.kind === "run" ? known : undefined,
          body,
          options,
          {
            idempotencyKey: `${host.tenant}/${host.execution}/${life}/${key}`,
            execution: host.execution,
            emit: host.emit,
            now: host.now,
            parkUntil: (time) =>
              host.whileParked(
                Effect.callback<void>((resume) => host.arm(time, () => resume(Effect.void))),
              ),
            record,
            settle: host.settle,
          },
        ))),
    ).pipe(
      Effect.flatMap(([key, result]) =>
        result.type === "value"
          ? Effect.succeed(result.value)
          : Effect.fail(new StepFailed({ step: key, failure: failureIn(result) }))
      ),
    );

  const sleep: Operations["sleep"] = (name, duration) =>
    Effect.flatMap(millisOf("sleep", duration), (lengthMs) => sleepFor(name, lengthMs));

  const sleepFor = (name: string, lengthMs: number) =>
    Effect.asVoid(performNamed(name, "sleep", (key, known) => {
      const arm = (due: number) => host.arm(due, () => submit({ kind: "elapsed", key }));
      if (known?.kind === "sleep") {
        arm(known.due);
        return undefined;
      }
      return Effect.map(host.now, (now) => {
        const due = Timestamp.make(now + Math.ceil(lengthMs));
        submit({ kind: "sleeping", key, due }, () => arm(due));
      });
    }));

  const wait: Operations["wait"] = Effect.fnUntraced(function* (signal, options = {}) {
    yield* checkOptions("wait", options, waitOptionNames);
    const { name = signal, timeout } = options;
    const timeoutMs = timeout === undefined ? undefined : yield* millisOf("timeout", timeout);
    return yield* waitFor(signal, name, timeoutMs);
  });

  const waitFor = (signal: string, name: string, timeoutMs: number | undefined) =>
    performNamed(name, "wait", (key, known) => {
      const arm = (due: number | undefined) => {
        if (due !== undefined) host.arm(due, () => submit({ kind: "elapsed", key }));
      };
      if (known?.kind === "wait") {
        arm(known.due);
        return undefined;
      }
      if (timeoutMs === undefined) {
        submit({ kind: "waiting", key, signal });
        return undefined;
      }
      return Effect.map(host.now, (now) => {
        const due = Timestamp.make(now + Math.ceil(timeoutMs));
        submit({ kind: "waiting", key, signal, due }, () => arm(due));
      });
    }).pipe(
      Effect.map(([, result]) => result.type === "value" ? { payload: result.value } : undefined),
    );

  const children = childrenOf(host, { perform, performNamed });

  const noted = (name: string) =>
    perform(name, "note", (key) =>
      Effect.map(
        host.now,
        (value) => submit({ kind: "noted", key, what: "now", value }),
      )).pipe(
        Effect.map(([, result]) =>
          result.type === "value" && typeof result.value === "number" ? result.value : 0
        ),
      );

  const draw = (): Buffer =>
    createHash("sha256").update(`${host.seed}\n${life}\n${draws++}`).digest();

  const continueAs: Operations["continueAs"] = (input, over) =>
    Effect.callback((resume) =>
      submit(
        { kind: "continued", input, ...over },
        () => resume(Effect.fail(host.cancelledError())),
        (error) => resume(Effect.fail(error)),
      )
    );

  return {
    execution: host.execution,
    tenant: host.tenant,
    attempt: host.attempt,
    results: {},
    cancelled: host.cancelled,
    isKnown: (name) => host.operation(name)?.settled !== undefined,
    isNextKnown: (name) => program.next(name) !== undefined,
    isBegun: (name) => host.operation(name) !== undefined,
    isSignalled: host.isSignalled,
    isBehind: () => program.isBehind,
    continuations: host.continuations,
    continueAs,
    awaitWhile: (name, isAwaited) => program.awaitWhile(name, isAwaited),
    run,
    consume: consumeFor(host, run),
    sleep,
    wait,
    token: tokenFor(host, perform),
    ...children,
    turn: turnFor(host, perform),
    append: host.append,
    isOwned: host.isOwned,
    errand: errandFor(host, perform),
    now: noted("weir.now"),
    room: roomFor(host, perform),
    beginAttempt: (timeoutMs) =>
      Effect.suspend(() => {
        // A request to stop is for the code to hear.
        if (host.isCancelled()) return Effect.void;
        return Effect.map(noted(attemptNote(host.attemptName())), (begun) => {
          if (timeoutMs !== undefined) host.limit(Math.ceil(begun) + timeoutMs);
        });
      }),
    uuid: () => {
      const bytes = draw();
      bytes[6] = (bytes[6]! & 0x0f) | 0x40;
      bytes[8] = (bytes[8]! & 0x3f) | 0x80;
      const hex = bytes.toString("hex");
      return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]]
        .map(([from, to]) => hex.slice(from, to)).join("-");
    },
    addEvent: eventsOf(host, perform),
    emit: emitterOf(host.emit),
    random: () => draw().readUIntBE(0, 6) / 2 ** 48,
    tag: (name, value) =>
      Effect.gen(function* () {
        yield* parse(TagName, "tag name", name);
        yield* parse(TagValue, "tag value", value);
        yield* write(`weir.tag/${name}`, "tag", (key) => ({
          kind: "tag",
          key,
          change: "attached",
          name,
          value,
        }));
      }),
    untag: (name) =>
      write(
        `weir.tag/${name}`,
        "tag",
        (key) => ({ kind: "tag", key, change: "cleared", name }),
      ),
    cell: (name) => cells.get(name),
    setCell: (name, given) =>
      Effect.flatMap(
        checkJson(`the state ${name}`, given),
        (value) =>
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
      ),
  };
};
