/** What a snapshot is worth: it spares reading, and whatever is wrong with it, the log says the same. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { stateRecord } from "../../../schema/state_record.ts";
import { nonceOfId } from "../../../streams/fence.ts";
import { type Entry, Log } from "../../../streams/log.ts";
import { executionAddress, executionFilter } from "../../../streams/subjects.ts";
import { body, type Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
} from "./stage.ts";

const go = defineSignal<number>("go");
const early = defineSignal<string>("early");

/** More records than a snapshot is left for. */
const steps = 70;

const addressOf = (of: Named) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, of.tenant, of.execution));

const snapshotOf = (of: Named) =>
  Effect.gen(function* () {
    const log = yield* Log;
    return yield* log.last(yield* addressOf(of), "snap");
  });

/** Leaves another snapshot as the last one, in the name of who left the one before. */
const leave = (of: Named, change: (last: Entry) => Effect.Effect<Uint8Array, unknown>) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const last = Option.getOrThrow(yield* snapshotOf(of));
    yield* log.append(yield* addressOf(of), {
      kind: "snap",
      id: `${nonceOfId(last.id!)}.another`,
      body: yield* change(last),
    });
  });

const harms: Readonly<Record<string, (of: Named) => Effect.Effect<void, unknown, Log>>> = {
  "is as it was left": () => Effect.void,
  "is missing": (of) =>
    Effect.gen(function* () {
      const log = yield* Log;
      const filter = executionFilter(yield* addressOf(of), "snap");
      yield* log.purge(filter, { upTo: Number.MAX_SAFE_INTEGER });
    }),
  "is no record": (of) => leave(of, () => Effect.succeed(body("{}"))),
  "is only half of one": (of) =>
    leave(of, ({ body }) => Effect.succeed(body.subarray(0, body.length / 2))),
  "tells what never was": (of) =>
    leave(
      of,
      (last) =>
        Effect.map(stateRecord.decode(last.body, last), ({ operations, ...record }) =>
          stateRecord.encode({ ...record, operations: operations.slice(1) })),
    ),
  "is nobody's": (of) =>
    Effect.gen(function* () {
      const log = yield* Log;
      const { body } = Option.getOrThrow(yield* snapshotOf(of));
      yield* log.append(yield* addressOf(of), { kind: "snap", body });
    }),
};

export const snapshotsSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: snapshots`, () => {
    for (const [what, harm] of Object.entries(harms)) {
      test(`attack 9: a long execution goes on where it stood, if its snapshot ${what}`, (stage) =>
        Effect.gen(function* () {
          let ran = 0;
          const bodies: Array<number> = [];
          const long = stage.actor("long", async (ctx) => {
            let sum = 0;
            bodies.push(0);
            for (let i = 1; i <= steps; i++) {
              sum += await ctx.run("add", () => {
                ran++;
                return i;
              });
            }
            await ctx.state("sum").set(sum);
            await ctx.tag("sum.known");
            const now = (await ctx.now()).getTime();
            const first = await ctx.wait(go);
            const found = await ctx.wait(early);
            const last = await ctx.run("last", () => ++ran);
            return [sum, now === (await ctx.now()).getTime(), first, found, last];
          });
          const worker = yield* stage.work([long], { residentGrace: atOnce });
          const started = yield* stage.start(long);
          yield* signal(started, "early", "was here", "k-1");
          const waiting = yield* untilStatus(started, "suspended");
          assert.equal(waiting.reason, "signal");
          yield* until(
            "it was let go",
            Effect.map(worker.resident, (count) => count === 0),
          );
          const left = yield* snapshotOf(started);
          assert.ok(Option.isSome(left), "no snapshot");
          yield* harm(started);
          yield* signal(started, "early", "was here", "k-1");
          yield* signal(started, "go", 7);
          const result = yield* resultOf(started);
          assert.deepEqual((result as Array<unknown>).toSpliced(1, 1), [
            steps * (steps + 1) / 2,
            7,
            "was here",
            steps + 1,
          ]);
          assert.equal(ran, steps + 1);
          assert.ok(bodies.length >= 2);
          const { cells, tags, signals } = yield* describe(started);
          assert.deepEqual([cells, tags, signals], [
            { sum: steps * (steps + 1) / 2 },
            { "sum.known": "" },
            2,
          ]);
        }));
    }
  });
};
