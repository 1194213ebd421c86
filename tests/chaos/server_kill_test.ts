import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import process from "node:process";
import { describe, it } from "node:test";
import type { Durability } from "../../streams/server.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { type Client, openClient } from "./client.ts";
import { Ledger } from "./ledger.ts";
import { chance, named, type Point, pointsAmong } from "./seed.ts";
import { work, written } from "./workload.ts";

const appends = 1_000;
const points = process.env["WEIR_TEST_FULL"] === "1" ? 50 : 4;

/** Kills the server at each point in turn and starts it again, while the writer goes on. */
class Executioner {
  readonly #server: ScratchServer;
  readonly #points: Array<Point>;
  readonly #beforeRestart: () => Promise<unknown>;
  #work: Promise<void> = Promise.resolve();
  kills = 0;

  constructor(
    server: ScratchServer,
    points: ReadonlyArray<Point>,
    beforeRestart: () => Promise<unknown> = () => Promise.resolve(),
  ) {
    this.#server = server;
    this.#points = [...points];
    this.#beforeRestart = beforeRestart;
  }

  readonly at = (moment: Point["moment"]) => (count: number): void => {
    const [next] = this.#points;
    if (next === undefined || next.moment !== moment || count < next.count) return;
    this.#points.shift();
    this.#work = this.#work.then(async () => {
      for (let turn = 0; turn < next.turns; turn++) await setImmediate();
      await this.#server.kill();
      this.kills++;
      await this.#beforeRestart();
      await this.#server.restart();
    });
  };

  /** Waits for the restart that is under way. */
  readonly done = (): Promise<void> => this.#work;
}

const withServer = async (
  durability: Durability,
  giveUpAfterMs: number | undefined,
  test: (server: ScratchServer, client: Client) => Promise<void>,
): Promise<void> => {
  const server = await scratchServer({ durability });
  const client = openClient(
    { servers: server.url, durability },
    giveUpAfterMs === undefined ? {} : { giveUpAfterMs },
  );
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
      withServer(durability, undefined, async (server, client) => {
        const ledger = new Ledger();
        const chosen = pointsAmong(appends, points, chance(title));
        const executioner = new Executioner(server, chosen);
        await client.runPromise(work({
          appends,
          takeOver: "expiry",
          report: ledger.enter,
          handed: executioner.at("handed"),
          acked: executioner.at("acked"),
        }));
        await executioner.done();
        assert.equal(executioner.kills, points);
        assert.deepEqual(ledger.failures, []);
        assert.equal(ledger.stored, appends);
        assert.deepEqual(ledger.disagreements(await client.runPromise(written)), []);
      }));
  }

  for (const durability of ["bounded", "power-safe"] as const) {
    const impatientAppends = 120;
    const outages = 3;
    const title = `a writer that gives up during ${outages} outages, ${durability}`;
    it(`${title}, is told no untruth (${named})`, () =>
      withServer(durability, 50, async (server, client) => {
        const ledger = new Ledger();
        const chosen = pointsAmong(impatientAppends, outages, chance(title));
        const executioner = new Executioner(server, chosen.slice(0, -1), () => {
          const known = ledger.failures.length;
          return eventually(
            "an append is given up",
            () => ledger.failures.length > known ? true : undefined,
          );
        });
        await client.runPromise(work({
          appends: impatientAppends,
          takeOver: "revocation",
          report: ledger.enter,
          handed: executioner.at("handed"),
          acked: executioner.at("acked"),
        }));
        await executioner.done();
        assert.ok(executioner.kills > 0);
        assert.deepEqual(ledger.disagreements(await client.runPromise(written)), []);
      }));
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
