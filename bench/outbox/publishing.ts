/**
 * Events per second from the first that is added until the last is marked as sent, and how long one
 * by itself takes, by the store's own clock: with the manager and with a naive loop, in one process
 * and in four, on each store and each transport. And how fast events are added while nobody publishes.
 */
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { layer as layerService, OutboxService } from "../../streams/outbox/service.ts";
import type { Durability } from "../../streams/server.ts";
import { scratchPostgres } from "../../tests/fixtures/postgres.ts";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { processorTime } from "../engine/worker_process.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";
import { startPublisher, type Way } from "./publisher_process.ts";
import { fatesOf, layerStore, type Store, target, type Transport } from "./stores.ts";

export interface OutboxOptions {
  readonly rounds: number;
  /** How many events the manager has to publish in a round, and how many the loop. */
  readonly managed: number;
  readonly oneByOne: number;
}

/** The log under what it promises, or the database. */
export type StoreName = `log, ${Durability}` | "PostgreSQL";

/** Of each round. */
export interface Publishing {
  readonly store: StoreName;
  readonly transport: Transport["kind"];
  readonly way: Way;
  readonly workers: number;
  readonly perSecond: Array<number>;
  /** Milliseconds from added until marked, of events that were added one every 20 ms. */
  readonly p50: Array<number>;
  readonly p99: Array<number>;
  /** Processor time of all publishing processes for one event, in microseconds. */
  readonly processor: Array<number>;
}

/** Of each round: events that were added in a second. */
export interface Adding {
  readonly store: StoreName;
  readonly inFlight: number;
  readonly perSecond: Array<number>;
}

const ways = ["naive loop", "manager"] as const;
const workerCounts = [1, 4] as const;
const addedAtOnce = 64;
const single = { events: 25, everyMs: 20 } as const;
const deadlineMs = 120_000;

const payload = { order: "o-4711", cents: 4_200, currency: "EUR", note: "x".repeat(100) };

/** Adds events to a store. */
const openProducer = async (store: Store) => {
  const runtime = ManagedRuntime.make(layerService().pipe(Layer.provide(layerStore(store))));
  const { add } = await runtime.runPromise(OutboxService);
  const adding = (
    count: number,
    one: (i: number) => Effect.Effect<unknown, unknown>,
    atOnce: number,
  ) =>
    runtime.runPromise(
      Effect.forEach(Array.from({ length: count }, (_, i) => i), one, {
        concurrency: atOnce,
        discard: true,
      }),
    );
  return {
    add: (eventType: string, count: number, atOnce: number) =>
      adding(count, () => add(eventType, payload), atOnce),
    addPaced: (eventType: string, count: number, everyMs: number) =>
      adding(
        count,
        (i) => Effect.andThen(Effect.sleep(i * everyMs), add(eventType, payload)),
        count,
      ),
    close: () => runtime.dispose(),
  };
};

const untilSent = (store: Store, eventType: string, count: number) =>
  eventually(`${count} events are sent`, async () => {
    const fates = await fatesOf(store, eventType);
    const sentAts = fates.flatMap(({ sentAt }) => sentAt === undefined ? [] : [sentAt]);
    if (sentAts.length < count) return undefined;
    return {
      tookMs: Math.max(...sentAts) - Math.min(...fates.map(({ addedAt }) => addedAt)),
      eachMs: fates.map(({ addedAt, sentAt }) => sentAt! - addedAt),
    };
  }, deadlineMs);

/** Where the events of one durability go, and the stores that are tried with it. */
const openServer = async (durability: Durability) => {
  const server = await scratchServer({ durability });
  const nats = await connect({ servers: server.url });
  const manager = await jetstreamManager(nats);
  await manager.streams.add({
    name: target,
    subjects: [`${target}.>`],
    storage: StorageType.File,
  });
  const postgres = durability === "bounded" ? await scratchPostgres() : undefined;
  let made = 0;
  const logStore = (): Store => ({
    kind: "log",
    servers: server.url,
    durability,
    namespace: `outbox${made++}`,
  });
  const stores: Partial<Record<StoreName, () => Store>> = postgres === undefined
    ? { "log, power-safe": logStore }
    : {
      "log, bounded": logStore,
      PostgreSQL: () => ({
        kind: "postgres",
        connection: postgres.connection,
        table: `outbox${made++}`,
      }),
    };
  const transports: ReadonlyArray<Transport> = [
    { kind: "function" },
    { kind: "JetStream", servers: server.url },
  ];
  return {
    stores: Object.entries(stores) as ReadonlyArray<[StoreName, () => Store]>,
    transports,
    close: async () => {
      await nats.close();
      await server.stop();
      await postgres?.stop();
    },
  };
};

