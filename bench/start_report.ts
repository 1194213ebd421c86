/** Cold import and time to the first execution: `deno task bench start`. */
import { cell, keep, table } from "./report.ts";
import { measureStartUp, type Parts } from "./start_up.ts";
import { summarise } from "./statistics.ts";

const parts = {
  import: "import",
  connect: "connect()",
  worker: "worker()",
  execution: "start to result",
  total: "all, from spawn",
} as const satisfies Readonly<Record<keyof Parts, string>>;

export const reportStart = async ({ rounds }: { readonly rounds: number }): Promise<void> => {
  const startUp = await measureStartUp(rounds);
  const names = Object.keys(parts) as ReadonlyArray<keyof Parts>;
  table(
    ["milliseconds", "the server", ...Object.values(parts)],
    startUp.map(({ runtime, server, rounds }) => [
      runtime,
      server === "started" ? "is started" : "runs",
      ...names.map((name) => cell(summarise(rounds.map((each) => each[name])))),
    ]),
  );
  await keep("start", { rounds, startUp });
};
