import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { Log } from "../../streams/log.ts";
import type { LogOptions } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import { executionFilter } from "../../streams/subjects.ts";
import { append, message, newExecution } from "../fixtures/log_client.ts";
import { openProxiedLog, type ProxiedLog } from "../fixtures/proxied_log.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { Ledger } from "./ledger.ts";
import { chance, named, type Point, pointsAmong } from "./seed.ts";
import { work, written } from "./workload.ts";

const appends = 1_000;
const points = process.env["WEIR_TEST_FULL"] === "1" ? 50 : 4;

const withServer = async (
  durability: Durability,
  options: LogOptions,
  test: (server: ScratchServer, log: ProxiedLog) => Promise<void>,
): Promise<void> => {
  const server = await scratchServer({ durability });
  const log = await openProxiedLog(server, durability, options);
  try {
    await test(server, log);
  } finally {
    await log.close();
    await server.stop();
  }
};

/** Loses the server's answers until one is lost, or nobody awaits one any more. */
const loseAnAnswer = async ({ appends }: ProxiedLog, isOver: () => boolean): Promise<void> => {
  let isLost = false;
  appends.onAnswer = () => {
    isLost = true;
    return "lose";
  };
  await eventually("an answer is lost", () => isLost || isOver() || undefined);
};

/** Kills the server at each point in turn and starts it again, while the writer goes on. */
const executioner = (server: ScratchServer, log: ProxiedLog, points: ReadonlyArray<Point>) => {
  const left = [...points];
  let isOver = false;
  let work = Promise.resolve();
  const strike = async ({ moment, turns }: Point) => {
    if (moment === "landed") await loseAnAnswer(log, () => isOver);
    for (let turn = 0; turn < turns; turn++) await setImmediate();
    await server.kill();
    log.appends.onAnswer = () => "pass";
    await server.restart();
  };
  const seen = { handed: 0, acked: 0 };
  const reached = (what: keyof typeof seen) => (count: number): void => {
    seen[what] = Math.max(seen[what], count);
    for (let [next] = left; next !== undefined; [next] = left) {
      if (next.count > seen[next.moment === "acked" ? "acked" : "handed"]) return;
      const point = left.shift()!;
      work = work.then(() => strike(point));
    }
  };
  return {
    handed: reached("handed"),
    acked: reached("acked"),
    /** The points that were not reached, once the writer is done and the last restart too. */
    end: async (): Promise<ReadonlyArray<Point>> => {
      isOver = true;
      await work;
      return left;
    },
  };
};

describe("a server that is killed under a writer", () => {
  for (const durability of ["bounded", "power-safe"] as const) {
    const title = `${appends} appends, ${points} kills, ${durability}`;
    it(`${title}: all are stored once and in order (${named})`, () =>
      withServer(durability, {}, async (server, log) => {
        const ledger = new Ledger();
        const chosen = pointsAmong(appends, points, chance(title));
        const { handed, acked, end } = executioner(server, log, chosen);
        const report = ledger.enter;
        await log.client.runPromise(work({ appends, takeOver: "expiry", report, handed, acked }));
        assert.deepEqual(await end(), []);
        assert.deepEqual(ledger.failures, []);
        assert.equal(ledger.stored, appends);
        assert.deepEqual(ledger.disagreements(await log.witness.runPromise(written)), []);
      }));

    it(`a writer that gives up before the server is back is told no untruth, ${durability}`, () =>
      withServer(durability, { giveUpAfter: "50 millis" }, async (server, log) => {
        const ledger = new Ledger();
        let outages = 0;
        let outage: Promise<void> | undefined;
        const untilGivenUp = async () => {
          const known = ledger.failures.length;
          await loseAnAnswer(log, () => false);
          await server.kill();
          log.appends.onAnswer = () => "pass";
          const givenUp = () => ledger.failures.length > known ? true : undefined;
          await eventually("an append is given up", givenUp);
          await server.restart();
          outages++;
          outage = undefined;
        };
        await log.client.runPromise(work({
          appends: 120,
          takeOver: "revocation",
          report: ledger.enter,
          handed: () => {
            if (ledger.stored >= 30 * (outages + 1)) outage ??= untilGivenUp();
          },
        }));
        await outage;
        assert.ok(outages > 0);
        assert.deepEqual(ledger.disagreements(await log.witness.runPromise(written)), []);
      }));

    it(`a history that is read meanwhile is read whole, ${durability}`, () =>
      withServer(durability, {}, async (server, { client }) => {
        let restart: Promise<void> | undefined;
        const events = await client.runPromise(Effect.gen(function* () {
          const log = yield* Log;
          const execution = yield* newExecution;
          yield* append(execution, ...Array.from({ length: 1_000 }, () => message("event")));
          return yield* log.read(executionFilter(execution)).pipe(
            // The first page is here, the next ones are not.
            Stream.tap(() => Effect.sync(() => restart ??= server.kill().then(server.restart))),
            Stream.runCollect,
          );
        }));
        await restart;
        assert.deepEqual(events.map(({ sequence }) => sequence), events.map((_, i) => i + 1));
        assert.equal(events.length, 1_000);
      }));
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
