/**
 * How many executions of a tenant are in which state, as far as one page of each tells. A number that
 * a page could not hold is a bound, and said to be one: nobody walks through millions for it.
 */
import { type ExecutionStatus, statuses } from "../../streams/execution_index/status.ts";
import type { ServedWeir } from "./route.ts";

export const countedTo = 1_000;

export interface Counts {
  readonly asOf: number;
  readonly runs: Readonly<Partial<Record<ExecutionStatus, number>>>;
  readonly capped: ReadonlyArray<ExecutionStatus>;
}

export const countRuns = async (
  weir: Pick<ServedWeir, "list">,
  tenant: string,
  of: ReadonlyArray<ExecutionStatus> = statuses,
): Promise<Counts> => {
  const pages = await Promise.all(
    of.map(async (status) => ({
      status,
      page: await weir.list({ tenant, status, limit: countedTo }),
    })),
  );
  return {
    asOf: Math.min(...pages.map(({ page }) => page.asOf)),
    runs: Object.fromEntries(
      pages.map(({ status, page }) => [status, page.executions.length]),
    ),
    capped: pages.filter(({ page }) => page.next !== undefined).map(({ status }) => status),
  };
};
