/** What is left of executions that have been kept long enough, which is nothing; and what is not touched. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import process from "node:process";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { serveJanitor } from "../../actors/janitor.ts";
import { layer, layerMemory } from "../../actors/layer.ts";
import { neverStuck } from "../../actors/never_stuck.ts";
import { Executions, type Named, type StartOptions } from "../../actors/executions.ts";
import { signal as defineSignal } from "../../actors/signal.ts";
import { ActorName, type Tenant } from "../../schema/ids.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { Connection } from "../../streams/connection.ts";
import { EventStore } from "../../streams/event_store.ts";
import { ExecutionIndex } from "../../streams/execution_index.ts";
import { readFloors } from "../../streams/floor.ts";
import { type Entry, Log } from "../../streams/log.ts";
import { Expiries, type Expiry } from "../../streams/retention.ts";
import {
  executionAddress,
  executionFilter,
  keyedFilter,
  kindOfSubject,
  shardRoot,
  streamName,
} from "../../streams/subjects.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import * as Stages from "../conformance/engine/stage.ts";
import { type Run, tenant } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

type Services = Stages.Services | ExecutionIndex | Expiries;

const { Stage, atOnce, resultOf, until, untilStatus } = Stages;
const go = defineSignal<string>("go");
const isFull = process.env["WEIR_TEST_FULL"] !== undefined;
const spillThresholdBytes = 4_096;
const large = "x".repeat(2 * spillThresholdBytes);
const soon = "1 second";
const aFew = 2_000;
const removalTime = isFull ? "20 minutes" : "2 minutes";

/** Kinds of records that are of no execution. */
const ofNone = new Set<string | undefined>(["worker", "floor"]);

const stored = Effect.gen(function* () {
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
const storedOf = ({ name }: { readonly name: string }) =>
  Effect.map(
    stored,
    (entries) => entries.filter(({ subject }) => subject.split(".").includes(name)),
  );

const subjectsOf = (entries: ReadonlyArray<Entry>) => entries.map(({ subject }) => subject);

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
const untilGone = (...actors: ReadonlyArray<{ readonly name: string }>) =>
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

const addressOf = ({ execution, tenant }: Named) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, tenant, execution));

const begin = (
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

const untilUnlisted = (actor: { readonly name: string }) =>
  until(`${actor.name} is off the index`, Effect.map(listed(actor), (count) => count === 0));

type Play = (
  stage: InstanceType<typeof Stage>,
) => Effect.Effect<unknown, unknown, Services | Scope.Scope>;

interface Load {
  readonly executions: number;
  /** Looks where the log does not show what is left. */
  readonly untilEmpty: Effect.Effect<unknown, unknown, Services>;
}

const suite = (name: string, run: Run<Services>, { executions, untilEmpty }: Load) => {
  const test = (title: string, play: Play) =>
    it(title, () => run(Effect.scoped(Effect.suspend(() => play(new Stage())))));

  describe(`the janitor on ${name}`, () => {
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
        const worker = yield* stage.work([one]);
        const of = yield* begin(one);
        yield* resultOf(of);
        yield* worker.leave;
        const log = yield* Log;
        const address = yield* addressOf(of);
        const end = Option.getOrThrow(yield* log.last(address, "done")).sequence;
        const body = new TextEncoder().encode(
          JSON.stringify({ v: 1, kind: "retention", life: of.life, end }),
        );
        // No janitor is at work until the worker is back.
        yield* log.append(address, { kind: "gc", body });
        yield* (yield* Executions).retry(of);
        yield* stage.work([one]);
        yield* untilGone(one);
        assert.equal(runs, 1);
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

/** What is due of an execution, as a janitor is given it. */
const allDueOf = (of: Named) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = yield* addressOf(of);
    const entries = yield* Stream.runCollect(log.read(executionFilter(address, "gc")));
    return entries.map((entry): Expiry => {
      const { life, end } = JSON.parse(new TextDecoder().decode(entry.body));
      return { address, ...of, life, end, sequence: entry.sequence };
    });
  });

const dueOf = (of: Named) => Effect.map(allDueOf(of), ([first]) => first);

/** One janitor, given one thing; again as long as it says that it cannot be done yet. */
const handleOne = (expiry: Expiry) =>
  Effect.gen(function* () {
    let outcome: Effect.Effect<void, unknown> = Effect.void;
    const once = Expiries.of({
      serve: (handle) =>
        until(
          "it is handled",
          Effect.exit(handle([expiry])).pipe(
            Effect.map((exit) => {
              if (exit._tag === "Success" && exit.value.length > 0) return false;
              outcome = Effect.asVoid(exit);
              return true;
            }),
          ),
        ).pipe(Effect.andThen(Effect.interrupt)),
    });
    yield* Effect.exit(Effect.provideService(serveJanitor, Expiries, once));
    yield* outcome;
  });

suite(
  "memory",
  (effect) => new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory())),
  { executions: 50, untilEmpty: Effect.void },
);

describe("the janitor on a server", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services | Connection, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      layer({ servers: server.url, shards: 2, spillThresholdBytes, giveUpAfter: "5 seconds" }),
    );
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });

  /** What the log cannot show. */
  const untilEmpty = Effect.suspend(() =>
    until(
      "nothing is left in any stream",
      Effect.promise(async () => {
        const { manager } = await runtime.runPromise(Connection);
        const { layout } = await runtime.runPromise(Log);
        for (let shard = 0; shard < layout.shards; shard++) {
          const { state } = await manager.streams.info(`OBJ_${shardRoot(layout, shard)}`);
          if (state.messages > 0) return false;
        }
        return true;
      }),
    )
  );
  suite("JetStream, bounded, 2 shards", (effect) => runtime.runPromise(effect), {
    executions: isFull ? 10_000 : 300,
    untilEmpty,
  });

  it("nobody is stuck in the end", () =>
    runtime.runPromise(Effect.map(
      Stream.runCollect(neverStuck()),
      (found) => assert.deepEqual(found, []),
    )));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
