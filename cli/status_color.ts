/** In which colour a state is shown. */
import type { ExecutionStatus } from "../streams/execution_index/status.ts";
import type { Color } from "./report.ts";

const colors: { readonly [Status in ExecutionStatus]: Color } = {
  waiting: "yellow",
  delayed: "yellow",
  active: "cyan",
  suspended: "yellow",
  paused: "yellow",
  completed: "green",
  failed: "red",
  cancelled: "dim",
  expired: "red",
  skipped: "dim",
};

export const statusColor = (status: ExecutionStatus): Color => colors[status];
