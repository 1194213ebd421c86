/** What the janitor's suites look at: what is stored of an execution, and what is due of it. */
import assert from "node:assert/strict";
import { it } from "node:test";
import process from "node:process";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { Executions, type Named, type StartOptions } from "../../../actors/executions.ts";
import { type AnswerBell, serveJanitor } from "../../../actors/janitor.ts";
import { signal } from "../../../actors/signal.ts";
import { ActorName, type Tenant } from "../../../schema/ids.ts";
import { Connection } from "../../../streams/connection.ts";
import { ExecutionIndex } from "../../../streams/execution_index.ts";
import { type Entry, Log } from "../../../streams/log.ts";
import { type Due, Expiries, type Expiry } from "../../../streams/retention.ts";
import {
  executionAddress,
  executionFilter,
  kindOfSubject,
  streamName,
} from "../../../streams/subjects.ts";
import * as Stages from "../engine/stage.ts";
import { type Run, tenant } from "../subject_matter.ts";

export type Services = Stages.Services | ExecutionIndex | Expiries;

const { until } = Stages;
export const go = signal<string>("go");
export const soon = "1 second";
export const spillThresholdBytes = 4_096;
const aFew = 2_000;
const removalTime = process.env["WEIR_TEST_FULL"] === undefined ? "2 minutes" : "20 minutes";

/** Kinds of records that are of no execution. */
const ofNone = new Set<string | undefined>(["worker", "floor"]);

export const stored = Effect.gen(function* () {
  const log = yield* Log;
  const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);
  const all = yield* Effect.forEach(
    shards,
    (shard) => Stream.runCollect(log.read({ shard, subject: "*.*.>" })),
  );
  return all.flat().filter(({ subject }) => !ofNone.has(kindOfSubject(subject)));
  // What another test has left is on its way out, its payloads first.
}).pipe(Effect.retry({ while: ({ _tag }) => _tag === "CorruptRecord" }));

/** Everything that any execution of an actor has in the log. */
export const storedOf = ({ name }: { readonly name: string }) =>
  Effect.map(
    stored,
    (entries) => entries.filter(({ subject }) => subject.split(".").includes(name)),
  );

export const subjectsOf = (entries: ReadonlyArray<Entry>) => entries.map(({ subject }) => subject);

/** The subjects under which there is anything, without a look at it. */
const subjects = Effect.gen(function* () {
  const connection = yield* Effect.serviceOption(Connection);
  if (Option.isNone(connection)) return subjectsOf(yield* stored);
  const { ask, manager } = connection.value;
  const { layout } = yield* Log;
  const found = yield* Effect.forEach(
    Array.from({ length: layout.shards }, (_, shard) => streamName(layout, shard)),
    (stream) => ask("look", () => manager.streams.info(stream, { subjects_filter: ">" })),
  );
  return found.flatMap(({ state }) => Object.keys(state.subjects ?? {}));
});

/** Records of any kind; how many there are, the server knows without a search. */
const size = Effect.gen(function* () {
  const connection = yield* Effect.serviceOption(Connection);
  if (Option.isNone(connection)) return 0;
  const { ask, manager } = connection.value;
  const { layout } = yield* Log;
  const sizes = yield* Effect.forEach(
    Array.from({ length: layout.shards }, (_, shard) => streamName(layout, shard)),
    (stream) => ask("look", () => manager.streams.info(stream)),
  );
  return sizes.reduce((total, { state }) => total + state.messages, 0);
});

/** Removing 10,000 executions takes a while, and looking for each of them would take longer. */
export const untilGone = (...actors: ReadonlyArray<{ readonly name: string }>) =>
  Effect.gen(function* () {
    const records = yield* size;
    if (records > aFew) return yield* Effect.fail([`${records} records`]);
    const names = new Set(actors.map(({ name }) => name));
    const left = (yield* subjects).filter((subject) =>
      subject.split(".").some((token) => names.has(token))
    );
    if (left.length > 0) return yield* Effect.fail(left);
  }).pipe(
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: removalTime }))),
    Effect.catch((left) => Effect.sync(() => assert.deepEqual(left, []))),
  );

export const addressOf = ({ execution, tenant }: Named) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, tenant, execution));

export const begin = (
  { name }: { readonly name: string },
  input?: unknown,
  { tenant: owner = tenant, ...options }: StartOptions & { readonly tenant?: Tenant } = {},
) =>
  Effect.flatMap(
    Executions,
    (executions) => executions.start(ActorName.make(name), owner, input, options),
  );

const listed = ({ name }: { readonly name: string }) =>
  Effect.flatMap(ExecutionIndex, (index) =>
    Effect.map(
      index.list({ tenant, actor: ActorName.make(name), limit: 10 }),
      ({ executions }) => executions.length,
    ));

export const untilUnlisted = (actor: { readonly name: string }) =>
  until(`${actor.name} is off the index`, Effect.map(listed(actor), (count) => count === 0));

/** What is due of an execution, as a janitor is given it. */
export const allDueOf = (of: Named) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = yield* addressOf(of);
    const entries = yield* Stream.runCollect(log.read(executionFilter(address, "gc")));
    return entries.map((entry): Expiry => {
      const { life, end } = JSON.parse(new TextDecoder().decode(entry.body));
      return { kind: "retention" as const, address, ...of, life, end, sequence: entry.sequence };
    });
  });

export const dueOf = (of: Named) => Effect.map(allDueOf(of), ([first]) => first);

/** One janitor, given things once; what it gives back cannot be done yet. */
export const lookOnce = (
  due: ReadonlyArray<Due>,
  answer: AnswerBell = () => Effect.succeed(true),
) =>
  Effect.gen(function* () {
    let looked: Effect.Effect<ReadonlyArray<Due>, unknown> = Effect.succeed([]);
    const once = Expiries.of({
      serve: (handle) =>
        Effect.exit(handle(due)).pipe(
          Effect.tap((exit) => Effect.sync(() => looked = exit)),
          Effect.andThen(Effect.interrupt),
        ),
    });
    yield* Effect.exit(Effect.provideService(serveJanitor(answer), Expiries, once));
    return yield* looked;
  });

/** The same again, as long as it cannot be done yet. */
export const handleOne = (expiry: Expiry) =>
  until("it is handled", Effect.map(lookOnce([expiry]), (left) => left.length === 0));

export type JanitorTest = (
  title: string,
  play: (stage: Stages.Stage) => Effect.Effect<unknown, unknown, Services | Scope.Scope>,
) => void;

/** Each test has a stage of its own. */
export const janitorTests = (run: Run<Services>): JanitorTest => (title, play) => {
  it(title, () => run(Effect.scoped(Effect.suspend(() => play(new Stages.Stage())))));
};
