/** What is left of executions that have been kept long enough, which is nothing; and what is not touched. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { Named } from "../../../actors/executions.ts";
import type { Tenant } from "../../../schema/ids.ts";
import { mailRecord } from "../../../schema/mail_record.ts";
import { EventStore } from "../../../streams/event_store.ts";
import { readFloors } from "../../../streams/floor.ts";
import { Log } from "../../../streams/log.ts";
import { Expiries } from "../../../streams/retention.ts";
import { kindOfSubject } from "../../../streams/subjects.ts";
import * as Stages from "../engine/stage.ts";
import { type Run, tenant } from "../subject_matter.ts";
import {
  addressOf,
  allDueOf,
  begin,
  dueOf,
  go,
  handleOne,
  janitorTests,
  type Services,
  soon,
  spillThresholdBytes,
  storedOf,
  subjectsOf,
  untilGone,
  untilUnlisted,
} from "./stage.ts";

const { atOnce, resultOf, until, untilStatus } = Stages;
const large = "x".repeat(2 * spillThresholdBytes);

export interface Load {
  readonly executions: number;
  /** Looks where the log does not show what is left. */
  readonly untilEmpty: Effect.Effect<unknown, unknown, Services>;
}

export const removing = (run: Run<Services>, { executions, untilEmpty }: Load): void => {
  const test = janitorTests(run);

  describe("removing what is over", () => {
    test(`nothing is left of ${executions} executions that are over`, (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (context) => context.run("step", () => large), {
          keep: soon,
        });
        const busy = stage.actor("busy", async (context, input: string) => {
          await context.run("small", () => 1);
          await context.sleep("nap", 1);
          const word = await context.wait(go, { timeout: "1 hour" });
          await context.tag("team.name", "checkout");
          const said = await context.call(child, undefined);
          await context.run("large", () => input);
          return said.length + (word ?? "").length;
        }, { keep: soon });
        yield* stage.work([busy, child], { residentGrace: "10 millis" });
        yield* Effect.forEach(
          Array.from({ length: executions }),
          (_, i) =>
            Effect.gen(function* () {
              const input = i % 10 === 0 ? large : "small";
              const of = yield* begin(busy, input, { tags: { "team.size": "2" } });
              yield* Stages.signal(of, "go", "now");
              assert.equal(yield* resultOf(of), large.length + 3);
            }),
          { concurrency: 32 },
        );
        yield* untilGone(busy, child);
        yield* untilUnlisted(busy);
        yield* untilUnlisted(child);
        yield* untilEmpty;
      }));

    test("what is alive, or is kept for longer, is not touched", (stage) =>
      Effect.gen(function* () {
        const brief = stage.actor("brief", () => "over", { keep: soon });
        const kept = stage.actor("kept", () => "over");
        const forever = stage.actor("forever", () => "over", { keep: "forever" });
        const waiter = stage.actor("waiter", (context) => context.wait(go), { keep: soon });
        yield* stage.work([brief, kept, forever, waiter], {
          residentGrace: atOnce,
          keep: { tenants: { frugal: soon } },
        });
        const frugal = "frugal" as Tenant;
        const ended = yield* Effect.forEach([brief, kept, forever], (actor) => begin(actor));
        for (const of of ended) yield* resultOf(of);
        const waiting = yield* begin(waiter);
        yield* untilStatus(waiting, "suspended");
        const before = yield* storedOf(waiter);
        const mine = yield* begin(kept, undefined, { tenant: frugal });
        yield* resultOf(mine);
        yield* untilGone(brief);
        yield* until(
          "the frugal tenant's is gone",
          Effect.map(
            Effect.exit(Stages.describe(mine)),
            (exit) => exit._tag === "Failure",
          ),
        );
        // What was being written as it was looked at may have been added; nothing may be missing.
        const left = new Set((yield* storedOf(waiter)).map(({ sequence }) => sequence));
        assert.ok(before.length > 0);
        assert.deepEqual(before.filter(({ sequence }) => !left.has(sequence)), []);
        for (const of of ended.slice(1)) {
          assert.equal((yield* Stages.describe(of)).status, "completed");
        }
        assert.deepEqual(
          subjectsOf(yield* storedOf(forever)).filter((subject) => kindOfSubject(subject) === "gc"),
          [],
        );
        yield* Stages.signal(waiting, "go", "on");
        assert.equal(yield* resultOf(waiting), "on");
        yield* untilGone(waiter);
      }));

    test("what the owner did not live to schedule is made good by the next", (stage) =>
      Effect.gen(function* () {
        // What brings its next owner is the signal, not the start.
        const child = stage.actor("child", (context) => context.wait(go), { keep: soon });
        const parent = stage.actor("parent", (context) => context.call(child, undefined), {
          keep: "forever",
        });
        const log = yield* Log;
        // As if the owner had died between its last record and what follows from it.
        const deaf = Log.of({
          ...log,
          append: (to, message) =>
            message.kind === "gc" || (message.kind === "mail" && to.tail.includes("parent"))
              ? Effect.never
              : log.append(to, message),
        });
        const parents = yield* stage.work([parent], { residentGrace: atOnce });
        const of = yield* begin(parent);
        const { waitingFor: [awaited] } = yield* untilStatus(of, "suspended");
        assert.ok(awaited?.kind === "call");
        const named = { execution: awaited.execution as Named["execution"], tenant };
        const dead = yield* stage.work([child], { drainTimeout: "10 millis" }).pipe(
          Effect.provideService(Log, deaf),
        );
        yield* untilStatus(named, "active");
        yield* Stages.signal(named, "go", "grown");
        yield* untilStatus(named, "completed");
        yield* dead.leave;
        assert.equal((yield* untilStatus(of, "suspended")).status, "suspended");
        yield* stage.work([child]);
        assert.equal(yield* resultOf(of), "grown");
        yield* untilGone(child);
        yield* parents.leave;
      }));

    test("mail for a life that is gone leaves nothing, and wakes nothing", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => "over", { keep: "0 seconds" });
        yield* stage.work([one]);
        const of = yield* begin(one);
        const address = yield* addressOf(of);
        yield* untilGone(one);
        const log = yield* Log;
        for (const kind of ["resume", "retry"] as const) {
          const body = mailRecord.encode(
            kind === "resume" ? { kind, life: of.life } : { kind, life: of.life, from: "start" },
          );
          yield* log.append(address, { kind: "mail", body });
        }
        yield* untilGone(one);
        const next = yield* begin(one, undefined, { id: of.execution.split("/")[1]! });
        assert.ok(next.created);
        yield* untilGone(one);
      }));

    test("events that others appended go with the execution", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", (context) => context.wait(go), { keep: soon });
        yield* stage.work([one]);
        const of = yield* begin(one);
        const events = yield* EventStore;
        yield* events.append(of.execution, tenant, { type: "custom", eventType: "note", data: 1 });
        yield* Stages.signal(of, "go", "on");
        yield* resultOf(of);
        yield* untilGone(one);
        assert.ok(Option.isNone(yield* events.latestSequence(of.execution, tenant)));
      }));

    test("the frames of its outputs go with it, however many there are", (stage) =>
      Effect.gen(function* () {
        const count = 2_000;
        const one = stage.actor("one", async (context) => {
          await context.run("write", async ({ emit }) => {
            for (let i = 0; i < count; i++) await emit(`output ${i % 3}`, i);
          });
          await context.wait(go);
        }, { keep: soon });
        yield* stage.work([one]);
        const of = yield* begin(one);
        const frames = yield* until(
          "all of them are stored",
          Effect.map(storedOf(one), (entries) => {
            const frames = entries.filter(({ subject }) => kindOfSubject(subject) === "out");
            return frames.length === count ? frames : undefined;
          }),
        );
        assert.equal(new Set(subjectsOf(frames)).size, 3);
        yield* Stages.signal(of, "go", "on");
        yield* resultOf(of);
        yield* untilGone(one);
      }));

    test("floors are above what is gone, and are raised before it goes", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", async (context) => {
          await context.wait(go);
          await context.tag("team.name", "a");
        }, { keep: soon });
        const log = yield* Log;
        const tooLow: Array<string> = [];
        const watched = Log.of({
          ...log,
          purge: (filter, options) =>
            Effect.gen(function* () {
              const kind = kindOfSubject(filter.subject);
              const floors = yield* readFloors(log, filter.shard);
              if (kind === "lease" || kind === "done" || kind === "signal" || kind === "tag") {
                const going = yield* Stream.runCollect(log.read(filter, options));
                const last = going.at(-1)?.sequence ?? 0;
                if (last > floors[kind]) tooLow.push(`${filter.subject} at ${last}`);
              }
              return yield* log.purge(filter, options);
            }).pipe(Effect.orDie),
        });
        yield* stage.work([one]).pipe(Effect.provideService(Log, watched));
        const of = yield* begin(one);
        const { shard } = yield* addressOf(of);
        yield* Stages.signal(of, "go", "on");
        yield* resultOf(of);
        const last = yield* storedOf(one);
        yield* untilGone(one);
        assert.deepEqual(tooLow, []);
        const floors = yield* readFloors(log, shard);
        for (const { subject, sequence } of last) {
          const kind = kindOfSubject(subject);
          if (kind === "lease" || kind === "done" || kind === "signal" || kind === "tag") {
            assert.ok(floors[kind] >= sequence, `${kind} ${sequence}`);
          }
        }
      }));

    test("whoever goes on after a janitor that died anywhere completes its work", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", async (context) => {
          await context.wait(go);
          await context.tag("team.name", "a");
          return await context.run("charge", () => "charged");
        }, { keep: "0 seconds" });
        const log = yield* Log;
        /** Lets so many steps of a removal through, and fails the next. */
        const dying = (steps: { left: number }) => {
          const step = <A, E>(effect: Effect.Effect<A, E>) =>
            Effect.suspend(() => steps.left-- > 0 ? effect : Effect.interrupt);
          return Log.of({
            ...log,
            purge: (filter, options) => step(log.purge(filter, options)),
            remove: (shard, sequence) => step(log.remove(shard, sequence)),
            dropPayloads: (of) => step(log.dropPayloads(of)),
          });
        };
        // The workers' own janitors have nothing to do with it.
        const work = stage.work([one]).pipe(
          Effect.provideService(Expiries, Expiries.of({ serve: () => Effect.never })),
        );
        for (let died = true, allowed = 0; died; allowed++) {
          const id = `after-${allowed}`;
          const worker = yield* work;
          const of = yield* begin(one, undefined, { id });
          yield* Stages.signal(of, "go", "on");
          yield* resultOf(of);
          yield* worker.leave;
          const expiry = yield* until("it is due", dueOf(of));
          const steps = { left: allowed };
          const handled = yield* Effect.exit(
            Effect.provideService(handleOne(expiry), Log, dying(steps)),
          );
          died = handled._tag === "Failure";
          // A new life may begin as soon as the mailbox is empty, and must not notice.
          const next = yield* begin(one, undefined, { id });
          yield* handleOne(expiry);
          if (next.created) {
            const again = yield* work;
            yield* Stages.signal(next, "go", "on");
            assert.equal(yield* resultOf(next), "charged");
            yield* again.leave;
          }
          const rest = yield* until(
            "the rest is due",
            Effect.map(allDueOf(of), (all) => next.created ? all.length > 0 && all : all),
          );
          yield* Effect.forEach(rest, handleOne);
          assert.deepEqual(subjectsOf(yield* storedOf(one)), [], `after ${allowed} steps`);
          assert.ok(allowed < 40);
        }
      }));
  });
};
