import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type { Lease } from "../../streams/lease.ts";
import { type Appended, type Guard, Log, type Message } from "../../streams/log.ts";
import { randomMessageId } from "../../streams/message_id.ts";
import type { Durability } from "../../streams/server.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import {
  append,
  appendAll,
  message,
  newExecution,
  own,
  type Services,
  stored,
  storedTexts,
} from "../fixtures/log_client.ts";
import { openProxiedLog, type ProxiedLog } from "../fixtures/proxied_log.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

type Act<A> = Effect.Effect<A, unknown, Services>;

/** Runs a file's tests of one kind of server with a log of their own. */
const onServer = (
  durability: Durability,
  tests: (test: (title: string, run: (log: ProxiedLog) => Promise<void>) => void) => void,
): void => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability }));
  after(() => server.stop());
  tests((title, run) =>
    it(title, async () => {
      const log = await openProxiedLog(server, durability);
      try {
        await run(log);
      } finally {
        await log.close();
      }
    })
  );
};

const newExecutions = ({ witness }: ProxiedLog, count: number) =>
  witness.runPromise(Effect.replicateEffect(newExecution, count));

/** Makes appends of many executions in one step, so that all but the first wait for the disk together. */
const appendTogether = (
  { client }: ProxiedLog,
  appends: ReadonlyArray<readonly [Address, ...ReadonlyArray<Message>]>,
): Promise<ReadonlyArray<Exit.Exit<Appended, unknown>>> =>
  client.runPromise(
    Effect.flatMap(Log, (log) =>
      Effect.forEach(
        appends,
        ([execution, ...messages]) => Effect.exit(appendAll(log, execution, messages)),
        { concurrency: "unbounded" },
      )),
  );

const sequencesOf = (exits: ReadonlyArray<Exit.Exit<Appended, unknown>>) =>
  exits.map((exit) => Exit.isSuccess(exit) ? exit.value.sequence : exit.cause);

const storedSequences = ({ witness }: ProxiedLog, executions: ReadonlyArray<Address>) =>
  witness.runPromise(
    Effect.forEach(executions, (execution) =>
      Effect.map(
        stored(executionFilter(execution)),
        (entries) => entries.map(({ sequence }) => sequence),
      )),
  );

const sharedCommits = ({ appends }: ProxiedLog) =>
  appends.sent.filter(({ commits }) => commits).length;

describe("appends that share a commit", () =>
  onServer("power-safe", (test) => {
    const losses = {
      "its answer is lost with the connection": { lost: "answer", verdict: "cut" },
      "its request is lost with the connection": { lost: "request", verdict: "cut" },
      "its answer never comes, though the connection holds": { lost: "answer", verdict: "lose" },
    } as const;
    for (const [loss, { lost, verdict }] of Object.entries(losses)) {
      test(`are each stored once when ${loss}`, async (log) => {
        const executions = await newExecutions(log, 40);
        const leases = await log.client.runPromise(
          Effect.forEach(
            executions,
            (execution, i): Act<Lease | undefined> =>
              i % 2 === 0 ? own(execution) : Effect.undefined,
          ),
        );
        let isLost = false;
        const lose = (isCommit: boolean) => {
          if (isLost || !isCommit) return "pass";
          isLost = true;
          return verdict;
        };
        if (lost === "answer") log.appends.onAnswer = (body) => lose(body.includes(`"batch":`));
        else log.appends.onAppend = ({ commits }) => lose(commits);
        const exits = await appendTogether(
          log,
          executions.map((execution, i) => {
            const fence = leases[i]?.fence;
            return fence === undefined
              ? [execution, message("event", { after: 0 })]
              : [execution, message("log", fence)];
          }),
        );
        assert.ok(isLost);
        assert.deepEqual(
          await storedSequences(log, executions),
          sequencesOf(exits).map((sequence) => [sequence]),
        );
      });
    }

    test("attack 19: one stale member among 100 is refused, and nobody else", async (log) => {
      const executions = await newExecutions(log, 100);
      const stale = 61;
      const leases = await log.client.runPromise(
        Effect.forEach(executions, own, { concurrency: "unbounded" }),
      );
      const moved = leases[stale]!.fence;
      await log.witness.runPromise(append(executions[stale]!, message("lease", moved)));
      const before = sharedCommits(log);
      const exits = await appendTogether(
        log,
        leases.map(({ execution, fence }) => [execution, message("log", fence)]),
      );
      assert.ok(sharedCommits(log) > before);
      const refused = exits.flatMap((exit, i) => Exit.isSuccess(exit) ? [] : [i]);
      assert.deepEqual(refused, [stale]);
      assert.deepEqual(
        await storedSequences(log, executions),
        sequencesOf(exits).map((sequence, i) => i === stale ? [] : [sequence]),
      );
      assert.ok(moved.lost);
      assert.deepEqual(leases.filter(({ fence }) => fence.lost).length, 1);
    });

    test("attack 19: one that is stored already fails nobody else", async (log) => {
      const executions = await newExecutions(log, 100);
      const known = 61;
      const ids = executions.map(() => randomMessageId());
      const messages = executions.map((execution, i) =>
        [execution, { ...message("mail"), id: ids[i]! }] as const
      );
      const [, twice] = messages[known]!;
      const earlier = await log.witness.runPromise(append(executions[known]!, twice));
      const exits = await appendTogether(log, messages);
      assert.ok(sharedCommits(log) > 0);
      assert.equal(sequencesOf(exits)[known], earlier);
      assert.deepEqual(
        exits.flatMap((exit, i) => Exit.isSuccess(exit) && exit.value.duplicate ? [i] : []),
        [known],
      );
      assert.deepEqual(
        await storedSequences(log, executions),
        sequencesOf(exits).map((sequence) => [sequence]),
      );
    });
  }));

