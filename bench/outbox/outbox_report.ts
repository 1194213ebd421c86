/** What was measured of the outbox, as tables: `deno task bench outbox`. */
import { cell, keep, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Adding, measureOutbox, type OutboxOptions, type Publishing } from "./publishing.ts";

const median = (rounds: ReadonlyArray<number>): string => cell(summarise(rounds));

export const reportOutbox = async (options: OutboxOptions): Promise<void> => {
  const measured = [
    await measureOutbox("bounded", options),
    await measureOutbox("power-safe", options),
  ];
  const publishing = measured.flatMap((each) => each.publishing);
  const adding = measured.flatMap((each) => each.adding);
  tellPublishing(publishing);
  tellAdding(adding);
  await keep("outbox", { options, publishing, adding });
};

const tellPublishing = (publishing: ReadonlyArray<Publishing>): void => {
  const loopOf = (of: Publishing) =>
    publishing.find(({ store, transport, workers, way }) =>
      way === "naive loop" && store === of.store && transport === of.transport &&
      workers === of.workers
    )!;
  table(
    [
      "store",
      "to",
      "workers",
      "by",
      "events/s",
      "÷ naive loop",
      "one alone, p50 ms",
      "p99 ms",
      "CPU, µs an event",
    ],
    publishing.map((each) => [
      each.store,
      each.transport,
      String(each.workers),
      each.way,
      median(each.perSecond),
      cell(ratio(each.perSecond, loopOf(each).perSecond)),
      median(each.p50),
      median(each.p99),
      median(each.processor),
    ]),
  );
};

const tellAdding = (adding: ReadonlyArray<Adding>): void => {
  table(
    ["store", "adding at once", "events/s"],
    adding.map(({ store, inFlight, perSecond }) => [store, String(inFlight), median(perSecond)]),
  );
};
