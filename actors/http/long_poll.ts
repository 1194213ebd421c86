/**
 * Waiting for the end of an execution while a client does: no longer than it asked for, not beyond
 * its request, and not for more clients at once than the server has room for. What is there then, its
 * caller reads.
 */
import type { Run } from "../run.ts";
import { Refusal } from "./refusal.ts";

/** The clients that wait. */
export interface Waits {
  readonly most: number;
  count: number;
}

const tooMany = (most: number) =>
  new Refusal({
    status: 429,
    code: "WEIR_TOO_MANY_WAITS",
    message: `${most} requests wait here already. Try again later, or ask without \`wait\`.`,
    retryable: true,
    headers: { "retry-after": "1" },
  });

/** Comes back when the execution has ended, or the time is over, or nobody waits any more. */
export const waitForEnd = async (
  waits: Waits,
  run: Pick<Run, "result">,
  { seconds, signal }: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<void> => {
  if (waits.count >= waits.most) throw tooMany(waits.most);
  waits.count++;
  const over = new AbortController();
  const end = () => over.abort();
  const timer = setTimeout(end, seconds * 1_000);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    const aborted = new Promise<void>((resolve) => {
      if (over.signal.aborted) return resolve();
      over.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    // How it ended is read by who asked, and so is what went wrong.
    const ended = run.result({ signal: over.signal }).then(() => undefined, () => undefined);
    await Promise.race([ended, aborted]);
  } finally {
    waits.count--;
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    end();
  }
};
