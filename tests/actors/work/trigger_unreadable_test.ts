/** Triggers, where the log has what nobody can read any more: payloads that a janitor has dropped. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { layerMemory } from "../../../actors/layer.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import * as Triggers from "../../../actors/triggers.ts";
import { CorruptRecord } from "../../../schema/errors.ts";
import { type Entry, Log } from "../../../streams/log.ts";
import { type Kind, kindOfSubject } from "../../../streams/subjects.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import {
  engineTests,
  resultOf,
  type Services,
  signal,
  untilStatus,
} from "../../conformance/engine/stage.ts";
import { type Run, uniqueTenant } from "../../conformance/subject_matter.ts";

const run: Run<Services> = (effect) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory()));

const go = defineSignal("go");
const kept = { triggers: true } as const;

type IsLost = (kind: Kind, name: string) => boolean;

/** A log in which payloads of some records are gone, as one on a server would answer. */
const losing = (isLost: IsLost) => (log: Log["Service"]): Log["Service"] => {
  const isGone = ({ subject }: Entry) => {
    const tokens = subject.split(".");
    return isLost(kindOfSubject(subject) as Kind, tokens[tokens.length - 1]!);
  };
  const read = (withLost: boolean) => (entry: Entry): Effect.Effect<Entry, CorruptRecord> => {
    if (!isGone(entry)) return Effect.succeed(entry);
    const { subject, sequence } = entry;
    return withLost
      ? Effect.succeed({ ...entry, body: new TextEncoder().encode('{"v":1,"kind":"object"}') })
      : Effect.fail(new CorruptRecord({ subject, sequence, reason: "its payload is gone" }));
  };
  const one = Option.match({
    onNone: () => Effect.succeedNone,
    onSome: (entry: Entry) => Effect.asSome(read(false)(entry)),
  });
  return Log.of({
    ...log,
    first: (...of) => Effect.flatMap(log.first(...of), one),
    last: (...of) => Effect.flatMap(log.last(...of), one),
    read: (filter, options = {}) =>
      Stream.mapEffect(log.read(filter, options), read(options.withLost === true)),
    readThrough: (filter, options) =>
      Effect.flatMap(
        log.readThrough(filter, options),
        Effect.forEach(read(options.withLost === true)),
      ),
    follow: (filter, options = {}) =>
      Stream.mapEffect(log.follow(filter, options), read(options.withLost === true)),
  });
};

describe("triggers", () => {
  const test = engineTests(run);

  test("fire on for what can be read, behind and between what has lost its payload", (stage) =>
    Effect.gen(function* () {
      const told = stage.actor("told", (ctx) => ctx.wait(go));
      const brief = stage.actor("brief", () => "done");
      yield* stage.work([told, brief]);
      const tenant = uniqueTenant();
      const listener = yield* stage.start(told, undefined, { id: "l", tenant });
      yield* Triggers.create(tenant, {
        id: "each",
        when: { completed: { actor: brief } },
        then: { signal: listener.execution, name: "heard" },
        standing: true,
        unserved: true,
      });
      const end = (id: string) =>
        Effect.flatMap(stage.start(brief, undefined, { id, tenant }), resultOf);
      const isLost: IsLost = (kind, name) =>
        (kind === "done" && name.startsWith("lost")) ||
        (kind === "mail" && name.startsWith("unstarted"));
      for (const id of ["one", "lost-two", "unstarted-three", "four"]) yield* end(id);
      yield* stage.work([], kept).pipe(Effect.updateService(Log, losing(isLost)));
      yield* Effect.sleep("10 seconds");
      const { fired } = yield* Triggers.describe(tenant, "each");
      for (const id of ["lost-five", "six"]) yield* end(id);
      yield* Effect.sleep("10 seconds");
      assert.deepEqual([fired, (yield* Triggers.describe(tenant, "each")).fired], [3, 4]);
      yield* signal(listener, "go");
      yield* resultOf(listener);
    }));

  test("are kept anew when what they could not read has gone", (stage) =>
    Effect.gen(function* () {
      const told = stage.actor("told", (ctx) => ctx.wait(go));
      yield* stage.work([told]);
      const tenant = uniqueTenant();
      const listener = yield* stage.start(told, undefined, { id: "l", tenant });
      const waits = yield* stage.start(told, undefined, { id: "waits", tenant });
      yield* untilStatus(waits, "suspended");
      yield* Triggers.create(tenant, {
        id: "state",
        when: { state: waits.execution, is: "suspended" },
        then: { signal: listener.execution, name: "heard" },
        unserved: true,
      });
      let isThere = true;
      const isLost: IsLost = (kind, name) => isThere && kind === "mail" && name === "waits";
      yield* stage.work([], kept).pipe(Effect.updateService(Log, losing(isLost)));
      yield* Effect.sleep("10 minutes");
      assert.equal((yield* Triggers.describe(tenant, "state")).fired, 0);
      isThere = false;
      yield* Effect.sleep("10 minutes");
      assert.equal((yield* Triggers.describe(tenant, "state")).fired, 1);
      for (const each of [listener, waits]) {
        yield* signal(each, "go");
        yield* resultOf(each);
      }
    }));
});
