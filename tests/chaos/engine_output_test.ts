import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { connect, type OutputFrame, type Run, StreamDisconnected } from "../../mod.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

const executions = 5;
const words = 300;

interface Word {
  readonly worker: string;
  readonly word: number;
}

/** Reads to the end, and shows what it has seen so far. */
const read = (run: Run, after?: string) => {
  const seen: Array<OutputFrame> = [];
  const ended = (async () => {
    const frames = run.output("speech", after === undefined ? {} : { after });
    for await (const frame of frames) seen.push(frame);
  })();
  ended.catch(() => {});
  return { run, seen, ended };
};

const outputOf = async (run: Run): Promise<ReadonlyArray<OutputFrame>> => {
  const { seen, ended } = read(run);
  await ended;
  return seen;
};

/** Each of two workers has said the words from the first on, the second after the first, and all. */
const isSpeechOf = (seen: ReadonlyArray<OutputFrame>, first: string, second: string): void => {
  assert.deepEqual(seen.map(({ number }) => number), seen.map((_, i) => i + 1));
  assert.equal(seen.at(0)?.frame, "begin");
  assert.equal(seen.at(-1)?.frame, "end");
  assert.deepEqual([seen.at(0)?.index, seen.at(-1)?.index], [0, 1]);
  const spoken = seen.slice(1, -1);
  const from = spoken.findIndex(({ frame }) => (frame as unknown as Word).worker === second);
  assert.ok(from > 0 && from < words, `${second} begins at ${from}`);
  assert.deepEqual(
    spoken.map(({ frame, index, step }) => ({ frame, index, step })),
    [
      ...Array.from({ length: from }, (_, word) => ({ worker: first, word })),
      ...Array.from({ length: words }, (_, word) => ({ worker: second, word })),
    ].map((frame) => ({ frame, index: frame.word, step: "words" })),
  );
};

it("readers see what an owner emitted before it was killed, and then all that the next one emits", async () => {
  await using scene = await openScene(server, {
    namespace: "killed",
    serve: { leaseTtl: "5 seconds" },
  });
  const { weir, actors: { speak } } = scene;
  const first = await scene.launch("first");
  const runs = await Promise.all(
    Array.from({ length: executions }, (_, i) => weir.start(speak, words, { id: `o-${i}` })),
  );
  const readers = runs.map((run) => read(run));
  await eventually(
    "all are in the middle",
    () => readers.every(({ seen }) => seen.length > 20) || undefined,
    30_000,
  );
  first.kill();
  await first.ended;
  const second = await scene.launch("second");
  await scene.inTime("their ends", Promise.all(readers.map(({ ended }) => ended)));
  for (const { run, seen } of readers) {
    isSpeechOf(seen, "first", "second");
    assert.deepEqual(await outputOf(run), seen);
  }
  await second.drain();
  await scene.noneIsStuck();
});

it("an owner that was frozen past its lease adds nothing to what the next one has emitted", async () => {
  await using scene = await openScene(server, {
    namespace: "frozen_speech",
    serve: { leaseTtl: "2 seconds" },
  });
  const { weir, actors: { speak, tally } } = scene;
  const first = await scene.launch("first");
  const runs = await Promise.all(
    Array.from({ length: executions }, (_, i) => weir.start(speak, words, { id: `o-${i}` })),
  );
  const readers = runs.map((run) => read(run));
  await eventually(
    "all are in the middle",
    () => readers.every(({ seen }) => seen.length > 20) || undefined,
    30_000,
  );
  first.freeze();
  const second = await scene.launch("second");
  await scene.inTime("their ends", Promise.all(readers.map(({ ended }) => ended)));
  for (const { seen } of readers) isSpeechOf(seen, "first", "second");
  await second.drain();
  first.thaw();
  const other = await weir.start(tally, { n: 1, napMs: 10 }, { id: "other" });
  assert.equal(await scene.inTime("the other", other.result()), 3);
  for (const { run, seen } of readers) assert.deepEqual(await outputOf(run), seen);
  await first.drain();
  await scene.noneIsStuck();
});

it("a reader whose connection is lost is told its cursor, and misses nothing behind it", async () => {
  const proxy = await startProxy(server.port);
  try {
    await using scene = await openScene(server, { namespace: "cut_reader" });
    const { weir, actors: { speak } } = scene;
    const worker = await scene.launch("worker");
    await using away = await connect({ servers: proxy.url, namespace: "cut_reader" });
    const { id } = await weir.start(speak, words, { id: "o-1" });
    const seen: Array<OutputFrame> = [];
    const cuts = 3;
    let told = 0;
    let cursor: string | undefined;
    for (;;) {
      const reader = read(away.get(speak, id.split("/")[1]!), cursor);
      if (told < cuts) {
        await eventually("it reads", () => reader.seen.length > 20 || undefined, 30_000);
        proxy.cut();
      }
      const error = await scene.inTime("its end", reader.ended.then(() => undefined, (e) => e));
      seen.push(...reader.seen);
      if (error === undefined) break;
      assert.ok(error instanceof StreamDisconnected, String(error));
      told++;
      cursor = error.cursor;
      assert.equal(cursor, seen.at(-1)!.cursor);
    }
    assert.deepEqual(seen, await outputOf(weir.get(speak, "o-1")));
    assert.equal(seen.length, words + 2);
    assert.equal(told, cuts);
    await worker.drain();
  } finally {
    await proxy.stop();
  }
});

it("a reader that does not go on is sent no more than a constant, and misses nothing in the end", async () => {
  const proxy = await startProxy(server.port);
  try {
    await using scene = await openScene(server, { namespace: "slow_reader" });
    const { weir, actors: { speak } } = scene;
    const worker = await scene.launch("worker");
    let sent = 0;
    proxy.toClient = ({ words: [subject = ""] }) => {
      if (subject.includes(".out.")) sent++;
      return "pass";
    };
    await using away = await connect({ servers: proxy.url, namespace: "slow_reader" });
    const many = 1_500;
    const run = await weir.start(speak, many, { id: "o-1" });
    const frames = away.get(speak, "o-1").output("speech")[Symbol.asyncIterator]();
    const first = await frames.next();
    const whole = await scene.inTime("its end", outputOf(run));
    assert.ok(sent < 600, `${sent} of ${many} were sent`);
    const seen = [first.value as OutputFrame];
    for (;;) {
      const next = await frames.next();
      if (next.done === true) break;
      seen.push(next.value);
    }
    assert.deepEqual(seen, whole);
    assert.equal(seen.length, many + 2);
    await worker.drain();
  } finally {
    await proxy.stop();
  }
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
