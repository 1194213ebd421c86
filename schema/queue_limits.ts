/**
 * What a queue allows: how many at once, how fast, and who before whom. It is the input of the
 * execution that keeps the queue, so that a change is there for whoever keeps it next.
 */
import * as Schema from "effect/Schema";

const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

/** The name of a queue. */
export const QueueName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, {
    expected: "a queue name: a letter or digit, then up to 63 letters, digits, _ or -",
  }),
);

export const Rate = Schema.Struct({ count: Positive, perMs: Positive });

const Weight = Schema.Number.check(
  Schema.isBetween({ minimum: 0.001, maximum: 1_000_000 }, {
    expected: "a weight between 0.001 and 1,000,000",
  }),
);

export const QueueLimits = Schema.Struct({
  /** How many may run at once. */
  concurrency: Positive,
  /** How many of one key of a tenant may run at once. */
  perKey: Positive,
  perTenant: Schema.optionalKey(Positive),
  rate: Schema.optionalKey(Rate),
  tenantRate: Schema.optionalKey(Rate),
  keyRate: Schema.optionalKey(Rate),
  /** How much of the queue a tenant gets while others wait as well; 1 for those not named. */
  weights: Schema.Record(Schema.String, Weight),
  /** Who has waited for so long comes before who has a priority more by one. */
  ageingMs: Positive,
  paused: Schema.Boolean,
  pausedTenants: Schema.Array(Schema.String),
});
export type QueueLimits = typeof QueueLimits.Type;

/** What a queue is to allow from now on; what is left out stays, and `null` lifts a limit. */
export const QueueChange = Schema.Struct({
  concurrency: Schema.optionalKey(Positive),
  perKey: Schema.optionalKey(Positive),
  perTenant: Schema.optionalKey(Schema.NullOr(Positive)),
  rate: Schema.optionalKey(Schema.NullOr(Rate)),
  tenantRate: Schema.optionalKey(Schema.NullOr(Rate)),
  keyRate: Schema.optionalKey(Schema.NullOr(Rate)),
  weights: Schema.optionalKey(QueueLimits.fields.weights),
  ageingMs: Schema.optionalKey(Positive),
  paused: Schema.optionalKey(Schema.Boolean),
  pausedTenants: Schema.optionalKey(QueueLimits.fields.pausedTenants),
});
export type QueueChange = typeof QueueChange.Type;

/** What whoever keeps a queue is told: a change, or that some tenants more or fewer are paused. */
export const QueueMessage = Schema.Struct({
  ...QueueChange.fields,
  pauseTenants: Schema.optionalKey(QueueLimits.fields.pausedTenants),
  resumeTenants: Schema.optionalKey(QueueLimits.fields.pausedTenants),
});
export type QueueMessage = typeof QueueMessage.Type;

/** What a queue allows behind a change. */
export const changed = (
  limits: QueueLimits,
  { pauseTenants = [], resumeTenants = [], ...change }: QueueMessage,
): QueueLimits => {
  const paused = new Set([...change.pausedTenants ?? limits.pausedTenants, ...pauseTenants]);
  for (const tenant of resumeTenants) paused.delete(tenant);
  const all = { ...limits, ...change, pausedTenants: [...paused] };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== null),
  ) as unknown as QueueLimits;
};

/** Of a queue of which nothing else was said. */
export const defaultLimits: QueueLimits = {
  concurrency: 100,
  perKey: 1,
  weights: {},
  ageingMs: 60_000,
  paused: false,
  pausedTenants: [],
};
