/** `weir tenants`: which tenants were created, and what was granted and revoked in each. */
import * as Effect from "effect/Effect";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import type { AccessEvent } from "../../schema/access_event.ts";
import { Principal, TenantName } from "../../schema/access_names.ts";
import { parse, Tenant } from "../../schema/ids.ts";
import { type TenantEntry, Tenants } from "../../streams/tenants.ts";
import { by, checked, given } from "../flags.ts";
import { type Column, json, printList, printOne } from "../report.ts";
import { existing, layer } from "../root.ts";
import { iso } from "../screen.ts";

const columns: ReadonlyArray<Column<TenantEntry>> = [
  { title: "TENANT", of: ({ tenant }) => tenant },
  { title: "CREATED", of: ({ createdAt }) => iso(createdAt) },
  { title: "NAME", of: ({ name }) => name },
];

const eventColumns: ReadonlyArray<Column<AccessEvent>> = [
  { title: "SEQUENCE", of: ({ sequence }) => String(sequence) },
  { title: "TIME", of: ({ at }) => iso(at) },
  { title: "EVENT", of: ({ type }) => type },
  {
    title: "DETAILS",
    of: ({ type: _type, sequence: _sequence, at: _at, ...rest }) => json(rest),
  },
];

const id = Argument.String("id").pipe(Argument.withDescription("Id of the tenant"));

const list = Command.make("list", {}, () =>
  Effect.gen(function* () {
    yield* printList(columns, yield* (yield* Tenants).list);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the tenants that were created"),
  );

const create = Command.make("create", {
  id,
  name: Flag.String("name").pipe(Flag.withDescription("What people call it")),
  by,
}, (asked) =>
  Effect.gen(function* () {
    const { created, ...tenant } = yield* (yield* Tenants).create(
      yield* parse(Tenant, "tenant", asked.id),
      {
        name: yield* parse(TenantName, "name of a tenant", asked.name),
        ...given("by", yield* checked(Principal, "principal", asked.by)),
      },
    );
    yield* printOne({ ...tenant, created }, [
      `${tenant.tenant}  ${created ? "created" : "was there already"}`,
    ]);
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Create a tenant"),
    Command.withExamples([{ command: `weir tenants create acme --name "Acme Ltd"` }]),
  );

const history = Command.make("history", { id }, (asked) =>
  Effect.gen(function* () {
    const tenant = yield* parse(Tenant, "tenant", asked.id);
    yield* printList(eventColumns, yield* (yield* Tenants).history(tenant));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Print what was granted and revoked in a tenant, and by whom"),
    Command.withExamples([{ command: "weir tenants history acme" }]),
  );

export const tenants = Command.make("tenants").pipe(
  Command.withDescription("Look after the tenants"),
  Command.withSubcommands([list, create, history]),
);
