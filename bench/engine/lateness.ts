/**
 * How late sleeps end, by the server's clock alone: from the deadline that is recorded until the
 * record is stored that the execution has ended. It counts nothing that is not of the runs it is given.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { Run } from "@weir/weir";
import { journalRecord } from "../../schema/journal_record.ts";
import { Log } from "../../streams/log.ts";
import { sleeper } from "./actors.ts";
import { quantile } from "./rates.ts";
import { type Where, withLog } from "./with_log.ts";

/** In milliseconds. */
export interface Lateness {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** How long after its deadline the end of each sleeper was stored; all must have ended. */
export const readLateness = (
  where: Where,
  sleepers: ReadonlyArray<Run<unknown>>,
): Promise<Lateness> => {
  const names = new Set(sleepers.map(({ id }) => id.split("/")[1]!));
  return withLog(
    where,
    Effect.gen(function* () {
      const log = yield* Log;
      const due = new Map<string, number>();
      const late: Array<number> = [];
      const each = (kind: string, use: (name: string, at: number, due: number) => void) =>
        Stream.runForEach(
          log.read({ shard: 0, subject: `${where.namespace}.${kind}.*.${sleeper.name}.>` }),
          (entry) => {
            const name = entry.subject.split(".").at(-1)!;
            return names.has(name)
              ? Effect.map(
                journalRecord.decode(entry.body, entry),
                (record) => use(name, entry.at, record.kind === "sleeping" ? record.due : NaN),
              )
              : Effect.void;
          },
        );
      yield* each("log", (name, _, time) => Number.isNaN(time) || due.set(name, time));
      yield* each("done", (name, at) => late.push(at - due.get(name)!));
      if (late.length !== names.size) {
        throw new Error(`${late.length} of ${names.size} sleeps have ended`);
      }
      return { p50: quantile(late, 0.5), p99: quantile(late, 0.99), most: Math.max(...late) };
    }),
  );
};
