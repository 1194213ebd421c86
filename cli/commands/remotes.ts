/**
 * `weir remotes`: the remote workers of a tenant, what each has, and the removal of one. Who is there is
 * read from the log; what one has is known to who keeps them.
 */
import * as Effect from "effect/Effect";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Remotes from "../../actors/remotes.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { type Column, fields, printList, printOne } from "../report.ts";
import { existing, tenant } from "../root.ts";
import { iso } from "../screen.ts";

const identity = Argument.String("worker").pipe(
  Argument.withDescription("The name that the worker registered under"),
);

const columns: ReadonlyArray<Column<Remotes.RemoteWorker>> = [
  { title: "WORKER", of: ({ identity }) => identity },
  { title: "SINCE", of: ({ registeredAt }) => iso(registeredAt) },
  { title: "SEEN", of: ({ aliveAt }) => iso(aliveAt) },
  { title: "HEARTBEAT", of: ({ heartbeatMs }) => `${heartbeatMs} ms` },
  { title: "DEPARTMENT", of: ({ department }) => department ?? "-" },
  { title: "CAPABILITIES", of: ({ capabilities }) => capabilities.join(",") || "-" },
];

const ls = Command.make("ls", {}, () =>
  Effect.gen(function* () {
    yield* printList(columns, yield* Remotes.list(yield* tenant));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the remote workers of the tenant that are registered"),
  );

const describe = Command.make("describe", { identity }, ({ identity }) =>
  Effect.gen(function* () {
    const worker = yield* Remotes.describe(yield* tenant, identity);
    if (worker === undefined) {
      const rule = "no remote worker of the tenant is registered under it; weir remotes ls";
      return yield* new InvalidInput({ what: "worker", value: identity, rule });
    }
    yield* printOne(worker, [
      ...fields([
        ["worker", worker.identity],
        ["since", iso(worker.registeredAt)],
        ["heartbeat", `${worker.heartbeatMs} ms, or gone at ${iso(worker.aliveUntil)}`],
        ["department", worker.department],
        ["capabilities", worker.capabilities.join(", ")],
      ]),
      ...worker.steps.map(({ execution, fence, leaseUntil }) =>
        `has ${execution} (fence ${fence}) until ${iso(leaseUntil)}`
      ),
    ]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Show a remote worker, and what it works on"),
  );

const deregister = Command.make(
  "deregister",
  { identity },
  ({ identity }) =>
    Effect.gen(function* () {
      const wasRegistered = yield* Remotes.deregister(yield* tenant, identity);
      const said = wasRegistered ? "deregistered" : "was not registered";
      yield* printOne({ worker: identity, wasRegistered }, [`${identity}  ${said}`]);
    }).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("Remove a remote worker, and give what it has to others"),
);

export const remotes = Command.make("remotes").pipe(
  Command.withDescription("Look after workers in other languages"),
  Command.withSubcommands([ls, describe, deregister]),
);
