/** How long `connect()` takes: with a fresh store, with the server's store there, and warm. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@weir/weir";

export const measureStartUp = async (rounds: number) => {
  const fresh: Array<number> = [];
  const warm: Array<number> = [];
  for (let round = 0; round <= rounds; round++) {
    const store = await mkdtemp(join(tmpdir(), "weir-bench-"));
    const timed = async (into: Array<number>) => {
      const start = performance.now();
      const weir = await connect({ embedded: { store } });
      if (round > 0) into.push(performance.now() - start);
      return weir;
    };
    const first = await timed(fresh);
    const second = await timed(warm);
    await second.close();
    await first.close();
    await rm(store, { recursive: true, force: true });
  }
  return {
    "cold: starts the embedded server on a fresh store": fresh,
    "warm: the server runs already": warm,
  };
};
