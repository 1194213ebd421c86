/** Triggers, where the log has what nobody can read any more: payloads that a janitor has dropped. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import { layerMemory } from "../../../actors/layer.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import * as Triggers from "../../../actors/triggers.ts";
import { Log } from "../../../streams/log.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import {
  engineTests,
  resultOf,
  type Services,
  signal,
  untilStatus,
} from "../../conformance/engine/stage.ts";
import { type Run, uniqueTenant } from "../../conformance/subject_matter.ts";
import { type IsLost, losing } from "../../fixtures/losing_log.ts";

const run: Run<Services> = (effect) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory()));

const go = defineSignal("go");
const kept = { triggers: true } as const;

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
