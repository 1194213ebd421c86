/** What `list` promises of the engine's executions: each is there, as it is described. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { ExecutionIndex } from "../../../streams/execution_index.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
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

export const listingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: listing`, () => {
    test("executions are listed by tenant, actor, status and tag, as they are described", (stage) =>
      Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const owner = uniqueTenant();
        const waits = stage.actor("waits", async (ctx) => {
          await ctx.tag("order.seen");
          return ctx.wait(go);
        });
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* Effect.forEach(
          ["a", "b", "c"],
          (id) => stage.start(waits, undefined, { id, tenant: owner, tags: { "order.name": id } }),
        );
        for (const of of started) yield* untilStatus(of, "suspended");
        yield* signal(started[1]!, "go", 1);
        yield* resultOf(started[1]!);
        const list = (query: Omit<Parameters<typeof index.list>[0], "tenant" | "limit">) =>
          Effect.map(
            index.list({ tenant: owner, limit: 10, ...query }),
            ({ executions }) => executions,
          );
        const listed = yield* until(
          "the list has come so far",
          Effect.map(
            list({}),
            (found) =>
              found.length === 3 && found.filter(({ status }) =>
                  status === "completed"
                ).length === 1 &&
              found.filter(({ status }) => status === "suspended").length === 2 && found,
          ),
        );
        for (const { execution, status, tags } of listed) {
          const found = yield* describe({ execution, tenant: owner });
          assert.deepEqual([status, tags], [found.status, found.tags]);
        }
        const names = (found: ReadonlyArray<{ readonly execution: string }>) =>
          found.map(({ execution }) => execution.at(-1)).sort().join("");
        assert.equal(names(yield* list({ status: "suspended" })), "ac");
        assert.equal(names(yield* list({ tag: { name: "order.name", value: "b" } })), "b");
        assert.equal(names(yield* list({ actor: stage.name("waits") })), "abc");
        assert.equal(names(yield* list({ actor: stage.name("another") })), "");
      }));
  });
};
