import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  actor,
  connect,
  ExecutionNotFound,
  InvalidCursor,
  type OutputFrame,
  type Run,
  signal,
  StreamDisconnected,
  type Weir,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const question = signal<string>("question");

/** Stands for a model that answers token by token. */
async function* tokensOf(asked: string): AsyncGenerator<string> {
  for (const word of asked.toUpperCase().split(" ")) {
    await sleep(1);
    yield word;
  }
}

const chat = actor("chat", async (ctx) => {
  const answers: Array<string> = [];
  for (;;) {
    await ctx.emit("progress", { answers: answers.length });
    const asked = await ctx.wait(question);
    if (asked === "bye") return answers;
    answers.push(
      await ctx.run("answer", async ({ emit }) => {
        let answer = "";
        for await (const token of tokensOf(asked)) {
          answer += token;
          await emit("tokens", token);
        }
        return answer;
      }),
    );
  }
});

const collect = async (run: Run, name: string, after?: string) => {
  const frames: Array<OutputFrame> = [];
  for await (const frame of run.output(name, after === undefined ? {} : { after })) {
    frames.push(frame);
  }
  return frames;
};

const framesOf = (frames: ReadonlyArray<OutputFrame>) => frames.map(({ frame }) => frame);

const talk = async (run: Run) => {
  for (const asked of ["how are you", "what is new", "bye"]) await run.signal(question, asked);
};

const told = ["HOW", "ARE", "YOU", "WHAT", "IS", "NEW"];

describe("outputs on the embedded server", () => {
  let store: string;
  let weir: Weir;
  before(async () => {
    store = await scratchStore();
    weir = await connect({ embedded: { store } });
    await weir.worker([chat], { residentGrace: "1 millis" });
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  it("tokens are read as they come, by many, until the execution has ended", async () => {
    const run = await weir.start(chat, undefined, { id: randomUUID() });
    const readers = Array.from({ length: 10 }, () => collect(run, "tokens"));
    await talk(run);
    for (const frames of await Promise.all(readers)) {
      assert.deepEqual(framesOf(frames), told);
      assert.deepEqual(frames.map(({ step, index }) => `${step} ${index}`), [
        ...[0, 1, 2].map((index) => `answer ${index}`),
        ...[0, 1, 2].map((index) => `answer#2 ${index}`),
      ]);
    }
    const progress = await collect(run, "progress");
    assert.deepEqual(framesOf(progress), [0, 1, 2].map((answers) => ({ answers })));
    assert.deepEqual(await run.result(), ["HOWAREYOU", "WHATISNEW"]);
  });

  it("who comes back goes on behind a cursor, and who leaves early is not waited for", async () => {
    const run = await weir.start(chat, undefined, { id: randomUUID() });
    await run.signal(question, "one two three");
    let cursor: string | undefined;
    for await (const { frame, cursor: here } of run.output("tokens")) {
      cursor = here;
      if (frame === "TWO") break;
    }
    const rest = collect(weir.get(chat, run.id.split("/")[1]!), "tokens", cursor);
    await run.signal(question, "bye");
    assert.deepEqual(framesOf(await rest), ["THREE"]);
    await assert.rejects(collect(run, "tokens", "no cursor"), InvalidCursor);
    await assert.rejects(collect(weir.get(chat, "nobody"), "tokens"), ExecutionNotFound);
  });

  it("a reader whose connection is closed is told where it was", async () => {
    const run = await weir.start(chat, undefined, { id: randomUUID() });
    await run.signal(question, "one");
    const away = await connect({ embedded: { store } });
    const frames = away.get(chat, run.id.split("/")[1]!).output("tokens")[Symbol.asyncIterator]();
    const first = await frames.next();
    const next = assert.rejects(
      frames.next(),
      (error) => error instanceof StreamDisconnected && error.cursor === first.value.cursor,
    );
    await away.close();
    await next;
    await run.signal(question, "bye");
    assert.deepEqual(await collect(run, "tokens", first.value.cursor), []);
  });
});

describe("outputs in memory", () => {
  it("a worker that dies between two steps repeats nothing", async () => {
    await using weir = await inMemory();
    const first = await weir.worker([chat]);
    const crashed = first.crashAt("answer#2", "after");
    const run = await weir.start(chat, undefined);
    const tokens = collect(run, "tokens");
    const progress = collect(run, "progress");
    await talk(run);
    await crashed;
    await weir.worker([chat]);
    await run.result();
    assert.deepEqual(framesOf(await tokens), told);
    assert.deepEqual(framesOf(await progress), [0, 1, 2].map((answers) => ({ answers })));
  });

  it("one that dies before a step is recorded emits the step's frames again", async () => {
    await using weir = await inMemory();
    const first = await weir.worker([chat]);
    const crashed = first.crashAt("answer#2", "before");
    const run = await weir.start(chat, undefined);
    const tokens = collect(run, "tokens");
    await talk(run);
    await crashed;
    await weir.worker([chat]);
    await run.result();
    const again = (await tokens).slice(6);
    assert.deepEqual(framesOf(again), told.slice(3));
    assert.deepEqual(again.map(({ index, number }) => [index, number]), [[0, 7], [1, 8], [2, 9]]);
  });

  it("who leaves while it waits is let go at once", async () => {
    await using weir = await inMemory();
    await weir.worker([chat]);
    const run = await weir.start(chat, undefined);
    const frames = run.output("tokens")[Symbol.asyncIterator]();
    await run.signal(question, "one");
    assert.equal((await frames.next()).value.frame, "ONE");
    const next = frames.next();
    assert.deepEqual(await frames.return!(), { done: true, value: undefined });
    assert.equal((await next).done, true);
  });
});
