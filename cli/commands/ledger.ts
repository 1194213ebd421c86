/** `weir ledger`: what was decided, seen or done; appends to it and reads it. */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { checkJson } from "../../actors/engine/to_json.ts";
import type { LedgerEntry } from "../../schema/access_event.ts";
import { LedgerEntryId, LedgerKey, LedgerKind, Principal } from "../../schema/access_names.ts";
import { parse } from "../../schema/ids.ts";
import { Ledgers } from "../../streams/ledgers.ts";
import { by, checked, given, jsonArgument, limit } from "../flags.ts";
import { type Column, json, makeList, printList, printOne } from "../report.ts";
import { existing, layer, tenant } from "../root.ts";
import { iso } from "../screen.ts";
import * as Option from "effect/Option";

const columns: ReadonlyArray<Column<LedgerEntry>> = [
  { title: "SEQUENCE", of: ({ sequence }) => String(sequence) },
  { title: "TIME", of: ({ at }) => iso(at) },
  { title: "KIND", of: ({ kind }) => kind },
  { title: "BY", of: ({ by }) => by ?? "-" },
  { title: "PAYLOAD", of: ({ payload }) => json(payload) },
];

const key = Argument.String("key").pipe(
  Argument.withDescription("Which ledger: what its entries are about"),
);
const after = Flag.Int("after").pipe(
  Flag.withMetavar("sequence"),
  Flag.withDescription("Those behind this one"),
  Flag.withDefault(0),
);

const keys = Command.make("keys", {}, () =>
  Effect.gen(function* () {
    const found = yield* (yield* Ledgers).keys(yield* tenant);
    yield* printList(
      [{ title: "KEY", of: ({ key }) => key }],
      found.map((key) => ({ key })),
    );
  }).pipe(Effect.provide(existing))).pipe(Command.withDescription("List the ledgers of a tenant"));

const read = Command.make("read", {
  key,
  after,
  limit: limit.pipe(Flag.withDefault(100)),
  follow: Flag.Boolean("follow").pipe(
    Flag.withDescription("Go on with what comes"),
    Flag.withDefault(false),
  ),
}, (asked) =>
  Effect.gen(function* () {
    const ledgers = yield* Ledgers;
    const owner = yield* tenant;
    const name = yield* parse(LedgerKey, "ledger key", asked.key);
    const { after, limit } = asked;
    const print = yield* makeList(columns);
    yield* asked.follow
      ? Stream.runForEach(ledgers.follow(owner, name, { after }), (entry) => print([entry]))
      : Effect.flatMap(ledgers.read(owner, name, { after, limit }), print);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Print the entries of a ledger"),
    Command.withExamples([{ command: "weir ledger read order/o-1 --after 17" }]),
  );

const append = Command.make("append", {
  key,
  kind: Argument.String("kind").pipe(
    Argument.withDescription("audit, decision, relationship, incident, or a word of one's own"),
  ),
  payload: jsonArgument("payload", "What is to be remembered"),
  id: Flag.String("id").pipe(
    Flag.withDescription("Makes a repeated append harmless"),
    Flag.optional,
  ),
  by,
}, (asked) =>
  Effect.gen(function* () {
    const name = yield* parse(LedgerKey, "ledger key", asked.key);
    const payload = yield* checkJson("payload", Option.getOrNull(asked.payload));
    const entry = yield* (yield* Ledgers).append(yield* tenant, name, {
      kind: yield* parse(LedgerKind, "kind of entry", asked.kind),
      payload: payload ?? null,
      ...given("id", yield* checked(LedgerEntryId, "entry id", asked.id)),
      ...given("by", yield* checked(Principal, "principal", asked.by)),
    });
    const said = entry.appended ? "appended" : "was there already";
    yield* printOne(entry, [`${name}  ${entry.sequence}  ${said}`]);
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Append an entry to a ledger, for ever"),
    Command.withExamples([
      { command: `weir ledger append order/o-1 decision '{"approved":true}' --by ana --id d-1` },
    ]),
  );

export const ledger = Command.make("ledger").pipe(
  Command.withDescription("Read and append to ledgers"),
  Command.withSubcommands([keys, read, append]),
);
