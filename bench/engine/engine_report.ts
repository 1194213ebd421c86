/** Executions: what they cost in messages, time, processor and memory: `deno task bench engine`. */
import type { Measures } from "../parts.ts";
import { cell, figure, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Blocked, measureBlocked } from "./blocked.ts";
import { type Floor, measureFloors } from "./floors.ts";
import { type Failover, measureFailover } from "./failover.ts";
import { type HistoryRead, measureHistoryReads } from "./history_read.ts";
import type { Lateness } from "./lateness.ts";
import { type Cost, measureMessages, type MessageCost } from "./messages.ts";
import { type Idle, measureParked, type Parked } from "./parked.ts";
import { loads, type Measured, measureRates, stepCounts, type Workload } from "./rates.ts";
import { measureRoundTrips, type RoundTrips } from "./round_trips.ts";
import { tellLatencies } from "./latency_table.ts";
import { measureStepLatency } from "./step_latency.ts";

export interface EngineOptions {
  readonly rounds: number;
  readonly milliseconds: number;
  readonly parked: Parameters<typeof measureParked>[0];
  /** Behind how many others a step is measured. */
  readonly depths: ReadonlyArray<number>;
  /** Among how many executions one is read. */
  readonly among: ReadonlyArray<number>;
  /** Milliseconds that leases live of owners that are killed. */
  readonly leaseTtls: ReadonlyArray<number>;
  readonly blocked: { readonly seconds: ReadonlyArray<number>; readonly rounds: number };
}

const durabilities = ["bounded", "power-safe"] as const;

/** Its parts. */
export const engine = {
  counts: async () => {
    const messages = await measureMessages();
    tellMessages(messages);
    const roundTrips = await measureRoundTrips();
    tellRoundTrips(roundTrips);
    return {
      messages: messages.map(({ operation, cost }) => ({
        operation,
        cost: Object.fromEntries(cost),
      })),
      roundTrips,
    };
  },
  rates: async (options) => {
    const rates: Array<Measured> = [];
    for (const durability of durabilities) {
      rates.push(...await measureRates(durability, options));
      tellRates(rates.filter((each) => each.durability === durability));
    }
    return { rates };
  },
  floors: async (options) => {
    const floors: Array<Floor> = [];
    for (const durability of durabilities) {
      floors.push(...await measureFloors(durability, options));
      tellFloors(floors.filter((each) => each.durability === durability));
    }
    return { floors };
  },
  latencies: async ({ depths, rounds }) => {
    const latencies = await measureStepLatency(depths, rounds);
    tellLatencies(latencies);
    return { latencies };
  },
  parked: async ({ parked: of }) => {
    const parked = await measureParked(of);
    tellParked(parked, of.count);
    return { parked };
  },
  reads: async ({ among, rounds }) => {
    const reads = await measureHistoryReads(among, rounds);
    tellReads(reads);
    return { reads };
  },
  blocked: async ({ blocked: of }) => {
    const blocked = await measureBlocked(of.seconds, of.rounds);
    tellBlocked(blocked);
    return { blocked };
  },
  failover: async ({ leaseTtls, rounds }) => {
    const failover = await measureFailover(leaseTtls, rounds);
    tellFailover(failover);
    return { failover };
  },
} satisfies Measures<EngineOptions>;

const tellReads = (found: ReadonlyArray<HistoryRead>): void =>
  table(
    ["reading one execution, ms", "the stream holds", "alone", "200 at once, a read"],
    found.map(({ how, records, alone, crowded }) => [
      how,
      `${records} records`,
      cell(summarise(alone)),
      cell(summarise(crowded)),
    ]),
  );

const tellFailover = (found: ReadonlyArray<Failover>): void =>
  table(
    ["lease", "kill -9 until the step goes on elsewhere, s"],
    found.map(({ leaseTtlMs, took }) => [
      `${leaseTtlMs / 1_000} s`,
      cell(summarise(took.map((each) => each / 1_000))),
    ]),
  );

const tellBlocked = (found: ReadonlyArray<Blocked>): void =>
  table(
    ["an event loop blocked for", "executions taken over"],
    found.map(({ seconds, takenOver, rounds }) => [`${seconds} s`, `${takenOver} of ${rounds}`]),
  );

const columns: ReadonlyArray<readonly [head: string, belongs: (what: string) => boolean]> = [
  ["records", (what) => what === "records"],
  ["appends", (what) => / append /.test(what)],
  ["reads", (what) => / read$/.test(what)],
  ["offers", (what) => / offer$/.test(what)],
  ["acks of offers", (what) => / verdict$/.test(what)],
  ["hand-overs", (what) => / hand-over$/.test(what)],
];

const sumOf = (cost: Cost, belongs: (what: string) => boolean): number =>
  [...cost].reduce((sum, [what, count]) => belongs(what) ? sum + count : sum, 0);

const tellMessages = (costs: ReadonlyArray<MessageCost>): void => {
  const found = columns.filter(([, belongs]) =>
    costs.some(({ cost }) => Math.abs(sumOf(cost, belongs)) >= 0.05)
  );
  table(
    ["messages of", ...found.map(([head]) => head)],
    costs.map(({ operation, cost }) => [
      operation,
      ...found.map(([, belongs]) => String(Number(sumOf(cost, belongs).toFixed(1)))),
    ]),
  );
};

