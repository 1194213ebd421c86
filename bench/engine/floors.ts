/**
 * How fast anything can be that does what an engine must: the bare spike, with one duty after another,
 * and the engine beside it.
 */
import process from "node:process";
import { connect } from "@weir/weir";
import type { Durability } from "../../streams/server.ts";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";
import { all, steps } from "./actors.ts";
import { addRound, type Figures, loads, noFigures, observe } from "./rates.ts";
import { type Duties, startSpike } from "./spike.ts";

export interface Floor extends Figures {
  readonly name: string;
  readonly durability: Durability;
  readonly inFlight: number;
}

const spikes: ReadonlyArray<readonly [name: string, Duties]> = [
  ["bare spike, 3 steps", {}],
  ["with an id for each message", { ids: true }],
  ["and what is left behind an end", { ids: true, leavings: true }],
  ["and two that hear what is stored", { ids: true, leavings: true, heard: true }],
];

export const measureFloors = async (
  durability: Durability,
  { rounds, milliseconds }: { readonly rounds: number; readonly milliseconds: number },
): Promise<ReadonlyArray<Floor>> => {
  const server = await scratchServer({ durability });
  const of = { ours: [process.pid], servers: [server.pid!] };
  const running = await Promise.all(spikes.map(async ([name, duties], i) => {
    const { execute, close } = await startSpike(server.url, durability, duties, `spike${i}`);
    return { name, execute: () => execute(), close };
  }));
  const weir = await connect({ servers: server.url, durability });
  const worker = await weir.worker(all);
  const engine = {
    name: "Weir",
    execute: async () => void await (await weir.start(steps, 3)).result(),
    close: async () => {
      await worker.close();
      await weir.close();
    },
  };
  const found = [...running, engine].map(({ name, ...contestant }) => ({
    ...contestant,
    floors: loads.map((inFlight): Floor => ({ name, durability, inFlight, ...noFigures() })),
  }));
  for (let round = 0; round <= rounds; round++) {
    for (const [i, inFlight] of loads.entries()) {
      for (const { execute, floors } of found) {
        const seen = await observe(execute, inFlight, milliseconds, of);
        if (round > 0) addRound(floors[i]!, seen); // The first warms up.
      }
    }
    say(`${durability}: round ${round} of ${rounds}`);
  }
  for (const { close } of found) await close();
  await server.stop();
  return found.flatMap(({ floors }) => floors);
};
