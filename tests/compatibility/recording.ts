/**
 * What a release has written of a play, record by record, and a log in memory that holds the beginning
 * of that at the times at which it was written, for a later release to go on from.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { ExecutionId } from "../../schema/ids.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { recordKinds } from "../../streams/execution_records.ts";
import { Log } from "../../streams/log.ts";
import { addressOfSubject, executionAddress, kindOfSubject } from "../../streams/subjects.ts";
import type { Play } from "../sim/plays.ts";
import { tenant } from "../sim/world.ts";

const Written = Schema.Struct({
  sequence: Schema.Natural,
  at: Schema.Number,
  execution: Schema.String,
  kind: Schema.Literals([...recordKinds, "lease"]),
  id: Schema.optionalKey(Schema.String),
  body: Schema.String,
});

export interface Recording {
  readonly release: string;
  readonly play: Play;
  readonly written: ReadonlyArray<typeof Written.Type>;
}

const decode = Schema.decodeUnknownSync(Schema.Struct({
  release: Schema.String,
  play: Schema.Unknown,
  written: Schema.Array(Written),
}));

export const parseRecording = (text: string): Recording => {
  const recording = decode(JSON.parse(text));
  return { ...recording, play: recording.play as Play };
};

const isKept = Schema.is(Written.fields.kind);
const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder() };

/** All that executions and their leases have written to the one shard. */
export const written = Effect.gen(function* () {
  const log = yield* Log;
  const entries = yield* Stream.runCollect(log.read({ shard: 0, subject: ">" }));
  return entries.flatMap(({ sequence, at, subject, id, body }) => {
    const kind = kindOfSubject(subject);
    const address = addressOfSubject(log.layout, 0, subject);
    return address === undefined || !isKept(kind) ? [] : [{
      sequence,
      at,
      execution: address.label,
      kind,
      ...(id === undefined ? {} : { id }),
      body: utf8.decoder.decode(body),
    }];
  });
});

/** Writes the first of the records anew, each at its place and time, and says what clients had sent. */
export const restore = Effect.fnUntraced(function* (
  { written }: Recording,
  count: number,
) {
  const log = yield* Log;
  const filler = executionAddress(log.layout, tenant, ExecutionId.make("nobody/nothing"));
  const failures = new Map<ExecutionId, number>();
  const sent = new Map<ExecutionId, number>();
  let next = 1;
  for (const { sequence, at, execution, kind, id, body } of written.slice(0, count)) {
    yield* Effect.sleep(Math.max(0, at - (yield* Clock.currentTimeMillis)));
    // What was there is gone: a time that was waited for, or the session of a worker.
    for (; next < sequence; next++) {
      yield* log.append(filler, { kind: "log", body: new Uint8Array() });
      yield* log.remove(0, next);
    }
    const of = ExecutionId.make(execution);
    const stored = yield* log.append(executionAddress(log.layout, tenant, of), {
      kind,
      body: utf8.encoder.encode(body),
      ...(id === undefined ? {} : { id }),
    });
    if (stored.sequence !== sequence) throw new Error(`${stored.sequence}, and not ${sequence}`);
    next++;
    const { kind: what } = JSON.parse(body) as { readonly kind: string };
    if (what === "attemptFailed") failures.set(of, (failures.get(of) ?? 0) + 1);
    if (kind !== "mail" || what === "start") continue;
    const mail = yield* mailRecord.decode(utf8.encoder.encode(body), { subject: "", sequence });
    const isFromClient = mail.kind !== "child" && mail.kind !== "join" && mail.kind !== "timer" &&
      mail.kind !== "cancel";
    if (isFromClient) sent.set(of, (sent.get(of) ?? 0) + 1);
  }
  return { failures, sentTo: (execution: ExecutionId) => sent.get(execution) ?? 0 };
});
