import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import process from "node:process";
import { describe, it } from "node:test";
import type { LogOptions } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import { type Client, openClient } from "../fixtures/log_client.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { Ledger } from "./ledger.ts";
import { chance, named, type Point, pointsAmong } from "./seed.ts";
import { work, written } from "./workload.ts";

const appends = 1_000;
const points = process.env["WEIR_TEST_FULL"] === "1" ? 50 : 4;

/** Kills the server at each point in turn and starts it again, while the writer goes on. */
const executioner = (server: ScratchServer, points: ReadonlyArray<Point>) => {
  const left = [...points];
  let work = Promise.resolve();
  const at = (moment: Point["moment"]) => (count: number): void => {
    const [next] = left;
    if (next === undefined || next.moment !== moment || count < next.count) return;
    left.shift();
    work = work.then(async () => {
      for (let turn = 0; turn < next.turns; turn++) await setImmediate();
      await server.kill();
      await server.restart();
    });
  };
  return {
    handed: at("handed"),
    acked: at("acked"),
    /** The points that were not reached, once the last restart is done. */
    left: (): Promise<ReadonlyArray<Point>> => work.then(() => left),
  };
};

const withServer = async (
  durability: Durability,
  options: LogOptions,
  test: (server: ScratchServer, client: Client) => Promise<void>,
): Promise<void> => {
  const server = await scratchServer({ durability });
  const client = openClient({ servers: server.url, durability }, options);
  try {
    await test(server, client);
  } finally {
    await client.dispose();
    await server.stop();
  }
};

describe("a server that is killed under a writer", () => {
  for (const durability of ["bounded", "power-safe"] as const) {
    const title = `${appends} appends, ${points} kills, ${durability}`;
    it(`${title}: all are stored once and in order (${named})`, () =>
      withServer(durability, {}, async (server, client) => {
        const ledger = new Ledger();
        const chosen = pointsAmong(appends, points, chance(title));
        const { handed, acked, left } = executioner(server, chosen);
        const report = ledger.enter;
        await client.runPromise(work({ appends, takeOver: "expiry", report, handed, acked }));
        assert.deepEqual(await left(), []);
        assert.deepEqual(ledger.failures, []);
        assert.equal(ledger.stored, appends);
        assert.deepEqual(ledger.disagreements(await client.runPromise(written)), []);
      }));

    it(`a writer that gives up before the server is back is told no untruth, ${durability}`, () =>
      withServer(durability, { giveUpAfter: "50 millis" }, async (server, client) => {
        const ledger = new Ledger();
        let outages = 0;
        let outage: Promise<void> | undefined;
        const untilGivenUp = async () => {
          const known = ledger.failures.length;
          await server.kill();
          const givenUp = () => ledger.failures.length > known ? true : undefined;
          await eventually("an append is given up", givenUp);
          await server.restart();
          outages++;
          outage = undefined;
        };
        await client.runPromise(work({
          appends: 120,
          takeOver: "revocation",
          report: ledger.enter,
          handed: () => {
            if (ledger.stored >= 30 * (outages + 1)) outage ??= untilGivenUp();
          },
        }));
        await outage;
        assert.ok(outages > 0);
        assert.deepEqual(ledger.disagreements(await client.runPromise(written)), []);
      }));
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
