/** How limits and amounts are said on the command line, and how a budget looks there. */
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import type { Budget, LimitInput } from "../schema/budget.ts";
import { type Column, fields } from "./report.ts";
import { iso } from "./screen.ts";

type Pair<Value> = readonly [dimension: string, value: Value];

const isCount = (text: string): boolean => /^\d{1,16}$/.test(text);

const pairOf = <Value>(text: string, value: (text: string) => Value | undefined) => {
  const at = text.indexOf("=");
  const found = at < 1 ? undefined : value(text.slice(at + 1));
  return found === undefined
    ? Option.none<Pair<Value>>()
    : Option.some<Pair<Value>>([text.slice(0, at), found]);
};

const amountOf = (text: string): number | undefined => isCount(text) ? Number(text) : undefined;

/** `hard`, `hard/soft` or `/soft`. */
const limitOf = (text: string): LimitInput | undefined => {
  const [hard = "", soft, ...rest] = text.split("/");
  if (rest.length > 0 || (hard !== "" && !isCount(hard))) return undefined;
  if (soft === undefined) return hard === "" ? undefined : Number(hard);
  if (!isCount(soft)) return undefined;
  return { ...(hard === "" ? {} : { hard: Number(hard) }), soft: Number(soft) };
};

/** Of two for one dimension one would be left out, and nobody told. */
const onceEach = <Value>(pairs: Argument.Argument<ReadonlyArray<Pair<Value>>>) =>
  Argument.filter(
    pairs,
    (given) => new Set(given.map(([dimension]) => dimension)).size === given.length,
    () => "Expected each dimension once",
  );

/** The amount of one dimension or of several. */
export const amounts = Argument.String("amounts").pipe(
  Argument.withMetavar("dimension=amount"),
  Argument.withDescription("How much of it, like token=5; several with spaces"),
  Argument.filterMap(
    (text) => pairOf(text, amountOf),
    (text) => `Expected a dimension and an amount, like token=5, not ${JSON.stringify(text)}`,
  ),
  Argument.atLeast(1),
  onceEach,
);

/** The limits of one dimension or of several. */
export const limits = Argument.String("limits").pipe(
  Argument.withMetavar("dimension=limit"),
  Argument.withDescription(
    "Hard limit, hard/soft or /soft, like token=1000 or costCents=500/400; several with spaces",
  ),
  Argument.filterMap(
    (text) => pairOf(text, limitOf),
    (text) =>
      `Expected a dimension and its limit, like token=1000 or token=1000/800, not ${
        JSON.stringify(text)
      }`,
  ),
  Argument.atLeast(1),
  onceEach,
);

const limitText = ({ hard, soft }: { readonly hard?: number; readonly soft?: number }): string =>
  `${hard ?? "-"}${soft === undefined ? "" : `/${soft}`}`;

const usageOf = ({ dimensions }: Budget): ReadonlyArray<string> =>
  Object.entries(dimensions).map(([name, dimension]) =>
    `${name} ${dimension.used} of ${limitText(dimension)}`
  );

export const columns: ReadonlyArray<Column<Budget>> = [
  { title: "BUDGET", of: ({ name }) => name },
  {
    title: "STATE",
    of: ({ exhausted }) => exhausted ? "exhausted" : "open",
    color: ({ exhausted }) => exhausted ? "red" : "green",
  },
  { title: "RESETS", of: ({ resetsAt }) => resetsAt === undefined ? "-" : iso(resetsAt) },
  { title: "USED", of: (budget) => usageOf(budget).join(", ") },
];

/** A budget for people. */
export const lines = (budget: Budget): ReadonlyArray<string> => {
  const { name, exhausted, resetsAt, hardBreaches, softBreaches } = budget;
  const met = (breaches: Budget["hardBreaches"]) =>
    breaches && `${breaches.count}, last ${breaches.dimension} at ${iso(breaches.at)}`;
  return fields([
    ["budget", name],
    ["state", exhausted ? "exhausted" : "open"],
    ...usageOf(budget).map((usage) => ["used", usage] as const),
    ["resets", resetsAt === undefined ? undefined : iso(resetsAt)],
    ["refused", met(hardBreaches)],
    ["above soft", met(softBreaches)],
  ]);
};
