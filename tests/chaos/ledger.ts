/**
 * What a writer was told about its appends, held against what the log has in the end: nothing
 * acknowledged is lost, nothing is there twice, nothing refused is there at all, a batch is there
 * whole, and each chain is in order without a gap. What nobody was told about may be either.
 */
import type { Entry } from "../../streams/log.ts";

/** What a record says of itself. */
export interface Mark {
  readonly chain: string;
  /** The place in its chain, from 0. */
  readonly step: number;
  /** The call that wrote it, which no other call repeats. */
  readonly attempt: string;
  /** The place in its batch, from 0. */
  readonly part: number;
  readonly parts: number;
}

/** What a writer was told about one call. */
export type Report =
  | { readonly told: "stored"; readonly attempt: string; readonly sequence: number }
  | {
    readonly told: "refused";
    readonly attempt: string;
    readonly error: string;
    readonly landed: "no" | "unknown";
    /** Whether it was made in order to be refused. */
    readonly rival: boolean;
  };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const encodeMark = (mark: Mark): Uint8Array => encoder.encode(JSON.stringify(mark));
export const decodeMark = ({ body }: Entry): Mark => JSON.parse(decoder.decode(body)) as Mark;

interface Written {
  readonly mark: Mark;
  readonly sequence: number;
}

export class Ledger {
  readonly #reports: Array<Report> = [];

  readonly enter = (report: Report): void => {
    this.#reports.push(report);
  };

  get stored(): number {
    return this.#reports.filter(({ told }) => told === "stored").length;
  }

  /** Calls that failed though nothing but the server's absence spoke against them. */
  get failures(): ReadonlyArray<Report> {
    return this.#reports.filter((report) => report.told === "refused" && !report.rival);
  }

  /** Everything in which the log and the reports disagree; the entries are all there are. */
  disagreements(entries: ReadonlyArray<Entry>): ReadonlyArray<string> {
    const written = entries.map((entry) => ({ mark: decodeMark(entry), sequence: entry.sequence }));
    const attempts = groupBy(written, ({ mark }) => mark.attempt);
    return [
      ...this.#reports.flatMap((report) => against(report, attempts.get(report.attempt) ?? [])),
      ...[...attempts.values()].flatMap(tornIn),
      ...[...groupBy(written, ({ mark }) => mark.chain)].flatMap(([chain, all]) =>
        disorderIn(chain, all)
      ),
    ];
  }
}

const groupBy = (
  written: ReadonlyArray<Written>,
  key: (each: Written) => string,
): ReadonlyMap<string, ReadonlyArray<Written>> => {
  const groups = new Map<string, Array<Written>>();
  for (const each of written) {
    const group = groups.get(key(each));
    if (group === undefined) groups.set(key(each), [each]);
    else group.push(each);
  }
  return groups;
};

const against = (report: Report, found: ReadonlyArray<Written>): ReadonlyArray<string> => {
  const { attempt } = report;
  if (report.told === "stored") {
    const [first] = found;
    if (first === undefined) {
      return [`${attempt} was acknowledged at ${report.sequence} and is lost`];
    }
    return first.sequence === report.sequence
      ? []
      : [`${attempt} was acknowledged at ${report.sequence} and is at ${first.sequence}`];
  }
  return report.landed === "no" && found.length > 0
    ? [`${attempt} was refused (${report.error}) and is at ${found[0]!.sequence}`]
    : [];
};

/** A call's records are all there, once, next to each other. */
const tornIn = (found: ReadonlyArray<Written>): ReadonlyArray<string> => {
  const [{ mark, sequence }] = found as [Written];
  const whole = found.length === mark.parts &&
    found.every((each, i) => each.mark.part === i && each.sequence === sequence + i);
  return whole ? [] : [
    `${mark.attempt} has ${mark.parts} records, and there are ` +
    found.map((each) => `${each.mark.part} at ${each.sequence}`).join(", "),
  ];
};

const disorderIn = (chain: string, found: ReadonlyArray<Written>): ReadonlyArray<string> => {
  const steps = found.filter(({ mark }) => mark.part === 0).map(({ mark }) => mark.step);
  const wrong = steps.findIndex((step, i) => step !== i);
  return wrong === -1 ? [] : [`${chain} has step ${steps[wrong]} in the place of ${wrong}`];
};
