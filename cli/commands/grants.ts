/** `weir grants`: who may do what in a tenant, or in all; gives it and takes it. */
import * as Effect from "effect/Effect";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { roleOf } from "../../actors/grants.ts";
import { CapabilityName, Principal, RoleName } from "../../schema/access_names.ts";
import type { InvalidInput } from "../../schema/errors.ts";
import { parse } from "../../schema/ids.ts";
import { type Grant, Grants, type Rights, type Where } from "../../streams/grants.ts";
import { by, checked, given } from "../flags.ts";
import { type Column, fields, printList, printOne } from "../report.ts";
import { existing, layer, tenant } from "../root.ts";
import { iso } from "../screen.ts";

const words = (texts: ReadonlyArray<string>): string => texts.join(",") || "-";

const columns: ReadonlyArray<Column<Grant>> = [
  { title: "PRINCIPAL", of: ({ principal }) => principal },
  { title: "TENANT", of: ({ tenant }) => tenant ?? "(all)" },
  { title: "ROLES", of: ({ roles }) => words(roles.map(({ name }) => name)) },
  { title: "GRANTED", of: ({ granted }) => words(granted) },
  { title: "REVOKED", of: ({ revoked }) => words(revoked) },
  { title: "CHANGED", of: ({ at }) => iso(at) },
];

const principal = Argument.String("principal").pipe(
  Argument.withDescription("Who is meant: a person or a service"),
);
const allTenants = Flag.Boolean("all-tenants").pipe(
  Flag.withDescription("In every tenant, instead of that of --tenant"),
  Flag.withDefault(false),
);

/** Where the flags say that it is meant. */
const whereOf = Effect.fnUntraced(function* (isEverywhere: boolean) {
  const where: Where = isEverywhere ? { allTenants: true } : { tenant: yield* tenant };
  return where;
});

const print = (rights: Rights) => {
  const capabilities = [...rights.capabilities].sort();
  return printOne(
    { ...rights, capabilities },
    fields([
      ["principal", rights.principal],
      ["tenant", rights.tenant ?? "(all)"],
      ["roles", words(rights.roles)],
      ["may", words(capabilities)],
    ]),
  );
};

const list = Command.make("list", { allTenants }, (asked) =>
  Effect.gen(function* () {
    const where = yield* whereOf(asked.allTenants);
    yield* printList(columns, yield* (yield* Grants).list(where));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List what was given and taken in a tenant"),
  );

const of = Command.make("of", { principal, allTenants }, (asked) =>
  Effect.gen(function* () {
    const who = yield* parse(Principal, "principal", asked.principal);
    const where = yield* whereOf(asked.allTenants);
    yield* print(yield* (yield* Grants).of(who, where));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Say what somebody may do"),
    Command.withExamples([{ command: "weir grants of ana --tenant acme" }]),
  );

/** A command that changes what somebody has. */
const changing = <Checked>(
  name: "assign" | "unassign" | "grant" | "revoke",
  what: Argument.Argument<string>,
  check: (text: string) => Effect.Effect<Checked, InvalidInput>,
  description: string,
  example: string,
) =>
  Command.make(name, { principal, what, allTenants, by }, (asked) =>
    Effect.gen(function* () {
      const grants = yield* Grants;
      const change = grants[name] as (
        who: Principal,
        what: Checked,
        where: Where,
        options: { readonly by?: Principal },
      ) => ReturnType<typeof grants.grant>;
      const who = yield* parse(Principal, "principal", asked.principal);
      const where = yield* whereOf(asked.allTenants);
      const options = given("by", yield* checked(Principal, "principal", asked.by));
      yield* print(yield* change(who, yield* check(asked.what), where, options));
    }).pipe(Effect.provide(layer()))).pipe(
      Command.withDescription(description),
      Command.withExamples([{ command: `weir grants ${example}` }]),
    );

const capability = Argument.String("capability").pipe(
  Argument.withDescription(
    "submit, execute, review, approve, cancel, read, administer, or another",
  ),
);

const assign = Command.make("assign", {
  principal,
  role: Argument.String("role").pipe(
    Argument.withDescription("operator, auditor, gatekeeper, or the name of one with --capability"),
  ),
  capabilities: Flag.String("capability").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("What a role of one's own may do, as often as needed"),
    Flag.atLeast(0),
  ),
  allTenants,
  by,
}, (asked) =>
  Effect.gen(function* () {
    const who = yield* parse(Principal, "principal", asked.principal);
    const { capabilities } = asked;
    const role = yield* roleOf(
      capabilities.length === 0 ? asked.role as "operator" : { name: asked.role, capabilities },
    );
    const where = yield* whereOf(asked.allTenants);
    const options = given("by", yield* checked(Principal, "principal", asked.by));
    yield* print(yield* (yield* Grants).assign(who, role, where, options));
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Give somebody a role"),
    Command.withExamples([
      { command: "weir grants assign ana operator --tenant acme" },
      { command: "weir grants assign bo clerk --capability submit --capability read" },
    ]),
  );

const unassign = changing(
  "unassign",
  Argument.String("role").pipe(Argument.withDescription("Its name")),
  (text) => parse(RoleName, "role", text),
  "Take a role from somebody",
  "unassign ana operator --tenant acme",
);
const grant = changing(
  "grant",
  capability,
  (text) => parse(CapabilityName, "capability", text),
  "Give somebody a capability",
  "grant ana administer --tenant acme",
);
const revoke = changing(
  "revoke",
  capability,
  (text) => parse(CapabilityName, "capability", text),
  "Take a capability from somebody, whatever role has it, until it is granted again",
  "revoke ana cancel --tenant acme",
);

export const grants = Command.make("grants").pipe(
  Command.withDescription("Look after who may do what"),
  Command.withSubcommands([list, of, assign, unassign, grant, revoke]),
);