describe("a batch of which the server knows an id", () =>
  onServer("bounded", (test) => {
    const guards: Readonly<Record<string, (of: Address) => Act<Guard | undefined>>> = {
      "on the last one": () => Effect.succeed({ after: 0 }),
      "under a fence": (execution) => Effect.map(own(execution), ({ fence }) => fence),
      "without a guard": () => Effect.undefined,
    };
    for (const [name, guardOf] of Object.entries(guards)) {
      const batch = (guard: Guard | undefined) =>
        [message("event", guard, "first"), message("event", undefined, "second")].map((each) => ({
          ...each,
          id: randomMessageId(),
        }));

      test(`all of which it knows is a repetition, ${name}`, async (log) => {
        const [execution] = await newExecutions(log, 1);
        const messages = batch(await log.client.runPromise(guardOf(execution!)));
        const twice = await log.client.runPromise(
          Effect.flatMap(Log, (log) =>
            Effect.replicateEffect(log.appendBatch(execution!, messages), 2)),
        );
        const [first, again] = twice;
        assert.deepEqual(again, { sequence: first!.sequence, duplicate: true });
        assert.deepEqual(
          await log.witness.runPromise(storedTexts(execution!)),
          ["first", "second"],
        );
      });

      for (const [known, which] of ["first", "second"].entries()) {
        test(`but only the ${which}, leaves nothing, ${name}`, async (log) => {
          const [execution, other] = await newExecutions(log, 2);
          const messages = batch(await log.client.runPromise(guardOf(execution!)));
          const id = messages[known]!.id;
          await log.witness.runPromise(append(other!, { ...message("mail"), id }));
          const error = await log.client.runPromise(
            Effect.flip(append(execution!, ...messages)),
          );
          assert.equal(error._tag, "ServerRefused");
          assert.deepEqual(await log.witness.runPromise(storedTexts(execution!)), []);
        });
      }
    }
  }));

describe("what is in flight", () => {
  const maxMessages = 4_096;
  const maxBytes = 16 * 1024 * 1024;
  const sizes = [
    { appends: 5_000, bytes: 10, limit: maxMessages },
    { appends: 200, bytes: 100 * 1024, limit: Math.ceil(maxBytes / (100 * 1024)) },
  ];
  onServer("bounded", (test) => {
    for (const { appends, bytes, limit } of sizes) {
      test(`${appends} appends of ${bytes} bytes: never above the limit`, async (log) => {
        const executions = await newExecutions(log, appends);
        log.appends.onAnswer = () => "hold";
        const outcomes = appendTogether(
          log,
          executions.map((execution) => [execution, {
            kind: "log",
            body: new Uint8Array(bytes),
          }]),
        );
        await log.allSent();
        assert.equal(log.appends.sent.length, limit);
        log.appends.onAnswer = () => "pass";
        log.proxy.release();
        assert.ok((await outcomes).every(Exit.isSuccess));
        assert.equal(log.appends.sent.length, appends);
      });
    }
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
