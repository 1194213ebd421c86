/**
 * What a trigger does when it fires: one message to one mailbox, under a key made of the trigger and
 * of what it fires for, so that doing it again does nothing. What can never be done is a failure;
 * what may be done later is an error that is worth another try.
 */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { ExecutionNotFound } from "../../../schema/execution_errors.ts";
import type { Failure } from "../../../schema/failure.ts";
import { ExecutionId, executionText, SignalId, type Tenant } from "../../../schema/ids.ts";
import {
  type Cause,
  type MailRecord,
  mailRecord,
  type StartRecord,
} from "../../../schema/mail_record.ts";
import type { Then } from "../../../schema/trigger.ts";
import type { Happening, TriggerRecord } from "../../../schema/trigger_record.ts";
import type { AppendError, Log, ReadError } from "../../../streams/log.ts";
import { type Address, executionFilter } from "../../../streams/subjects.ts";
import { failureOf } from "../../engine/failure_of.ts";
import type { Post } from "../../engine/post.ts";

/** The same whenever a trigger acts on the same thing. */
const keyOf = ({ tenant, id }: TriggerRecord, { shard, sequence }: Happening): string => {
  const hash = createHash("sha256").update(JSON.stringify([tenant, id, shard, sequence]));
  return `weir.trigger/${hash.digest("base64url")}`;
};

const failed = (name: string, code: string, message: string): Failure => ({
  name,
  message,
  code,
  retryable: false,
});

/** The execution that a trigger starts for something. */
const startedBy = (
  { id }: TriggerRecord,
  { submit, id: name }: Extract<Then, { readonly submit: unknown }>,
  { sequence, shard }: Happening,
): ExecutionId => ExecutionId.make(executionText(submit, name ?? `${id}~${shard}.${sequence}`));

/** How far up parents are asked whether a trigger started one of them. */
const mostParents = 100;

export const makeAct = (log: Log["Service"], post: Post) => {
  const isThere = (to: Address, key: string) =>
    log.read(executionFilter(to, "mail")).pipe(
      Stream.mapEffect((entry) => Effect.option(mailRecord.decode(entry.body, entry))),
      Stream.map(Option.getOrUndefined),
      Stream.filter((record) => record !== undefined && "key" in record && record.key === key),
      Stream.runHead,
      Effect.map(Option.isSome),
    );

  const tell = Effect.fnUntraced(function* (
    tenant: Tenant,
    execution: ExecutionId,
    key: string,
    mailOf: (life: number) => Extract<MailRecord, { readonly kind: "signal" | "promote" }>,
  ): Effect.fn.Return<Failure | undefined, AppendError | ReadError> {
    const to = post.addressOf(execution, tenant);
    const start = Option.getOrUndefined(yield* post.findStart(to));
    if (start === undefined) return failureOf(new ExecutionNotFound({ execution }));
    const { sequence: life, record: { route, task } } = start;
    const mail = mailOf(life);
    if (mail.kind === "promote" && task?.schedule !== undefined) {
      const why = `${execution} is a schedule, which is not promoted`;
      return failed("InvalidInput", "WEIR_INVALID_INPUT", why);
    }
    const outcome = yield* post.endOf(to, life);
    if (outcome !== undefined) {
      // Whoever did this before may have died before it was recorded.
      if (yield* isThere(to, key)) return undefined;
      const why = `${execution} has ended (${outcome.type}) before it could be told`;
      return failed("ExecutionEnded", "WEIR_EXECUTION_ENDED", why);
    }
    yield* post.send(
      to,
      { ...mail, life, ...(route === undefined ? {} : { route }) },
      { id: post.idOf(to, life, mail.kind, key) },
    );
    return undefined;
  });

  const act = (
    record: TriggerRecord,
    happening: Happening,
  ): Effect.Effect<Failure | undefined, AppendError | ReadError> => {
    const { tenant, id, then } = record;
    const { what, depth } = happening;
    const key = keyOf(record, happening);
    const cause: Cause = { trigger: id, depth: depth + 1 };
    if ("promote" in then) {
      return tell(tenant, then.promote, key, () => ({ kind: "promote", key, cause }));
    }
    if ("signal" in then) {
      const payload = "payload" in then ? then.payload : what;
      return tell(tenant, then.signal, key, () => ({
        kind: "signal",
        signalId: SignalId.make(key),
        name: then.name,
        ...(payload === undefined ? {} : { payload }),
        key,
        source: `trigger ${id}`,
        cause,
      }));
    }
    const start: StartRecord = {
      ...then.start,
      ...(then.start.input !== undefined || what === undefined ? {} : { input: what }),
      seed: key,
      cause,
    };
    const to = post.addressOf(startedBy(record, then, happening), tenant);
    return Effect.as(post.start(to, start), undefined);
  };

  /** What has lost its payload is about to be forgotten, and tells as little as what is forgotten. */
  const unlessLost = <A>(found: Effect.Effect<Option.Option<A>, ReadError>) =>
    Effect.catchTag(found, "CorruptRecord", () => Effect.succeedNone);

  const depthOf = ({ cause }: { readonly cause?: Cause }): number => cause?.depth ?? 0;

  /** How many triggers led to what an execution did at a sequence, or to what started it. */
  const depthAt = Effect.fnUntraced(function* (
    tenant: Tenant,
    execution: ExecutionId,
    sequence: number,
  ): Effect.fn.Return<number, ReadError> {
    const address = post.addressOf(execution, tenant);
    const start = Option.getOrUndefined(yield* unlessLost(post.findStart(address)));
    if (start === undefined) return 0;
    const filter = executionFilter(address, "mail");
    const last = yield* unlessLost(log.last(address, "mail"));
    const entry = Option.isSome(last) && last.value.sequence > sequence
      ? (yield* log.readThrough(filter, { through: sequence, withLost: true })).findLast((entry) =>
        entry.sequence <= sequence
      )
      : Option.getOrUndefined(last);
    const mail = entry === undefined
      ? undefined
      : Option.getOrUndefined(yield* Effect.option(mailRecord.decode(entry.body, entry)));
    let deepest = Math.max(depthOf(start.record), depthOf((mail ?? {}) as { cause?: Cause }));
    let parent = start.record.parent;
    for (let i = 0; parent !== undefined && i < mostParents; i++) {
      const its = Option.getOrUndefined(
        yield* unlessLost(post.findStart(post.addressOf(parent.execution, parent.tenant))),
      );
      if (its === undefined) break;
      deepest = Math.max(deepest, depthOf(its.record));
      parent = its.record.parent;
    }
    return deepest;
  });

  return { act, depthAt };
};