const tellRoundTrips = (found: ReadonlyArray<RoundTrips>): void =>
  table(
    ["one after another", "round trips"],
    found.map(({ operation, count }) => [operation, String(Math.round(count * 2) / 2)]),
  );

const nameOf = ({ processes, what }: Workload): string =>
  what === "spike"
    ? "bare spike, 3 steps"
    : `${what} step${what === 1 ? "" : "s"}${processes === "one process" ? "" : `, ${processes}`}`;

const tellRates = (measured: ReadonlyArray<Measured>): void => {
  const durability = measured[0]!.durability;
  const names = [...new Set(measured.map(nameOf))];
  const at = (name: string, inFlight: number) =>
    measured.find((each) => nameOf(each) === name && each.inFlight === inFlight)!;
  const many = loads.filter((load) => load > 1);

  table(
    [`${durability}, one at a time`, "p50, ms", "p99, ms", "CPU, ms: ours", "the server's"],
    names.map((name) => {
      const { p50, p99, ours, servers } = at(name, 1);
      return [name, ...[p50, p99, ours, servers].map((each) => cell(summarise(each)))];
    }),
  );
  for (const load of many) {
    table(
      [
        `${durability}, ${load} in flight`,
        "executions/s",
        "steps/s",
        "p50, ms",
        "p99, ms",
        "CPU, ms: ours",
        "the server's",
      ],
      names.map((name) => {
        const { what, perSecond, p50, p99, ours, servers } = at(name, load);
        const count = what === "spike" ? 3 : what;
        return [
          name,
          cell(summarise(perSecond)),
          count === 0 ? "" : figure(summarise(perSecond).median * count),
          ...[p50, p99, ours, servers].map((each) => cell(summarise(each))),
        ];
      }),
    );
  }
  const three = names.find((name) => name === "3 steps")!;
  const spike = names[0]!;
  const nine = at(`${stepCounts.at(-1)} steps`, 1).p50;
  const none = at("0 steps", 1).p50;
  table(
    [`${durability}, ratio`, "median (lowest-highest)"],
    [
      ...loads.map((load) => [
        `3 steps, ${load} in flight: engine ÷ bare spike (at least 0.7)`,
        cell(ratio(at(three, load).perSecond, at(spike, load).perSecond)),
      ]),
      ...many.map((load) => {
        const cpu = ({ ours, servers }: Measured) => ours.map((each, i) => each + servers[i]!);
        return [
          `3 steps, ${load} in flight: CPU of all processes, engine ÷ bare spike`,
          cell(ratio(cpu(at(three, load)), cpu(at(spike, load)))),
        ];
      }),
      [
        "one at a time: a step, ms (p50 of 9 steps less that of none, ÷ 9)",
        cell(summarise(nine.map((whole, round) => (whole - none[round]!) / 9))),
      ],
    ],
  );
};

const tellFloors = (found: ReadonlyArray<Floor>): void => {
  const { durability } = found[0]!;
  for (const load of new Set(found.map(({ inFlight }) => inFlight))) {
    const here = found.filter(({ inFlight }) => inFlight === load);
    table(
      [
        `${durability}, ${load} in flight`,
        "executions/s",
        "÷ bare spike",
        "CPU, ms: ours",
        "the server's",
      ],
      here.map(({ name, perSecond, ours, servers }) => [
        name,
        cell(summarise(perSecond)),
        cell(ratio(perSecond, here[0]!.perSecond)),
        cell(summarise(ours)),
        cell(summarise(servers)),
      ]),
    );
  }
};

const tellParked = (parked: ReadonlyArray<Parked>, count: number): void => {
  const states: ReadonlyArray<readonly [string, (round: Parked) => Idle]> = [
    ["nothing", ({ nothing }) => nothing],
    [`${count.toLocaleString("en")} asleep, suspended`, ({ asleep }) => asleep],
    [`${count.toLocaleString("en")} waiting, resident`, ({ resident }) => resident],
  ];
  table(
    [
      "while nothing happens",
      "worker's CPU, %",
      "server's CPU, %",
      "messages/s",
      "worker's RSS, MiB",
      "above nothing",
      "server's RSS, MiB",
    ],
    states.map(([name, state]) => {
      const of = (pick: (idle: Idle) => number) =>
        cell(summarise(parked.map((round) => pick(state(round)))));
      return [
        name,
        of((idle) => idle.workerProcessor * 100),
        of((idle) => idle.serverProcessor * 100),
        of((idle) => idle.messagesPerSecond),
        of((idle) => idle.workerMiB),
        cell(summarise(parked.map((round) => state(round).workerMiB - round.nothing.workerMiB))),
        of((idle) => idle.serverMiB),
      ];
    }),
  );
  const sleeps: ReadonlyArray<readonly [string, (round: Parked) => Lateness]> = [
    ["resident", ({ residentSleeps }) => residentSleeps],
    ["suspended", ({ suspendedSleeps }) => suspendedSleeps],
    [
      `${count.toLocaleString("en")} suspended, that end together`,
      ({ manySuspendedSleeps }) => manySuspendedSleeps,
    ],
  ];
  table(
    ["how late sleeps end, ms", "p50", "p99", "most"],
    sleeps.map(([name, pick]) => [
      name,
      ...(["p50", "p99", "most"] as const).map((which) =>
        cell(summarise(parked.map((round) => pick(round)[which])))
      ),
    ]),
  );
};
