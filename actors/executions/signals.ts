/**
 * Sending signals, and learning what became of them. What is too large, too many or too late is
 * refused before it is sent; a signal that crosses the end of its execution is told so.
 */
import { createHash, randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { InvalidToken } from "../../schema/access_errors.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { SignalLimitExceeded } from "../../schema/execution_errors.ts";
import { parse, SignalId } from "../../schema/ids.ts";
import { journalRecord } from "../../schema/journal_record.ts";
import { Json } from "../../schema/json.ts";
import type { MailRecord } from "../../schema/mail_record.ts";
import type { SignalEffect } from "../../schema/signal_delivery.ts";
import type { ReadError } from "../../streams/log.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import { type Address, executionFilter, type Kind } from "../../streams/subjects.ts";
import { defaultLimits } from "../core/decide.ts";
import type { Executions, Named, SignalOptions } from "../executions.ts";
import { checkForeignSignal } from "../signal.ts";
import type { SignalTokens } from "../signal_tokens.ts";
import { traced } from "../traced.ts";
import type { Means, Presence } from "./present.ts";
import type { Steering } from "./steering.ts";

type Json = Schema.Json;

const SignalName = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(128));
const signalLimitBytes = 64 * 1024;

const utf8 = new TextEncoder();

const nothing: ReadonlyMap<Kind, number> = new Map();

/** What becomes of a signal that its execution did not live to take up. */
const endedBefore: SignalEffect = { type: "other", raw: "execution_ended" };

/** The payload of a signal or an event as JSON. */
export const checkPayload = Effect.fnUntraced(function* (payload: unknown) {
  const value = yield* (payload === undefined ? Effect.undefined : parse(Json, "payload", payload));
  const size = value === undefined ? 0 : utf8.encode(JSON.stringify(value)).length;
  if (size > signalLimitBytes) {
    return yield* new InvalidInput({
      what: "payload",
      value: `${size} bytes`,
      rule: `a signal has at most ${signalLimitBytes} bytes`,
    });
  }
  return value;
});

const checkName = (name: string) =>
  Effect.andThen(parse(SignalName, "signal name", name), checkForeignSignal(name));

/** A signal's payload as JSON, if both it and the name will do. */
export const checkSignal = (name: string, payload: unknown) =>
  Effect.andThen(checkName(name), checkPayload(payload));

/** A signal as it lies in a mailbox. */
export const signalMail = (
  name: string,
  payload: Json | undefined,
  { key, source }: { readonly key?: string | undefined; readonly source?: string | undefined },
  life = 0,
) => ({
  kind: "signal" as const,
  signalId: SignalId.make(
    key === undefined
      ? randomUUID()
      : createHash("sha256").update(`${life}\n${key}`).digest("hex").slice(0, 32),
  ),
  name,
  ...(payload === undefined ? {} : { payload }),
  ...(key === undefined ? {} : { key }),
  ...(source === undefined ? {} : { source }),
});

export const makeSignals = (
  { log, completions, post }: Means,
  { addressOf, living, meant }: Presence,
  { tokens, clock }: {
    readonly tokens: SignalTokens;
    readonly clock: ServerClock["Service"];
  },
): Pick<Executions["Service"], "signal" | "complete"> & {
  readonly steering: Steering["Service"];
} => {
  /** Mailboxes that a signal of this process is on its way to. */
  const busy = new Set<string>();

  /**
   * Sends a signal right behind what lies in its mailbox last, which spares the owner a look at what
   * may lie between; if something has come there, anywhere.
   */
  const sendBehind = (address: Address, mail: MailRecord, last: number | undefined) =>
    last === undefined ? post.send(address, mail) : Effect.catchTag(
      post.send(address, mail, { guard: { after: last } }),
      ["SequenceConflict", "AlreadyExists"],
      () => post.send(address, mail),
    );

  /** Sends a signal of whatever name; to one life of an execution alone, if one is named. */
  const signal = Effect.fnUntraced(
    function* (
      to: Named,
      name: string,
      payload: unknown,
      { key, source }: SignalOptions,
      life?: number,
    ) {
      const value = yield* checkPayload(payload);
      const { tail } = addressOf(to);
      // Of many at once each would find that another has come.
      const isAlone = key === undefined && !busy.has(tail);
      if (isAlone) {
        yield* Effect.acquireRelease(
          Effect.sync(() => busy.add(tail)),
          () => Effect.sync(() => busy.delete(tail)),
        );
      }
      const [found, last] = yield* Effect.all([
        living(to, life),
        isAlone ? log.lastSequences(addressOf(to), ["mail"]) : Effect.succeed(nothing),
      ], { concurrency: "unbounded" });
      const { lastSignal } = found;
      if (lastSignal !== undefined) {
        const record = yield* journalRecord.decode(lastSignal.body, lastSignal);
        const limit = defaultLimits.signals;
        if (record.kind === "signal" && record.life === found.life && record.count >= limit) {
          return yield* new SignalLimitExceeded({ execution: to.execution, limit });
        }
      }
      const record = signalMail(name, value, { key, source }, found.life);
      const mail = { ...record, ...meant(found) };
      const { sequence } = yield* key === undefined
        ? sendBehind(found.address, mail, last.get("mail"))
        : post.send(found.address, mail, {
          id: post.idOf(found.address, found.life, "signal", key),
        });
      const { signalId } = record;
      return { signalId, effect: effectOf(found.address, sequence) };
    },
    Effect.scoped,
    traced("Executions.signal"),
  );

  /** What the owner says of the signal at a sequence, or its end without a word about it. */
  const effectOf = (
    address: Address,
    sequence: number,
  ): Effect.Effect<SignalEffect, ReadError> => {
    const said = log.follow(executionFilter(address, "signal"), { after: sequence }).pipe(
      Stream.mapEffect((entry) => journalRecord.decode(entry.body, entry)),
      Stream.filter((record) => record.kind === "signal" && record.sequence === sequence),
      Stream.runHead,
      Effect.flatMap((found) =>
        Option.isSome(found) && found.value.kind === "signal"
          ? Effect.succeed(found.value.effect)
          : Effect.never
      ),
    );
    const tooLate = Effect.flatMap(
      completions.wait(address, sequence),
      ({ record }) => record.mail < sequence ? Effect.succeed(endedBefore) : Effect.never,
    );
    return Effect.raceFirst(said, tooLate);
  };

  const complete: Executions["Service"]["complete"] = Effect.fnUntraced(
    function* (token, payload) {
      const { tenant, execution, life, signal: name, id, refusedFrom } = yield* tokens.open(token);
      if ((yield* clock.now) >= refusedFrom) return yield* new InvalidToken({});
      const options = { key: `weir.token/${id}`, source: "token" };
      return yield* signal({ tenant, execution }, name, payload, options, life).pipe(
        Effect.catchTag("ExecutionNotFound", () => Effect.fail(new InvalidToken({}))),
      );
    },
    traced("Executions.complete"),
  );

  return {
    signal: (to, name, payload, options = {}) =>
      Effect.andThen(checkName(name), signal(to, name, payload, options)),
    complete,
    steering: { signal: (to, name, payload, options = {}) => signal(to, name, payload, options) },
  };
};
