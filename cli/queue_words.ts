/** How limits of a queue are said on the command line, and how a queue looks there. */
import * as Duration from "effect/Duration";
import * as Option from "effect/Option";
import * as Flag from "effect/cli/Flag";
import type { QueueDescription, RateOptions } from "../actors/queues.ts";
import type { QueueLimits } from "../schema/queue_limits.ts";
import { fields } from "./report.ts";

const countOf = (text: string) =>
  /^[1-9]\d{0,8}$/.test(text) ? Option.some(Number(text)) : Option.none<number>();

/** A number of something, or `none`. */
export const limitFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("count"),
    Flag.withDescription(`${description}; none for no limit`),
    Flag.filterMap(
      (text): Option.Option<number | null> => text === "none" ? Option.some(null) : countOf(text),
      (text) => `Expected 1 or more, or none, not ${JSON.stringify(text)}`,
    ),
    Flag.optional,
  );

const rateOf = (text: string): Option.Option<RateOptions | null> => {
  if (text === "none") return Option.some(null);
  const at = text.indexOf("/");
  const per = Duration.fromInput(text.slice(at + 1) as Duration.Input);
  return Option.map(
    Option.all([countOf(text.slice(0, at)), per]),
    ([count, per]) => ({ count, per }),
  );
};

/** So many in so much time, or `none`. */
export const rateFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("count/duration"),
    Flag.withDescription(`${description}, like "100/1 second"; none for no limit`),
    Flag.filterMap(
      rateOf,
      (text) => `Expected a rate, like "100/1 second", or none, not ${JSON.stringify(text)}`,
    ),
    Flag.optional,
  );

const weightOf = (text: string): Option.Option<readonly [tenant: string, weight: number]> => {
  const at = text.lastIndexOf("=");
  const weight = Number(text.slice(at + 1));
  return at > 0 && weight > 0 ? Option.some([text.slice(0, at), weight]) : Option.none();
};

/** The weights of tenants. */
export const weights = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("tenant=weight"),
    Flag.withDescription(description),
    Flag.filterMap(
      weightOf,
      (text) => `Expected a tenant and its weight, like acme=10, not ${JSON.stringify(text)}`,
    ),
    Flag.atLeast(0),
    Flag.map((pairs) =>
      pairs.length === 0 ? Option.none() : Option.some(Object.fromEntries(pairs))
    ),
  );

const rateText = ({ count, perMs }: NonNullable<QueueLimits["rate"]>): string =>
  `${count}/${Duration.format(Duration.millis(perMs))}`;

const pairsOf = (limits: QueueLimits) => {
  const { concurrency, perKey, perTenant, rate, tenantRate, keyRate, weights } = limits;
  const weighed = Object.entries(weights).map(([tenant, weight]) => `${tenant}=${weight}`);
  return [
    ["concurrency", concurrency],
    ["per key", perKey],
    ["per tenant", perTenant],
    ["rate", rate && rateText(rate)],
    ["rate of a tenant", tenantRate && rateText(tenantRate)],
    ["rate of a key", keyRate && rateText(keyRate)],
    ["weights", weighed.join(" ") || undefined],
    ["ageing", Duration.format(Duration.millis(limits.ageingMs))],
    ["paused for", limits.pausedTenants.join(" ") || undefined],
  ] as const;
};

/** What a queue allows, in a line. */
export const limitsText = (limits: QueueLimits): string =>
  pairsOf(limits).flatMap(([name, value]) => value === undefined ? [] : [`${name} ${value}`])
    .join(", ");

/** A queue for people. */
export const lines = (
  { name, limits, waiting, running, tenants }: QueueDescription,
): ReadonlyArray<string> =>
  fields([
    ["queue", name],
    ["state", limits.paused ? "paused" : "open"],
    ...pairsOf(limits),
    ["waiting", waiting],
    ["running", running],
    ...Object.entries(tenants).map(([tenant, { waiting, running }]) =>
      ["tenant", `${tenant}: ${waiting} waiting, ${running} running`] as const
    ),
  ]);
