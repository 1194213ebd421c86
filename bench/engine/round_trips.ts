/**
 * How many times something must pass between a party and the server, one after another, before an
 * operation is done. It is measured and not argued: on a way that is so many milliseconds longer, the
 * operation takes that much longer for each time.
 */
import { createServer, Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { connect, type Weir } from "@weir/weir";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { summarise } from "../statistics.ts";
import { all, caller, go, steps, tagger, teller, unserved, waiter } from "./actors.ts";

export interface RoundTrips {
  readonly operation: string;
  /** There and back is one. */
  readonly count: number;
}

const namespace = "bench";
const nearMs = 10;
const farMs = 40;
const repetitions = 5;

interface LongWay {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** A way to the server on which everything takes so long, in each direction. */
const startLongWay = async (serverPort: number, delayMs: number): Promise<LongWay> => {
  const sockets = new Set<Socket>();
  const relay = (from: Socket, to: Socket) => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (data: Uint8Array) => {
      setTimeout(() => {
        if (!to.destroyed) to.write(data);
      }, delayMs);
    });
    from.on("error", () => from.destroy());
    from.once("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const server = createServer((client) => {
    const upstream = new Socket().connect(serverPort, "127.0.0.1");
    relay(client, upstream);
    relay(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
};

/** What is timed, after what is not. */
type Operation = (weir: Weir) => Promise<() => Promise<unknown>>;

const atOnce = (timed: (weir: Weir) => Promise<unknown>): Operation => (weir) =>
  Promise.resolve(() => timed(weir));

const operations: Readonly<Record<string, Operation>> = {
  "`start`": atOnce((weir) => weir.start(steps, 0)),
  "start to result, no step": atOnce(async (weir) => (await weir.start(steps, 0)).result()),
  "start to result, 3 steps": atOnce(async (weir) => (await weir.start(steps, 3)).result()),
  "start to result, 9 steps": atOnce(async (weir) => (await weir.start(steps, 9)).result()),
  "start to result, a `tag`": atOnce(async (weir) =>
    (await weir.start(tagger, undefined)).result()
  ),
  "start to result, `now`": atOnce(async (weir) => (await weir.start(teller, undefined)).result()),
  "start to result, a `call`": atOnce(async (weir) =>
    (await weir.start(caller, undefined)).result()
  ),
  "`signal`": async (weir) => {
    const run = await weir.start(unserved, undefined, { unserved: true });
    return () => run.signal(go, 1);
  },
  "signal to result, resident": async (weir) => {
    const run = await weir.start(waiter, undefined);
    await eventually(
      "it waits",
      async () => (await run.describe()).waitingFor.length > 0 ? true : undefined,
    );
    return async () => {
      await run.signal(go, 1);
      await run.result();
    };
  },
  "`describe`": async (weir) => {
    const run = await weir.start(unserved, undefined, { unserved: true });
    return () => run.describe();
  },
};

const measureAt = async (serverPort: number, delayMs: number) => {
  const way = await startLongWay(serverPort, delayMs);
  const client = await connect({ servers: way.url, namespace });
  const server = await connect({ servers: way.url, namespace });
  const worker = await server.worker(all, { residentGrace: "30 seconds" });
  const took = new Map<string, number>();
  for (const [name, prepare] of Object.entries(operations)) {
    const times: Array<number> = [];
    for (let i = -1; i < repetitions; i++) {
      const timed = await prepare(client);
      const begun = performance.now();
      await timed();
      if (i >= 0) times.push(performance.now() - begun);
    }
    took.set(name, summarise(times).low);
  }
  await worker.close();
  await server.close();
  await client.close();
  await way.stop();
  return took;
};

export const measureRoundTrips = async (): Promise<ReadonlyArray<RoundTrips>> => {
  const { port, stop } = await scratchServer({ durability: "bounded" });
  const near = await measureAt(port, nearMs);
  const far = await measureAt(port, farMs);
  await stop();
  return [...near].map(([operation, tookMs]) => ({
    operation,
    count: (far.get(operation)! - tookMs) / (2 * (farMs - nearMs)),
  }));
};
