/**
 * The client that all peers have in common: it keeps executions going and looks at what ends within a
 * window, or lets them arrive at a rate. It waits for all that it has started, so that their effects
 * can be counted.
 */
import { setTimeout as pause } from "node:timers/promises";

/** Runs one execution; resolves with the milliseconds that count for it. */
export type Execute = () => Promise<number>;

export interface Observed {
  /** Of those that count. */
  readonly tookMs: ReadonlyArray<number>;
  /** In which they ended. */
  readonly seconds: number;
  /** All that were started. */
  readonly ended: number;
}

export interface Window {
  readonly milliseconds: number;
  /** How long a peer has to end as many as are in flight. */
  readonly atMostMs: number;
}

/**
 * What began together ends together, so the window begins when as many have ended as are in flight,
 * and has as many at least. Of a peer that is too slow for that all counts, from the first start to the
 * last end.
 */
export const closedLoop = async (
  execute: Execute,
  inFlight: number,
  { milliseconds, atMostMs }: Window,
): Promise<Observed> => {
  const tookMs: Array<number> = [];
  let open = true;
  const started = performance.now();
  const lanes = Array.from({ length: inFlight }, async () => {
    while (open) tookMs.push(await execute());
  });
  const stopped = Promise.all(lanes);
  /** Waits for that long, and for as many to end as are in flight, and says whether they have. */
  const untilEnough = async (leastMs: number): Promise<boolean> => {
    const [begun, before] = [performance.now(), tookMs.length];
    for (;;) {
      const elapsed = performance.now() - begun;
      const isEnough = tookMs.length - before >= inFlight;
      if (elapsed >= atMostMs || (isEnough && elapsed >= leastMs)) return isEnough;
      await Promise.race([stopped, pause(5)]);
    }
  };
  const isFull = await untilEnough(milliseconds / 3);
  const [begun, first] = [performance.now(), tookMs.length];
  const isEnough = isFull && await untilEnough(milliseconds);
  const [over, last] = [performance.now(), tookMs.length];
  open = false;
  await stopped;
  const ended = tookMs.length;
  return isEnough
    ? { tookMs: tookMs.slice(first, last), seconds: (over - begun) / 1_000, ended }
    : { tookMs, seconds: (performance.now() - started) / 1_000, ended };
};

/** What arrives while the peer is behind waits, and its waiting counts. */
export const openLoop = async (
  execute: Execute,
  perSecond: number,
  { milliseconds }: Window,
): Promise<Observed> => {
  const count = Math.ceil(perSecond * milliseconds / 1_000);
  const begun = performance.now();
  const tookMs = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const due = begun + i * 1_000 / perSecond;
      await pause(Math.max(0, due - performance.now()));
      await execute();
      return performance.now() - due;
    }),
  );
  return { tookMs, seconds: (performance.now() - begun) / 1_000, ended: count };
};
