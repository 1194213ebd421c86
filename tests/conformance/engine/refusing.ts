/** What is refused before it reaches the log: bad input, strangers, and verbs that come too late. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { Executions, Named, StartOptions } from "../../../actors/executions.ts";
import type { StandardSchema } from "../../../actors/standard_schema.ts";
import { executionText, Lane, parse } from "../../../schema/ids.ts";
import { ExecutionId } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import { type Run, tenant, uniqueTenant } from "../subject_matter.ts";
import {
  describe,
  engineTests,
  errorOf,
  historyOf,
  resultOf,
  type Services,
  type Stage,
  untilStatus,
  verb,
} from "./stage.ts";

type Verbs = Executions["Service"];

/** The verbs that speak of an execution that there must be. */
const verbs: ReadonlyArray<
  readonly [string, (verbs: Verbs, of: Named) => Effect.Effect<unknown, { _tag: string }>]
> = [
  ["signal", (verbs, of) => verbs.signal(of, "go", 1)],
  ["cancel", (verbs, of) => verbs.cancel(of)],
  ["cancel by force", (verbs, of) => verbs.cancel(of, { force: true })],
  ["pause", (verbs, of) => verbs.pause(of)],
  ["resume", (verbs, of) => verbs.resume(of)],
  ["retry", (verbs, of) => verbs.retry(of)],
  ["revokeLease", (verbs, of) => verbs.revokeLease(of)],
  ["describe", (verbs, of) => verbs.describe(of)],
  ["result", (verbs, of) => verbs.result(of)],
];

const badStarts: ReadonlyArray<readonly [string, unknown, StartOptions]> = [
  ["an input that is no JSON", () => 1, {}],
  ["an input with a number that JSON lacks", { cents: Infinity }, {}],
  ["an id that is empty", 1, { id: "" }],
  ["an id that is too long", 1, { id: "x".repeat(200) }],
  ["an id with half a character", 1, { id: "\ud800" }],
  ["a tag without a namespace", 1, { tags: { team: "checkout" } }],
  ["a tag that is too long", 1, { tags: { "team.name": "x".repeat(257) } }],
  ["a priority that is no whole number", 1, { priority: 1.5 }],
  ["a priority out of bounds", 1, { priority: 1_001 }],
  ["a delay that is none", 1, { delay: "soon" as Duration.Input }],
  ["a deadline that never comes", 1, { deadline: Infinity }],
  ["a capability that nobody can have", 1, { requires: ["two words"] }],
  ["a signal without a name", 1, { signals: [{ name: "" }] }],
  ["a signal that is too large", 1, {
    signals: [{ name: "go" }, { name: "go", payload: "x".repeat(64 * 1024) }],
  }],
];

/** The mailbox of an execution, whoever may have written there. */
const mailOf = (of: Named) =>
  Effect.gen(function* () {
    const log = yield* Log;
    return yield* log.last(executionAddress(log.layout, of.tenant, of.execution), "mail");
  });

const named = (stage: Stage, id: string): Named => ({
  execution: ExecutionId.make(executionText(stage.name("echo"), id)),
  tenant,
});

const numbers: StandardSchema<unknown, number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof value === "number" ? { value } : { issues: [{ message: "expected a number" }] },
  },
};

