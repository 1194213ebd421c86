/** What was measured of the readers of families, as tables: `deno task bench families`. */
import { cell, keep, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import { type CatchUp, type CatchUpOptions, measureCatchUp } from "./catch_up.ts";
import { type FanOut, type FanOutOptions, measureFanOut } from "./fan_out.ts";
import type { Way } from "./reader_process.ts";

const names: Readonly<Record<Way, string>> = {
  raw: "ordered consumer",
  family: "family",
};

const median = (rounds: ReadonlyArray<number>): string => cell(summarise(rounds));

export const reportFamilies = async (options: CatchUpOptions & FanOutOptions): Promise<void> => {
  const fanOut = await measureFanOut(options);
  tellFanOut(fanOut);
  const catchUp = await measureCatchUp(options);
  tellCatchUp(catchUp, options);
  await keep("families", { options, fanOut, catchUp });
};

const tellFanOut = (fanOut: ReadonlyArray<FanOut>): void => {
  table(
    [
      "10 events/s, readers",
      "lag p50, ms",
      "lag p99, ms",
      "append p50, ms",
      "CPU of readers, µs a delivery",
      "of the server",
    ],
    fanOut.map(({ way, readers, p50, p99, append, readersTime, serversTime }) => [
      `${readers}, ${names[way]}`,
      ...[p50, p99, append, readersTime, serversTime].map(median),
    ]),
  );
  table(
    [
      "64 appends in flight, readers",
      "events/s written",
      "÷ alone",
      "deliveries/s",
    ],
    fanOut.map(({ way, readers, alone, beside, delivered }) => [
      `${readers}, ${names[way]}`,
      median(beside),
      cell(ratio(beside, alone)),
      median(delivered),
    ]),
  );
};

const tellCatchUp = (
  catchUp: ReadonlyArray<CatchUp>,
  { events, part, missed }: CatchUpOptions,
): void => {
  const rawOf = (of: CatchUp) =>
    catchUp.find(({ way, executions }) => way === "raw" && executions === of.executions)!;
  const many = (count: number) => count.toLocaleString("en");
  table(
    [
      "from earliest",
      "executions",
      `all ${many(events)}, events/s`,
      `${many(part)}, events/s`,
      "÷ ordered consumer",
      "CPU of the reader, µs an event",
      "of the server",
    ],
    catchUp.map((each) => [
      names[each.way],
      many(each.executions),
      median(each.whole),
      median(each.perSecond),
      cell(ratio(each.perSecond, rawOf(each).perSecond)),
      median(each.readers),
      median(each.servers),
    ]),
  );
  table(
    [
      `${many(missed)} missed`,
      "executions",
      "first event, ms",
      "last event, ms",
      "÷ ordered consumer",
    ],
    catchUp.map((each) => [
      names[each.way],
      many(each.executions),
      median(each.first),
      median(each.last),
      cell(ratio(each.last, rawOf(each).last)),
    ]),
  );
};
