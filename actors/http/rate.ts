/**
 * How many requests are taken in a time, from each client or from all together. Who comes too fast is
 * refused before anything is read; of very many clients the one that was quiet longest is forgotten.
 */
import { InvalidInput } from "../../schema/errors.ts";
import { Bucket } from "../work/queue/bucket.ts";
import { Refusal } from "./refusal.ts";

export interface RequestRate {
  readonly perSecond: number;
  /** How many may come at once; as many as in a second, if left out. */
  readonly burst?: number;
  /** Who asks, like the address that a proxy gives; all together, if left out. */
  readonly by?: (request: Request) => string;
}

const mostClients = 10_000;

/** Refuses a request that comes too fast. */
export const makeRate = (
  what: string,
  { perSecond, burst = Math.max(1, perSecond), by = () => "" }: RequestRate,
): (request: Request) => void => {
  if (!(perSecond > 0 && burst >= 1 && Number.isFinite(perSecond) && Number.isFinite(burst))) {
    throw new InvalidInput({
      what,
      value: `${perSecond} per second, ${burst} at once`,
      rule: "expected more than none per second, and at least one at once",
    });
  }
  const rate = { count: burst, perMs: burst / perSecond * 1_000 };
  const buckets = new Map<string, Bucket>();

  return (request) => {
    const client = by(request);
    const now = performance.now();
    const bucket = buckets.get(client) ?? Bucket.full(rate);
    buckets.delete(client);
    buckets.set(client, bucket);
    if (buckets.size > mostClients) buckets.delete(buckets.keys().next().value!);
    if (bucket.has(now)) return bucket.take(now);
    const seconds = Math.ceil((bucket.readyAt(now) - now) / 1_000);
    throw new Refusal({
      status: 429,
      code: "WEIR_TOO_MANY_REQUESTS",
      message: "Requests come too fast. Try again later.",
      retryable: true,
      headers: { "retry-after": String(seconds) },
    });
  };
};