export const measureOutbox = async (
  durability: Durability,
  { rounds, managed, oneByOne }: OutboxOptions,
): Promise<{
  readonly publishing: ReadonlyArray<Publishing>;
  readonly adding: ReadonlyArray<Adding>;
}> => {
  const { stores, transports, close } = await openServer(durability);
  const all = await Promise.all(
    Array.from({ length: Math.max(...workerCounts) }, () => startPublisher()),
  );

  const publish = async (
    store: Store,
    { transport, way, workers }: {
      readonly transport: Transport;
      readonly way: Way;
      readonly workers: number;
    },
  ) => {
    const count = way === "manager" ? managed : oneByOne;
    const publishers = all.slice(0, workers);
    const producer = await openProducer(store);
    await Promise.all(
      publishers.map((each) => each.ask({ what: "begin", way, store, transport })),
    );
    await producer.addPaced("single", single.events, single.everyMs);
    const { eachMs } = await untilSent(store, "single", single.events);
    const times = publishers.map(({ pid }) => processorTime(pid));
    await producer.add("many", count, addedAtOnce);
    const { tookMs } = await untilSent(store, "many", count);
    const processor = publishers.reduce(
      (sum, { pid }, i) => sum + processorTime(pid) - times[i]!,
      0,
    );
    const published = await Promise.all(
      publishers.map((each) => each.ask<number>({ what: "end" })),
    );
    await producer.close();
    const total = published.reduce((sum, each) => sum + each, 0);
    if (total !== count + single.events) {
      throw new Error(`${total} publications of ${count + single.events} events`);
    }
    return {
      perSecond: count / tookMs * 1_000,
      p50: quantile(eachMs, 0.5),
      p99: quantile(eachMs, 0.99),
      processor: processor / count * 1e6,
    };
  };

  const add = async (store: Store, atOnce: number) => {
    const count = atOnce === 1 ? oneByOne : managed;
    const producer = await openProducer(store);
    await producer.add("first", 1, 1);
    const begun = performance.now();
    await producer.add("many", count, atOnce);
    const perSecond = count / (performance.now() - begun) * 1_000;
    await producer.close();
    return perSecond;
  };

  const adding = stores.flatMap(([name, make]) =>
    [1, addedAtOnce].map((inFlight) => {
      const measured: Adding = { store: name, inFlight, perSecond: [] };
      return { make, measured };
    })
  );
  const publishing = stores.flatMap(([name, make]) =>
    transports.flatMap((transport) =>
      workerCounts.flatMap((workers) =>
        ways.map((way) => {
          const measured: Publishing = {
            store: name,
            transport: transport.kind,
            way,
            workers,
            perSecond: [],
            p50: [],
            p99: [],
            processor: [],
          };
          return { make, transport, measured };
        })
      )
    )
  );
  for (let round = 0; round <= rounds; round++) {
    for (const { make, measured } of adding) {
      const perSecond = await add(make(), measured.inFlight);
      if (round > 0) measured.perSecond.push(perSecond); // The first is a warm-up.
    }
    for (const { make, transport, measured } of publishing) {
      const { way, workers } = measured;
      const seen = await publish(make(), { transport, way, workers });
      if (round === 0) continue;
      for (const figure of ["perSecond", "p50", "p99", "processor"] as const) {
        measured[figure].push(seen[figure]);
      }
    }
    say(`outbox, ${durability}: round ${round} of ${rounds}`);
  }
  for (const child of all) await child.close();
  await close();
  return {
    publishing: publishing.map(({ measured }) => measured),
    adding: adding.map(({ measured }) => measured),
  };
};
