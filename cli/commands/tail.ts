/** `weir tail`: the events of a family, in the order of the log, from a cursor on. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { decodeCursor } from "../../schema/cursor.ts";
import { ExecutionId } from "../../schema/ids.ts";
import {
  Families,
  type Family,
  type FamilyEvents,
  type ReadFamilyOptions,
  type Tick,
} from "../../streams/families.ts";
import { familyFilters } from "../../streams/families/family.ts";
import { Log } from "../../streams/log.ts";
import { checked, familyNames, given, tagQuery } from "../flags.ts";
import { type Column, json, makeList } from "../report.ts";
import { existing, tenant } from "../root.ts";
import { iso } from "../screen.ts";

type Event = FamilyEvents[Family];

const details = (event: Event): string => {
  const { cursor: _cursor, executionId: _execution, tenant: _tenant, at: _at, ...own } = event;
  return Object.entries(own).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : json(value)}`
  ).join(" ");
};

const columns: ReadonlyArray<Column<Event>> = [
  { title: "EXECUTION", of: ({ executionId }) => executionId },
  { title: "TIME", of: ({ at }) => iso(at) },
  { title: "EVENT", of: details },
  { title: "CURSOR", of: ({ cursor }) => cursor },
];

/** How often a reader that nothing comes for is told how far it is. */
const ticks = "100 millis";

const isEvent = (event: Event | Tick): event is Event =>
  !("type" in event && event.type === "tick");

/**
 * What is stored by now: where the shards end is asked first, and reading goes on until the cursor
 * is there in each. An event of later is not waited for.
 */
const stored = (family: Family, options: ReadFamilyOptions) =>
  Stream.unwrap(Effect.gen(function* () {
    const families = yield* Families;
    const log = yield* Log;
    const shards = familyFilters(family, log.layout, options).map(({ shard }) => shard);
    const ends = yield* Effect.forEach(shards, log.tail, { concurrency: "unbounded" });
    const isLast = ({ cursor }: Event | Tick) =>
      Effect.map(
        decodeCursor(cursor),
        (at) => shards.every((shard, index) => at.shards[shard]!.sequence >= ends[index]!.sequence),
      );
    return families.read(family, { ...options, ticks }).pipe(
      Stream.takeUntilEffect(isLast),
      Stream.filter(isEvent),
    );
  }));

export const tail = Command.make("tail", {
  family: Argument.Literals("family", familyNames).pipe(
    Argument.withDescription("Which events"),
  ),
  after: Flag.String("after").pipe(
    Flag.withMetavar("cursor"),
    Flag.withDescription(
      "Behind this cursor, from earliest, or from now (earliest; with --follow, now)",
    ),
    Flag.optional,
  ),
  follow: Flag.Boolean("follow").pipe(
    Flag.withAlias("f"),
    Flag.withDescription("Go on with what will come"),
    Flag.withDefault(false),
  ),
  tag: tagQuery,
  execution: Flag.String("execution").pipe(
    Flag.withMetavar("id"),
    Flag.withDescription("Of this execution"),
    Flag.optional,
  ),
  allTenants: Flag.Boolean("all-tenants").pipe(
    Flag.withDescription("Of every tenant"),
    Flag.withDefault(false),
  ),
}, ({ family, after, follow, tag, execution, allTenants }) =>
  Effect.gen(function* () {
    const families = yield* Families;
    const print = yield* makeList(columns);
    const options = {
      ...(allTenants ? {} : { tenant: yield* tenant }),
      ...given("tag", tag),
      ...given("executionId", yield* checked(ExecutionId, "execution id", execution)),
      after: Option.getOrElse(after, () => follow ? "now" : "earliest"),
    };
    const events = follow ? families.read<Family>(family, options) : stored(family, options);
    yield* events.pipe(Stream.chunks, Stream.runForEach(print));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Print the events of a family"),
    Command.withExamples([
      { command: "weir tail completions", description: "What has ended so far" },
      { command: "weir tail leaseHistory --follow", description: "Who owns what, as it changes" },
      {
        command: "weir tail completions --after AwEF... --follow --json",
        description: "On from a cursor that was kept",
      },
    ]),
  );