export const refusingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: refusing`, () => {
    for (const [what, input, options] of badStarts) {
      test(`${what} is refused before anything is started`, (stage) =>
        Effect.gen(function* () {
          const echo = stage.actor("echo", () => {});
          const started = verb((verbs) =>
            verbs.start(stage.name("echo"), tenant, input, { id: "o-1", ...options })
          );
          const error = yield* errorOf(started);
          assert.equal(error._tag, "InvalidInput");
          assert.deepEqual(yield* mailOf(named(stage, "o-1")), Option.none());
          assert.equal((yield* stage.start(echo, 1, { id: "o-1" })).created, true);
        }));
    }

    test("an actor that no worker has ever served is unknown, unless one says that it will be", (stage) =>
      Effect.gen(function* () {
        const echo = stage.actor("echo", (_, input: number) => input);
        const start = (options: StartOptions) =>
          verb((verbs) => verbs.start(stage.name("echo"), tenant, 1, { id: "o-1", ...options }));
        assert.equal((yield* errorOf(start({})))._tag, "UnknownActor");
        assert.deepEqual(yield* mailOf(named(stage, "o-1")), Option.none());
        assert.equal((yield* start({ unserved: true })).created, true);
        const worker = yield* stage.work([echo]);
        assert.equal(yield* resultOf(named(stage, "o-1")), 1);
        yield* worker.leave;
        assert.equal((yield* start({ id: "o-2" })).created, true);
      }));

    test("a lane is checked where it is named", () =>
      Effect.gen(function* () {
        const error = yield* errorOf(parse(Lane, "lane", "two words"));
        assert.equal(error._tag, "InvalidInput");
      }));

    test("an input that the log cannot hold is refused, and nothing is started", (stage) =>
      Effect.gen(function* () {
        const echo = stage.actor("echo", () => {});
        const error = yield* errorOf(
          stage.start(echo, "x".repeat(33 * 1024 * 1024), { id: "large" }),
        );
        assert.equal(error._tag, "PayloadTooLarge");
        assert.deepEqual(yield* mailOf(named(stage, "large")), Option.none());
      }));

    test("an input that its actor's schema refuses is a failure, and no code runs", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const strict = stage.actor("strict", () => ++runs, { input: numbers });
        yield* stage.work([strict]);
        const error = yield* errorOf(stage.play(strict, "many"));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "InvalidInput");
        assert.equal(runs, 0);
      }));

    test("a result that its actor's schema refuses is a failure", (stage) =>
      Effect.gen(function* () {
        const wrong = stage.actor("wrong", () => "many" as unknown as number, {
          output: numbers,
        });
        yield* stage.work([wrong]);
        const error = yield* errorOf(stage.play(wrong));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "InvalidInput");
      }));

    for (
      const [what, tag] of [["name", ["team", "x"]], ["value", ["team.name", "x".repeat(257)]]]
    ) {
      test(`a tag's ${what} that will not do is an error where the code attaches it`, (stage) =>
        Effect.gen(function* () {
          const tags = stage.actor(
            "tags",
            (ctx) =>
              ctx.tag(tag![0]!, tag![1]).catch((error: { readonly code: string }) => error.code),
          );
          yield* stage.work([tags]);
          const started = yield* stage.start(tags);
          assert.equal(yield* resultOf(started), "WEIR_INVALID_INPUT");
          assert.deepEqual((yield* describe(started)).tags, {});
        }));
    }

    for (const [what, use] of verbs) {
      test(`${what}: another tenant's execution is none at all`, (stage) =>
        Effect.gen(function* () {
          const echo = stage.actor("echo", () => {});
          yield* stage.work([echo]);
          const started = yield* stage.start(echo);
          yield* resultOf(started);
          const before = yield* historyOf(started);
          const theirs = { execution: started.execution, tenant: uniqueTenant() };
          const error = yield* errorOf(verb((verbs) => use(verbs, theirs)));
          assert.equal(error._tag, "ExecutionNotFound");
          assert.deepEqual(yield* historyOf(started), before);
          assert.deepEqual(yield* mailOf(theirs), Option.none());
        }));
    }

    for (
      const [ending, status, end] of [
        ["success", "completed", () => "done"],
        ["failure", "failed", () => {
          throw new RangeError("no");
        }],
      ] as const
    ) {
      test(`what comes after a ${ending} is refused with how it ended, and is not written`, (stage) =>
        Effect.gen(function* () {
          const brief = stage.actor("brief", end);
          yield* stage.work([brief]);
          const started = yield* stage.start(brief);
          yield* Effect.exit(resultOf(started));
          yield* untilStatus(started, status);
          const before = yield* historyOf(started);
          for (const [what, use] of verbs.slice(0, 5)) {
            const error = yield* errorOf(verb((verbs) => use(verbs, started)));
            assert.equal(error._tag, "ExecutionEnded", what);
            assert.deepEqual(
              { ...error, message: undefined },
              { ...error, message: undefined, outcome: ending, attempt: 0, epoch: 1 },
            );
          }
          assert.deepEqual(yield* historyOf(started), before);
        }));
    }
  });
};
