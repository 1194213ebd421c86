/** `weir ls` on a namespace of many executions. */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { layer } from "../../actors/layer.ts";
import { Tenant } from "../../schema/ids.ts";
import { ExecutionIndex } from "../../streams/execution_index.ts";
import { eventually, listAll, start } from "../conformance/execution_index/matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { objects, weir } from "./command_line.ts";

const executions = process.env.WEIR_TEST_FULL === "1" ? 100_000 : 2_500;
const tenant = Tenant.make("default");

const fill = Effect.gen(function* () {
  const { project } = yield* ExecutionIndex;
  const projector = yield* Effect.forkChild(project);
  yield* Effect.forEach(
    Array.from({ length: executions }, (_, number) => number),
    (number) =>
      start(tenant, `order/o-${number}`, { tags: number % 1_000 === 0 ? { "a.b": "c" } : {} }),
    { concurrency: 64, discard: true },
  );
  const listed = Effect.map(listAll({ tenant }, 1_000), (found) => found.length);
  yield* eventually(listed, executions, "3 minutes");
  yield* Fiber.interrupt(projector);
});

describe(`weir ls of ${executions} executions`, () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    const runtime = ManagedRuntime.make(layer({ servers: server.url }));
    await runtime.runPromise(fill);
    await runtime.dispose();
  });
  after(() => server.stop());

  const ls = (...words: ReadonlyArray<string>) =>
    weir(["ls", "--server", server.url, "--json", ...words]);
  const idsIn = (text: string) => objects(text).map(({ execution }) => String(execution));

  it("prints a page of 50 and where the next begins", async () => {
    const { exitCode, stdout, stderr } = await ls();
    assert.deepEqual([exitCode, idsIn(stdout).length], [0, 50]);
    const [{ next }] = objects(stderr) as [{ next: string }];
    const second = await ls("--from", next);
    assert.equal(new Set([...idsIn(stdout), ...idsIn(second.stdout)]).size, 100);
  });

  it("prints all of them, each once, newest first", async () => {
    const { stdout, stderr } = await ls("--all");
    assert.equal(new Set(idsIn(stdout)).size, executions);
    assert.equal(idsIn(stdout).length, executions);
    const times = objects(stdout).map(({ startedAt }) => Number(startedAt));
    assert.ok(times.every((at, index) => index === 0 || at <= times[index - 1]!));
    assert.deepEqual(Object.keys(objects(stderr)[0]!), ["asOf"]);
  });

  it("prints more than a page of the index, and no more than it was asked for", async () => {
    assert.equal(idsIn((await ls("--limit", "1234")).stdout).length, 1_234);
  });

  it("finds the few among the many", async () => {
    const wanted = Array.from(
      { length: Math.ceil(executions / 1_000) },
      (_, n) => `order/o-${n}000`,
    );
    wanted[0] = "order/o-0";
    assert.deepEqual(
      new Set(idsIn((await ls("--tag", "a.b=c")).stdout)),
      new Set(wanted.slice(-50)),
    );
    assert.deepEqual(idsIn((await ls("--status", "failed")).stdout), []);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
