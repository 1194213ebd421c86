/** Executions that run again, or begin anew, while the janitor is told that they may go. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Logger from "effect/Logger";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Executions, layer as layerExecutions, type Named } from "../../../actors/executions.ts";
import { Tenant } from "../../../schema/ids.ts";
import { mailRecord } from "../../../schema/mail_record.ts";
import { retentionRecord } from "../../../schema/retention_record.ts";
import type { AnswerBell } from "../../../actors/janitor.ts";
import { BudgetName } from "../../../schema/budget.ts";
import type { Bell } from "../../../streams/retention.ts";
import { type Appended, type AppendError, Log } from "../../../streams/log.ts";
import { keyedFilter } from "../../../streams/subjects.ts";
import * as Stages from "../engine/stage.ts";
import type { Run } from "../subject_matter.ts";
import {
  addressOf,
  begin,
  dueOf,
  go,
  handleOne,
  janitorTests,
  lookOnce,
  type Services,
  soon,
  storedOf,
  untilGone,
  untilUnlisted,
} from "./stage.ts";

const { atOnce, resultOf, until, untilStatus } = Stages;

const retry = (of: Named) => Stages.verb((executions) => executions.retry(of, { from: "start" }));

/** Ends an execution whose worker leaves then; the janitor is told of it when the test says so. */
const ended = Effect.fnUntraced(function* (stage: Stages.Stage, actor: Stages.AnyActor) {
  const worker = yield* stage.work([actor]);
  const of = yield* begin(actor);
  yield* resultOf(of);
  yield* worker.leave;
  const log = yield* Log;
  const address = yield* addressOf(of);
  const end = Option.getOrThrow(yield* log.last(address, "done")).sequence;
  const body = retentionRecord.encode({ kind: "retention", life: of.life, end });
  return { of, address, tell: Effect.asVoid(log.append(address, { kind: "gc", body })) };
});

/** Asks with something else happening while the request is on its way. */
const retryWith = Effect.fnUntraced(function* (
  of: Named,
  onTheWay: (
    send: Effect.Effect<Appended, AppendError>,
  ) => Effect.Effect<Appended, AppendError, Services>,
) {
  const log = yield* Log;
  const services = yield* Effect.context<Services>();
  let isFirst = true;
  const slow = Log.of({
    ...log,
    append: (to, message) => {
      const send = log.append(to, message);
      if (message.kind !== "mail" || !isFirst) return send;
      isFirst = false;
      return Effect.provideContext(onTheWay(send), services);
    },
  });
  const executions = Layer.fresh(layerExecutions).pipe(Layer.provide(Layer.succeed(Log, slow)));
  return yield* Effect.provide(retry(of), executions);
});

