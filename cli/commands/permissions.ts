/** `weir permissions`: the user block for nats-server that mirrors a role in one tenant. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { isBuiltinRole, roles } from "../../schema/access.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { natsAccount } from "../../streams/nats_account.ts";
import { natsPermissions, type NatsSubjects } from "../../streams/nats_permissions.ts";
import { given } from "../flags.ts";
import { root, tenant } from "../root.ts";
import { json } from "../report.ts";
import { Screen } from "../screen.ts";

const heldBy = (role: Option.Option<string>, capabilities: ReadonlyArray<string>) => {
  if (Option.isNone(role)) return Effect.succeed(capabilities);
  if (isBuiltinRole(role.value)) return Effect.succeed([...roles[role.value], ...capabilities]);
  const rule = `expected ${Object.keys(roles).join(", ")}, or --capability instead`;
  return new InvalidInput({ what: "role", value: role.value, rule });
};

/** A name that the environment may have. */
const variable = (user: string): string =>
  `${user.toUpperCase().replace(/[^A-Z0-9]+/g, "_").replace(/^(?=\d)/, "_")}_PASSWORD`;

const block = (name: string, subjects: NatsSubjects): string =>
  "deny" in subjects
    ? `    ${name}: { deny: [">"] }`
    : [`    ${name}: {`, "      allow: [", ...subjects.allow.map((each) => `        ${json(each)}`)]
      .concat("      ]", "    }").join("\n");

const checking = <A>(make: () => A) =>
  Effect.try({ try: make, catch: (error) => error as InvalidInput });

export const permissions = Command.make("permissions", {
  role: Flag.String("role").pipe(
    Flag.withDescription("operator, auditor or gatekeeper"),
    Flag.optional,
  ),
  capabilities: Flag.String("capability").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("What the user may do besides, as often as needed"),
    Flag.atLeast(0),
  ),
  user: Flag.String("user").pipe(
    Flag.withDescription("Name of the NATS user (tenant and role)"),
    Flag.optional,
  ),
  account: Flag.String("account").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Account of the tenant: print what accounts export and import instead"),
    Flag.optional,
  ),
  owner: Flag.String("owner").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Account that has the namespace"),
    Flag.withDefault("WEIR"),
  ),
  shards: Flag.Int("shards").pipe(
    Flag.withDescription("How many shards the namespace has"),
    Flag.withDefault(1),
  ),
  format: Flag.Literals("format", ["conf", "json"]).pipe(
    Flag.withDescription("As nats-server's configuration, or as JSON, which it reads as well"),
    Flag.withDefault("conf"),
  ),
}, (asked) =>
  Effect.gen(function* () {
    const screen = yield* Screen;
    const flags = yield* root;
    const owner = yield* tenant;
    const held = yield* heldBy(asked.role, asked.capabilities);
    const name = Option.getOrElse(
      asked.user,
      () => `${owner}-${Option.getOrElse(asked.role, () => "user")}`,
    );
    const wanted = {
      tenant: owner,
      capabilities: held,
      shards: asked.shards,
      ...given("namespace", flags.namespace),
    };
    const isPlain = flags.json || asked.format === "json";
    if (Option.isSome(asked.account)) {
      const account = asked.account.value;
      const sides = yield* checking(() => natsAccount({ ...wanted, account, owner: asked.owner }));
      return yield* screen.write(`${isPlain ? json(sides) : JSON.stringify(sides, null, 2)}\n`);
    }
    const { publish, subscribe } = yield* checking(() =>
      natsPermissions({ ...wanted, ...given("inboxPrefix", flags.inboxPrefix) })
    );
    if (isPlain) {
      return yield* screen.write(`${json({ user: name, permissions: { publish, subscribe } })}\n`);
    }
    const lines = [
      "{",
      `  user: ${json(name)}`,
      `  password: $${variable(name)}`,
      "  permissions: {",
      block("publish", publish),
      block("subscribe", subscribe),
      "  }",
      "}",
    ];
    yield* screen.write(`${lines.join("\n")}\n`);
  })).pipe(
    Command.withDescription("Print the NATS user that mirrors a role in one tenant"),
    Command.withExamples([
      { command: "weir permissions --tenant acme --role auditor --format conf" },
    ]),
  );
