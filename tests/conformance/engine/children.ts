/** What `call` and `spawn` promise: a child of one's own or another's, and its end, told once. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { Named, StartedExecution } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { ChildFailed } from "../../../schema/execution_errors.ts";
import { ExecutionId } from "../../../schema/ids.ts";
import { mailRecord } from "../../../schema/mail_record.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  historyOf,
  kindsOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  verb,
  wake,
} from "./stage.ts";

const go = defineSignal<number>("go");

const graces = [["in memory", "5 seconds"], ["suspended", atOnce]] as const;

/** Asks a child again how it ends, as a parent does that was taken up anew. */
const askAgain = (child: Named, parent: StartedExecution, key: string) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const { life } = yield* describe(child);
    const { execution, tenant } = parent;
    const reference = { execution, tenant, life: parent.life, key, call: 1 };
    yield* log.append(executionAddress(log.layout, child.tenant, child.execution), {
      kind: "mail",
      body: mailRecord.encode({ kind: "join", life, parent: reference }),
    });
  });

export const childrenSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: children`, () => {
    for (const [what, residentGrace] of graces) {
      test(`a call gives what the child gives, to a parent ${what}`, (stage) =>
        Effect.gen(function* () {
          const runs: Array<string> = [];
          const child = stage.actor("child", async (ctx, input: number) => {
            runs.push(ctx.executionId);
            return await ctx.wait(go) * input;
          });
          const parent = stage.actor("parent", async (ctx) => await ctx.call(child, 6) + 1);
          yield* stage.work([parent, child], { residentGrace });
          const started = yield* stage.start(parent, undefined, { id: "p-1" });
          const waiting = yield* until(
            "the parent waits for the child",
            Effect.map(describe(started), (found) => found.reason === "child" ? found : undefined),
          );
          const [awaited] = waiting.waitingFor;
          assert.ok(awaited?.kind === "call");
          const { name, life } = { ...child, ...started };
          assert.equal(awaited.execution, `${name}/${parent.name}/p-1.${life}/${name}`);
          const of = stage.follow(awaited.execution);
          yield* signal(of, "go", 7);
          assert.equal(yield* resultOf(started), 43);
          assert.equal((yield* describe(started)).attempt, 0);
          assert.deepEqual(new Set(runs), new Set([awaited.execution]));
        }));

      test(`each call has a child of its own, whatever it and its parent are called, ${what}`, (stage) =>
        Effect.gen(function* () {
          const child = stage.actor("child", (_, input: string) => `child of ${input}`);
          const middle = stage.actor(
            "middle",
            (ctx, input: string) => ctx.call(child, input, { name: "b" }),
          );
          const order = stage.actor(
            "order",
            (ctx) =>
              Promise.all([
                ctx.call(child, "order"),
                ctx.call(child, "a slash", { name: "a/b" }),
                ctx.call(middle, "the middle", { name: "a" }),
              ]),
          );
          const refund = stage.actor("refund", (ctx) => ctx.call(child, "refund"));
          yield* stage.work([child, middle, order, refund], { residentGrace });
          const parents = [
            yield* stage.start(order, undefined, { id: "o-1" }),
            yield* stage.start(refund, undefined, { id: "o-1" }),
          ];
          assert.deepEqual(yield* Effect.forEach(parents, (each) => resultOf(each)), [
            ["child of order", "child of a slash", "child of the middle"],
            "child of refund",
          ]);
        }));

      test(`children of children have names, however deep they are, ${what}`, (stage) =>
        Effect.gen(function* () {
          const tree = stage.actor(
            "tree",
            async (ctx, depth: number): Promise<number> =>
              depth === 0 ? 0 : 1 + Number(await ctx.call(tree, depth - 1)),
          );
          const name = "k".repeat(199);
          const root = stage.actor("root", (ctx) => ctx.call(tree, 12, { name }));
          yield* stage.work([root, tree], { residentGrace });
          assert.equal(yield* resultOf(yield* stage.start(root)), 12);
        }));

      test(`a spawned child runs beside its parent, ${what}, which may ask for its end`, (stage) =>
        Effect.gen(function* () {
          const child = stage.actor("child", (ctx) => ctx.wait(go));
          const parent = stage.actor("parent", async (ctx) => {
            const one = await ctx.spawn(child, undefined, { name: "one", id: "c-1" });
            const other = await ctx.spawn(child, undefined, { name: "other", id: "c-2" });
            await ctx.run("meanwhile", () => 1);
            await ctx.sleep("nap", "20 millis");
            return [one.id, await other.result(), await one.result()];
          });
          yield* stage.work([parent, child], { residentGrace });
          const started = yield* stage.start(parent);
          const children = ["c-1", "c-2"].map((id) =>
            stage.follow(ExecutionId.make(`${child.name}/${id}`))
          );
          for (const [i, of] of children.entries()) {
            yield* until(
              "it is there",
              Effect.option(describe(of)).pipe(
                Effect.map((found) => found._tag === "Some"),
              ),
            );
            yield* signal(of, "go", i + 1);
          }
          assert.deepEqual(yield* resultOf(started), [children[0]!.execution, 2, 1]);
        }));
    }

    test("how a child failed is a typed error at its call, also in a replay", (stage) =>
      Effect.gen(function* () {
        const caught: Array<unknown> = [];
        const child = stage.actor("child", (ctx) =>
          ctx.run("charge", () => {
            throw Object.assign(new RangeError("too much"), { cents: 42 });
          }, { retry: { attempts: 1 } }));
        const parent = stage.actor("parent", async (ctx) => {
          try {
            await ctx.call(child, undefined, { id: "c-1" });
          } catch (error) {
            caught.push(error);
          }
          await ctx.wait(go);
          return "handled";
        });
        yield* stage.work([parent, child], { residentGrace: atOnce });
        const started = yield* stage.start(parent);
        yield* wake(started, "go");
        assert.equal(yield* resultOf(started), "handled");
        assert.ok(caught.length >= 2);
        for (const error of caught) {
          assert.ok(error instanceof ChildFailed);
          const { name, message, step, data } = error.failure!;
          assert.deepEqual(
            [error.execution, error.outcome, name, message, step, data],
            [`${child.name}/c-1`, "failure", "RangeError", "too much", "charge", { cents: 42 }],
          );
        }
        stage.follow(ExecutionId.make(`${child.name}/c-1`));
      }));

    test("a child's failure that nobody handles is its parent's", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", () => {
          throw new RangeError("no");
        });
        const parent = stage.actor("parent", (ctx) => ctx.call(child, undefined, { id: "c-1" }));
        yield* stage.work([parent, child]);
        const error = yield* errorOf(stage.play(parent));
        assert.ok(error._tag === "ExecutionFailed");
        const { name, step } = error.failure;
        assert.deepEqual([name, step], ["RangeError", `${child.name}/c-1`]);
      }));

    test("a child that somebody cancelled ends its call as cancelled", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (ctx) => ctx.wait(go));
        const parent = stage.actor(
          "parent",
          (ctx) =>
            ctx.call(child, undefined, { id: "c-1" }).catch((error) =>
              error instanceof ChildFailed ? error.outcome : "another error"
            ),
        );
        yield* stage.work([parent, child], { residentGrace: atOnce });
        const started = yield* stage.start(parent);
        const of = stage.follow(ExecutionId.make(`${child.name}/c-1`));
        yield* until(
          "the child waits",
          Effect.option(describe(of)).pipe(
            Effect.map((found) => found._tag === "Some" && found.value.reason === "signal"),
          ),
        );
        yield* verb((verbs) => verbs.cancel(of));
        assert.equal(yield* resultOf(started), "cancelled");
      }));

    test("a parent's end cancels its children, but for those that it abandons", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (ctx) => ctx.wait(go));
        const parent = stage.actor("parent", async (ctx) => {
          await ctx.spawn(child, undefined, { name: "kept", id: "kept" });
          await ctx.spawn(child, undefined, {
            name: "left",
            id: "left",
            onParentEnd: "abandon",
          });
          return "gone";
        });
        yield* stage.work([parent, child], { residentGrace: atOnce });
        assert.equal(yield* stage.play(parent), "gone");
        const kept = stage.follow(ExecutionId.make(`${child.name}/kept`));
        const left = stage.follow(ExecutionId.make(`${child.name}/left`));
        const error = yield* errorOf(resultOf(kept));
        assert.ok(error._tag === "ExecutionCancelled");
        assert.equal(error.reason, "its parent has ended");
        yield* signal(left, "go", 1);
        assert.equal(yield* resultOf(left), 1);
      }));

    test("who cancels a parent cancels its children with it", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (ctx) => ctx.wait(go));
        const parent = stage.actor("parent", (ctx) => ctx.call(child, undefined, { id: "c-1" }));
        yield* stage.work([parent, child], { residentGrace: atOnce });
        const started = yield* stage.start(parent);
        const of = stage.follow(ExecutionId.make(`${child.name}/c-1`));
        yield* until(
          "the child waits",
          Effect.option(describe(of)).pipe(
            Effect.map((found) => found._tag === "Some" && found.value.reason === "signal"),
          ),
        );
        yield* verb((verbs) => verbs.cancel(started, { reason: "rain" }));
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
        assert.equal((yield* errorOf(resultOf(of)))._tag, "ExecutionCancelled");
      }));

    test("attack 13: a call joins a child that runs already, and one that ended long ago", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const child = stage.actor("child", async (ctx, input: string) => {
          runs++;
          return `${input} ${await ctx.wait(go)}`;
        });
        const parent = stage.actor(
          "parent",
          (ctx) => ctx.call(child, "the parent's", { id: "c-1" }),
        );
        yield* stage.work([parent, child]);
        const own = yield* stage.start(child, "somebody's", { id: "c-1" });
        const first = yield* stage.start(parent);
        yield* until(
          "the parent waits",
          Effect.map(describe(first), ({ reason }) => reason === "child"),
        );
        yield* signal(own, "go", 1);
        assert.equal(yield* resultOf(first), "somebody's 1");
        const second = yield* stage.start(parent);
        assert.equal(yield* resultOf(second), "somebody's 1");
        assert.equal(runs, 1);
      }));

    test("a joined child is not cancelled with who only joined it", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (ctx) => ctx.wait(go));
        const parent = stage.actor("parent", (ctx) => ctx.call(child, undefined, { id: "c-1" }));
        yield* stage.work([parent, child], { residentGrace: atOnce });
        const own = yield* stage.start(child, undefined, { id: "c-1" });
        const started = yield* stage.start(parent);
        yield* untilStatus(started, "suspended");
        yield* verb((verbs) => verbs.cancel(started));
        yield* errorOf(resultOf(started));
        yield* signal(own, "go", 1);
        assert.equal(yield* resultOf(own), 1);
      }));

    test("a child's end is told once, however often its parent asks", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const child = stage.actor("child", () => ++runs);
        const parent = stage.actor("parent", async (ctx) => [
          await ctx.call(child, undefined, { id: "c-1" }),
          await ctx.wait(go),
        ]);
        yield* stage.work([parent, child]);
        const started = yield* stage.start(parent);
        yield* until(
          "the child has ended",
          Effect.map(describe(started), ({ reason }) => reason === "signal"),
        );
        const of = stage.follow(ExecutionId.make(`${child.name}/c-1`));
        for (let i = 0; i < 3; i++) yield* askAgain(of, started, child.name);
        const echo = yield* stage.start(child);
        yield* resultOf(echo);
        yield* signal(started, "go", 2);
        assert.deepEqual(yield* resultOf(started), [1, 2]);
        const ends = (yield* historyOf(started)).filter(({ kind }) => kind === "child");
        assert.equal(ends.length, 1);
        assert.deepEqual((yield* kindsOf(of)).filter((kind) => kind === "done"), ["done"]);
      }));

    test("a child that an attempt calls anew, under the id that it has, tells its end anew", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const child = stage.actor("child", () => {
          runs++;
          throw new Error("no");
        });
        const parent = stage.actor(
          "parent",
          (ctx) => ctx.call(child, undefined, { id: "c-1" }),
          { retry: { attempts: 3, delay: "1 second" } },
        );
        yield* stage.work([parent, child]);
        const started = yield* stage.start(parent);
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionFailed");
        assert.equal((yield* describe(started)).attempt, 2);
        assert.equal(runs, 1);
      }));

    test("what a child is started with reaches it", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (ctx, input: number) => `${ctx.tenant} ${input}`);
        const parent = stage.actor("parent", (ctx) =>
          ctx.call(child, 5, { id: "c-1", tags: { "team.name": "x" }, requires: ["gpu"] }));
        yield* stage.work([parent, child], { capabilities: ["gpu"] });
        const started = yield* stage.start(parent);
        assert.equal(yield* resultOf(started), `${started.tenant} 5`);
        const found = yield* describe(stage.follow(ExecutionId.make(`${child.name}/c-1`)));
        assert.deepEqual([found.tags, found.requires], [{ "team.name": "x" }, ["gpu"]]);
      }));

    test("a child whose actor nobody has waits for one who does, and its parent with it", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", () => "found");
        const parent = stage.actor("parent", (ctx) => ctx.call(child, undefined, { id: "c-1" }));
        yield* stage.work([parent], { residentGrace: atOnce });
        const started = yield* stage.start(parent);
        yield* untilStatus(started, "suspended");
        stage.follow(ExecutionId.make(`${child.name}/c-1`));
        yield* stage.work([child]);
        assert.equal(yield* resultOf(started), "found");
      }));

    test("a parent that dies while its step runs finds its child's end", (stage) =>
      Effect.gen(function* () {
        const { open, passed } = gate();
        const child = stage.actor("child", () => "done");
        const parent = stage.actor("parent", async (ctx) => {
          const spawned = await ctx.spawn(child, undefined, { id: "c-1" });
          await ctx.run("slow", () => passed);
          return spawned.result();
        });
        const worker = yield* stage.work([parent, child]);
        const started = yield* stage.start(parent);
        const of = stage.follow(ExecutionId.make(`${child.name}/c-1`));
        yield* until(
          "the child has ended",
          Effect.option(describe(of)).pipe(
            Effect.map((found) => found._tag === "Some" && found.value.status === "completed"),
          ),
        );
        open();
        yield* worker.leave;
        yield* stage.work([parent, child]);
        assert.equal(yield* resultOf(started), "done");
      }));
  });
};