export const comingBack = (run: Run<Services>): void => {
  const test = janitorTests(run);

  describe("coming back", () => {
    test("the same name begins a new life, again and again, while the old one goes", (stage) =>
      Effect.gen(function* () {
        const runs: Array<number> = [];
        const again = stage.actor("again", async (context, round: number) => {
          const seen = await context.run("charge", () => {
            runs.push(round);
            return round;
          });
          return `${seen} of ${round}`;
        }, { keep: "0 seconds" });
        yield* stage.work([again]);
        for (let round = 1; round <= 8; round++) {
          const started = yield* until(
            `life ${round} begins`,
            Effect.map(begin(again, round, { id: "one" }), (found) => found.created && found),
          );
          assert.equal(yield* resultOf(started), `${round} of ${round}`);
        }
        assert.deepEqual(runs, [1, 2, 3, 4, 5, 6, 7, 8]);
        yield* untilGone(again);
        yield* untilUnlisted(again);
      }));

    test("what runs again before its time is over is kept from its new end", (stage) =>
      Effect.gen(function* () {
        let tries = 0;
        const shaky = stage.actor("shaky", async (context) => {
          if (++tries === 1) throw new Error("no");
          return await context.wait(go);
        }, { keep: soon });
        yield* stage.work([shaky], { residentGrace: atOnce });
        const of = yield* begin(shaky);
        yield* Effect.flip(resultOf(of));
        const executions = yield* Executions;
        const behind = yield* executions.retry(of);
        yield* untilStatus(of, "suspended");
        // The first end's message comes, and is gone again without anything else.
        const address = yield* addressOf(of);
        const log = yield* Log;
        yield* until(
          "the first end was looked at",
          Effect.all({
            pending: Stream.runCollect(log.read(keyedFilter(address, "gc"))),
            fired: log.last(address, "gc"),
          }).pipe(Effect.map(({ pending, fired }) => pending.length === 0 && Option.isNone(fired))),
        );
        yield* Stages.signal(of, "go", "fine");
        assert.equal(yield* resultOf(of, behind), "fine");
        yield* untilGone(shaky);
      }));

    test("an end that another has followed removes nothing", (stage) =>
      Effect.gen(function* () {
        const shaky = stage.actor("shaky", () => Promise.reject(new Error("no")), {
          keep: "3 seconds",
        });
        yield* stage.work([shaky]);
        const of = yield* begin(shaky);
        yield* Effect.flip(resultOf(of));
        // The two ends are not to be due at once.
        yield* Effect.sleep("2 seconds");
        const behind = yield* (yield* Executions).retry(of);
        yield* Effect.flip(resultOf(of, behind));
        const log = yield* Log;
        const address = yield* addressOf(of);
        yield* until(
          "the first is due, and was looked at",
          Effect.all({
            pending: Stream.runCollect(log.read(keyedFilter(address, "gc"))),
            fired: log.last(address, "gc"),
          }).pipe(Effect.map(({ pending, fired }) => pending.length === 1 && Option.isNone(fired))),
        );
        assert.equal((yield* Stages.describe(of)).status, "failed");
        yield* untilGone(shaky);
      }));

    test("nobody runs it again once the janitor was told", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const one = stage.actor("one", () => ++runs, { keep: "1 hour" });
        const { of, address, tell } = yield* ended(stage, one);
        yield* tell;
        assert.equal((yield* Effect.flip(retry(of)))._tag, "ExecutionNotFound");
        // As somebody would who does not look.
        const log = yield* Log;
        const body = mailRecord.encode({ kind: "retry", life: of.life, from: "start" });
        yield* log.append(address, { kind: "mail", body });
        yield* stage.work([one]);
        yield* untilGone(one);
        assert.equal(runs, 1);
      }));

    test("what was asked for before the janitor was told runs again first", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const one = stage.actor("one", () => ++runs, { keep: "1 hour" });
        const { of, tell } = yield* ended(stage, one);
        const behind = yield* retry(of);
        yield* tell;
        const due = (yield* dueOf(of))!;
        // Nobody who serves it is there; so it waits, whoever looks.
        assert.deepEqual(yield* lookOnce([due]), [due]);
        assert.equal(yield* retry(of), behind);
        const worker = yield* stage.work([one]);
        assert.equal(yield* resultOf(of, behind), 2);
        yield* worker.leave;
        yield* handleOne(due);
        assert.equal(yield* dueOf(of), undefined);
        assert.deepEqual(yield* Stages.kindsOf(of), ["start", "done", "retry", "replayed", "done"]);
      }));

    test("the janitor is told while the request is on its way, which is refused", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => "over", { keep: "1 hour" });
        const { of, tell } = yield* ended(stage, one);
        const asked = retryWith(of, (send) => Effect.andThen(Effect.orDie(tell), send));
        assert.equal((yield* Effect.flip(asked))._tag, "ExecutionNotFound");
        yield* handleOne((yield* dueOf(of))!);
        assert.deepEqual(yield* storedOf(one), []);
      }));

    test("a request that was stored, and told so too late, is not taken for refused", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const one = stage.actor("one", () => ++runs, { keep: "1 hour" });
        const { of, tell } = yield* ended(stage, one);
        const behind = yield* retryWith(
          of,
          (send) => send.pipe(Effect.andThen(Effect.orDie(tell)), Effect.andThen(send)),
        );
        const due = (yield* dueOf(of))!;
        assert.deepEqual(yield* lookOnce([due]), [due]);
        yield* stage.work([one]);
        assert.equal(yield* resultOf(of, behind), 2);
      }));

    test("a request that comes when all is gone is refused, and leaves nothing", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => "over", { keep: "1 hour" });
        const { of, tell } = yield* ended(stage, one);
        const remove = Effect.gen(function* () {
          yield* tell;
          yield* handleOne((yield* dueOf(of))!);
        });
        const asked = retryWith(of, (send) => Effect.andThen(Effect.orDie(remove), send));
        assert.equal((yield* Effect.flip(asked))._tag, "ExecutionNotFound");
        yield* stage.work([one]);
        yield* untilGone(one);
      }));

    for (const kind of ["log", "mail"] as const) {
      test(`what cannot be read in the ${kind} behind an end keeps that execution alone`, (stage) =>
        Effect.gen(function* () {
          const log = yield* Log;
          const one = stage.actor("one", () => "over", { keep: "1 hour" });
          const kept = yield* ended(stage, one);
          let goes = yield* ended(stage, one);
          while (goes.address.shard !== kept.address.shard) goes = yield* ended(stage, one);
          const ofLater = { v: 99, kind: kind === "log" ? "claimed" : "replay" };
          const body = new TextEncoder().encode(JSON.stringify(ofLater));
          const { sequence } = yield* log.append(kept.address, { kind, body });
          for (const { tell } of [kept, goes]) yield* tell;
          const due = [(yield* dueOf(kept.of))!, (yield* dueOf(goes.of))!];
          const [unread] = due;
          assert.deepEqual(yield* lookOnce(due), [unread]);
          assert.equal(yield* dueOf(goes.of), undefined);
          assert.equal(Option.isNone(yield* log.last(goes.address, "done")), true);
          yield* log.remove(kept.address.shard, sequence);
          yield* handleOne(unread!);
          assert.equal(yield* dueOf(kept.of), undefined);
        }));
    }

    test("a bell that cannot be answered comes back, and nothing else with it", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => "over", { keep: "1 hour" });
        const { of, address, tell } = yield* ended(stage, one);
        yield* tell;
        const [deaf, heard] = ["deaf", "heard"].map((name): Bell => ({
          kind: "bell",
          shard: address.shard,
          tenant: of.tenant,
          budget: BudgetName.make(name),
          sequence: 1,
        }));
        const answer: AnswerBell = ({ budget }) =>
          budget === "deaf"
            ? Effect.fail({ _tag: "Unavailable", message: "not now" })
            : Effect.delay(Effect.succeed(true), 5);
        assert.deepEqual(yield* lookOnce([deaf!, (yield* dueOf(of))!, heard!], answer), [deaf]);
        assert.equal(yield* dueOf(of), undefined);
      }));

    for (const _tag of ["CorruptRecord", "UnsupportedRecordVersion"] as const) {
      test(`a budget of which something cannot be read is warned of once: ${_tag}`, () =>
        Effect.gen(function* () {
          const bells = [1, 2].map((sequence): Bell => ({
            kind: "bell",
            shard: 0,
            tenant: Tenant.make("acme"),
            budget: BudgetName.make("calls"),
            sequence,
          }));
          const warnings: Array<unknown> = [];
          const logger = Logger.make(({ message }) => void warnings.push(message));
          const looked = lookOnce(bells, () => Effect.fail({ _tag, message: "no such version" }));
          assert.deepEqual(yield* Effect.provide(looked, Logger.layer([logger])), bells);
          assert.deepEqual(warnings.flat(), [
            "the budget calls of acme is not seen to: no such version",
          ]);
        }));
    }
  });
};
