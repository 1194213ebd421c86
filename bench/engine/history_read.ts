/**
 * What it takes to read one execution whose records lie far apart, by how much else the stream holds:
 * kind by kind, as the engine does, and under a wildcard, as one would.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { readRecords } from "../../streams/execution_records.ts";
import { type Entry, Log, type ReadError } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { executionAddress, executionFilter } from "../../streams/subjects.ts";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";

export interface HistoryRead {
  readonly records: number;
  readonly how: "by kinds" | "wildcard";
  /** Milliseconds of each of the reads one after another. */
  readonly alone: ReadonlyArray<number>;
  /** Milliseconds a read, with 200 of them at once, of each round. */
  readonly crowded: ReadonlyArray<number>;
}

const tenant = Tenant.make("bench");
const body = new TextEncoder().encode(JSON.stringify({ pad: "x".repeat(150) }));
const kinds = ["mail", "log", "mail"] as const;
const atOnce = 200;

const elapsed = <E>(effect: Effect.Effect<unknown, E, Log>) =>
  Effect.map(Effect.timed(effect), ([took]) => Duration.toMillis(took));

const measure = (executions: number, rounds: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const addressOf = (i: number) =>
      executionAddress(log.layout, tenant, ExecutionId.make(`far/${i}`));
    for (const kind of kinds) {
      yield* Effect.forEach(
        Array.from({ length: executions }, (_, i) => i),
        (i) => log.append(addressOf(i), { kind, body }),
        { concurrency: 512, discard: true },
      );
    }
    const { sequence } = yield* log.tail(0);
    const any = () => addressOf(Math.floor(Math.random() * executions));
    const ways: Record<
      HistoryRead["how"],
      Effect.Effect<ReadonlyArray<Entry>, ReadError>
    > = {
      "by kinds": Effect.suspend(() => readRecords(log, any(), { through: sequence })),
      wildcard: Effect.suspend(() =>
        log.readThrough(executionFilter(any()), { through: sequence })
      ),
    };
    const found = new Map<HistoryRead["how"], { alone: Array<number>; crowded: Array<number> }>();
    for (let round = 0; round <= rounds; round++) {
      for (const how of ["by kinds", "wildcard"] as const) {
        const read = Effect.map(ways[how], (entries) => {
          if (entries.length !== kinds.length) throw new Error("records are missing");
          // Under a wildcard the server may take longer than a read waits.
        }).pipe(Effect.retry({ while: ({ _tag }) => _tag === "Unavailable" }));
        const times = found.get(how) ?? { alone: [], crowded: [] };
        if (round > 0) found.set(how, times);
        for (let i = 0; i < 20; i++) times.alone.push(yield* elapsed(read));
        const all = yield* elapsed(
          Effect.all(Array.from({ length: 2 * atOnce }, () => read), {
            concurrency: atOnce,
            discard: true,
          }),
        );
        times.crowded.push(all / (2 * atOnce));
      }
    }
    return [...found].map(([how, times]): HistoryRead => ({ records: sequence, how, ...times }));
  });

export const measureHistoryReads = async (
  executions: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<HistoryRead>> => {
  const measured: Array<HistoryRead> = [];
  for (const count of executions) {
    say(`reading one of ${count} executions`);
    const server = await scratchServer({ durability: "bounded" });
    const layer = layerJetStream({ namespace: Namespace.make("bench") }).pipe(
      Layer.provide(Connection.layer({ servers: server.url })),
    );
    measured.push(
      ...await Effect.runPromise(Effect.provide(measure(count, rounds), layer)),
    );
    await server.stop();
  }
  return measured;
};
