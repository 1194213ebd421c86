/**
 * What is run for Weir and for its peers alike; each is defined here and nowhere else. W3, W9, W10's
 * fan-out, W12 to W15 of the list that these come from are not here: BENCHMARKS.md says why.
 */
export type Work =
  | { readonly kind: "steps"; readonly steps: number; readonly inputBytes: number }
  /** An execution waits; timed is from the signal until its code goes on. */
  | { readonly kind: "wake" };

export type Load =
  /** So many at any time. */
  | { readonly kind: "closed"; readonly inFlight: number }
  /** They arrive at even distances, whatever has become of those before; each is timed from then. */
  | { readonly kind: "open"; readonly perSecond: number };

export interface Workload {
  readonly work: Work;
  readonly load: Load;
}

const steps = (count: number, load: Load, inputBytes = 0): Workload => ({
  work: { kind: "steps", steps: count, inputBytes },
  load,
});
const inFlight = (count: number): Load => ({ kind: "closed", inFlight: count });
const arriving = (perSecond: number): Load => ({ kind: "open", perSecond });

export const workloads: ReadonlyArray<Workload> = [
  ...[1, 64, 512].flatMap((count) => [0, 3, 9].map((each) => steps(each, inFlight(count)))),
  steps(50, inFlight(1)),
  steps(0, inFlight(16), 4_096),
  steps(0, inFlight(100)),
  ...[50, 100, 200].map((perSecond) => steps(3, arriving(perSecond))),
  { work: { kind: "wake" }, load: inFlight(1) },
];

export const nameOfWork = (work: Work): string => {
  if (work.kind === "wake") return "signal to resumed";
  const input = work.inputBytes === 0 ? "" : ` of ${work.inputBytes} bytes`;
  return `${work.steps} steps${input}`;
};

export const nameOfLoad = (load: Load): string =>
  load.kind === "open"
    ? `${load.perSecond} a second arriving`
    : load.inFlight === 1
    ? "one at a time"
    : `${load.inFlight} in flight`;

export const nameOf = ({ work, load }: Workload): string =>
  `${nameOfWork(work)}, ${nameOfLoad(load)}`;
