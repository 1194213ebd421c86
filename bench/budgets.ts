/**
 * Consumptions per second from one budget, and from a stack of three, at 1, 64 and 1,024 in flight:
 * bare, with an execution and a key that are new each time, and from two services on connections of
 * their own. It runs by itself: `deno run -A bench/budgets.ts`.
 */
import process from "node:process";
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { BudgetKey, BudgetName } from "../schema/budget.ts";
import { ExecutionId, Tenant } from "../schema/ids.ts";
import * as Budgets from "../streams/budgets.ts";
import * as Connection from "../streams/connection.ts";
import { layerJetStream } from "../streams/log_jetstream.ts";
import type { Durability } from "../streams/server.ts";
import * as ServerClock from "../streams/server_clock.ts";
import { scratchServer } from "../tests/fixtures/server.ts";
import { cell, keep, say, table } from "./report.ts";
import { summarise } from "./statistics.ts";

const isQuick = process.argv.includes("--quick");
const rounds = isQuick ? 1 : 7;
const milliseconds = isQuick ? 200 : 1_500;
const concurrencies = [1, 64, 1024] as const;
const amounts = { token: 1 };

const [task, flow, whole] = ["task:t-1", "flow:f-1", "tenant"].map((name) => BudgetName.make(name));

const workloads = {
  "one budget": { stack: [task!], isNamed: false },
  "one budget, key and execution": { stack: [task!], isNamed: true },
  "a stack of three": { stack: [task!, flow!, whole!], isNamed: false },
  "a stack of three, key and execution": { stack: [task!, flow!, whole!], isNamed: true },
} as const;

const open = (servers: string, durability: Durability) =>
  ManagedRuntime.make(
    Budgets.layer.pipe(
      Layer.provide(ServerClock.layer),
      Layer.provide(layerJetStream()),
      Layer.provide(Connection.layer({ servers, durability })),
    ),
  );

const measured: Array<{
  readonly durability: Durability;
  readonly workload: string;
  readonly processes: number;
  readonly inFlight: number;
  readonly perSecond: ReadonlyArray<number>;
}> = [];

for (const durability of ["bounded", "power-safe"] as const) {
  const server = await scratchServer({ durability });
  const runtimes = [open(server.url, durability), open(server.url, durability)];
  for (const [workload, { stack, isNamed }] of Object.entries(workloads)) {
    for (const processes of isNamed ? [1] : [1, 2]) {
      for (const inFlight of concurrencies) {
        const perSecond: Array<number> = [];
        for (let round = -1; round < rounds; round++) {
          const tenant = Tenant.make(`tenant ${randomUUID()}`);
          let isOpen = true;
          let done = 0;
          const lane = (budgets: Budgets.Budgets["Service"]) =>
            Effect.gen(function* () {
              while (isOpen) {
                const { outcome } = yield* budgets.consume(
                  tenant,
                  stack,
                  amounts,
                  isNamed
                    ? {
                      key: BudgetKey.make(randomUUID()),
                      execution: ExecutionId.make(`order/o-${done >> 2}`),
                    }
                    : {},
                );
                if (outcome !== "ok") throw new Error(outcome);
                done++;
              }
            });
          const services = await Promise.all(
            runtimes.slice(0, processes).map((runtime) => runtime.runPromise(Budgets.Budgets)),
          );
          for (const name of stack) {
            await runtimes[0]!.runPromise(
              services[0]!.allocate(tenant, name, { token: Number.MAX_SAFE_INTEGER }),
            );
          }
          const begun = performance.now();
          setTimeout(() => isOpen = false, round < 0 ? 300 : milliseconds);
          await Promise.all(services.map((budgets, n) =>
            runtimes[n]!.runPromise(
              Effect.all(
                Array.from({ length: Math.ceil(inFlight / processes) }, () => lane(budgets)),
                { concurrency: "unbounded", discard: true },
              ),
            )
          ));
          // The first one only warms up.
          if (round >= 0) perSecond.push(done / ((performance.now() - begun) / 1_000));
        }
        measured.push({ durability, workload, processes, inFlight, perSecond });
        say(`${durability}, ${workload}, ${processes}, ${inFlight}: ${cell(summarise(perSecond))}`);
      }
    }
  }
  await Promise.all(runtimes.map((runtime) => runtime.dispose()));
  await server.stop();
}

for (const durability of ["bounded", "power-safe"] as const) {
  console.log(`Consumptions per second, ${durability}: median (lowest-highest of ${rounds})\n`);
  const found = measured.filter((one) => one.durability === durability);
  const rows = [...new Set(found.map(({ workload, processes }) => `${workload}|${processes}`))];
  table(
    ["workload", "services", ...concurrencies.map((count) => `${count} in flight`)],
    rows.map((row) => [
      ...row.split("|"),
      ...found.filter(({ workload, processes }) => `${workload}|${processes}` === row)
        .map(({ perSecond }) => cell(summarise(perSecond))),
    ]),
  );
}
await keep("budgets", { rounds, milliseconds, measured });
