/**
 * `deno task endure`: random programs, killed and frozen workers and servers, round after round for as
 * long as one likes. A round that goes wrong is told with the command that repeats its programs.
 */
import { randomInt } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";
import { scratchServer } from "../fixtures/server.ts";
import { playRound } from "./endurance.ts";
import { chance } from "./seed.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    executions: { type: "string", default: "40" },
    misfortunes: { type: "string", default: "12" },
  },
});
const [minutes, seed, executions, misfortunes] = [
  values.minutes,
  values.seed,
  values.executions,
  values.misfortunes,
].map(Number) as [number, number, number, number];

if (![minutes, seed, executions, misfortunes].every((number) => number >= 0)) {
  console.error("--minutes, --seed, --executions and --misfortunes are numbers");
  process.exit(2);
}

const until = performance.now() + minutes * 60_000;
let ended = 0;
let struck = 0;
for (let round = 0; performance.now() < until; round++) {
  const happened: Array<string> = [];
  const server = await scratchServer({ durability: "bounded" });
  try {
    ended += await playRound({
      server,
      namespace: "endurance",
      seed: seed + round,
      chance: chance("endurance", seed + round),
      executions,
      misfortunes,
      say: (what) => void happened.push(what),
    });
    struck += happened.length;
    console.log(`round ${round}, seed ${seed + round}: ${ended} executions, ${struck} misfortunes`);
  } catch (error) {
    console.error(error);
    console.error(`after this:\n  ${happened.join("\n  ")}`);
    console.error(`again: deno task endure --minutes 0.01 --seed ${seed + round}`);
    process.exitCode = 1;
    break;
  } finally {
    await server.stop();
  }
}
console.log(`${ended} executions, ${struck} misfortunes, ${process.exitCode ? 1 : 0} violations`);
