/** One case of the log's conformance suites: an address of its own, and what all of them do with it. */
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { Fence } from "../../../streams/fence.ts";
import { type Entry, Log } from "../../../streams/log.ts";
import {
  type Address,
  executionAddress,
  type Filter,
  subjectOf,
} from "../../../streams/subjects.ts";
import { body, type Run, tenant, uniqueExecution } from "../subject_matter.ts";

export const logTest = (run: Run<Log>) =>
(
  title: string,
  effect: (log: Log["Service"], address: Address) => Effect.Effect<unknown, unknown, Log>,
): void => {
  it(title, () =>
    run(Effect.gen(function* () {
      const log = yield* Log;
      yield* effect(log, executionAddress(log.layout, tenant, uniqueExecution()));
    })));
};

export const collect = (stream: Stream.Stream<Entry, unknown>) =>
  Effect.map(Stream.runCollect(stream), (entries) => [...entries]);

/** What the leader has under a filter, whichever replica answers. */
export const stored = (log: Log["Service"], filter: Filter) =>
  Effect.flatMap(
    log.tail(filter.shard),
    ({ sequence }) => log.readThrough(filter, { through: sequence }),
  );

/** Writes a lease key and gives its fence, without the lease service. */
export const claim = (log: Log["Service"], address: Address, after: number) =>
  Effect.map(
    log.append(address, { kind: "lease", body: body("claim"), guard: { after } }),
    ({ sequence }) => new Fence(subjectOf(address, "lease"), `nonce${sequence}`, sequence),
  );

export const move = (log: Log["Service"], address: Address, fence: Fence) =>
  log.append(address, { kind: "lease", body: body("moved"), guard: { after: fence.revision } });
