/**
 * Budgets of a tenant: what may be used, what was, and consuming it. Whoever repeats a request under
 * the same `key` changes nothing twice.
 */
import * as Schema from "effect/Schema";
import { Amounts, LimitInput, perDimension } from "../../../schema/budget.ts";
import { Budget, BudgetOutcome, Budgets, Deleted } from "../answers.ts";
import { TenantQuery } from "../query.ts";
import { type Call, type Route, route } from "../route.ts";

const optional = Schema.optionalKey;
const Texts = Schema.Array(Schema.String);
const key = optional(Schema.String.annotate({ description: "Makes a repeated request harmless" }));
const limits = perDimension(LimitInput);

const AllocateRequest = Schema.Struct({
  limits,
  resetEvery: optional(
    Schema.String.annotate({ description: "A duration, from 1 second to 100 years, or never" }),
  ),
  key,
}).annotate({ identifier: "AllocateRequest" });

const ReplenishRequest = Schema.Struct({ limits, key }).annotate({
  identifier: "ReplenishRequest",
});

const ResetRequest = Schema.Struct({ dimensions: optional(Texts), key }).annotate({
  identifier: "BudgetReset",
});

const ConsumeRequest = Schema.Struct({
  amounts: Amounts,
  with: optional(Texts.annotate({ description: "Budgets that are counted in as well, or none" })),
  execution: optional(Schema.String.annotate({ description: "Who consumes, for release" })),
  overage: optional(Schema.Literals(["refuse", "allow"])),
  unallocated: optional(Schema.Literals(["refuse", "ignore"])),
  leave: optional(Amounts),
  key,
}).annotate({ identifier: "ConsumeRequest" });

const ReleaseRequest = Schema.Struct({ budgets: optional(Texts) }).annotate({
  identifier: "ReleaseRequest",
});

interface Asking<Name extends string, Body> {
  readonly path: string;
  readonly verb: string;
  readonly access: "control" | "submit";
  readonly summary: string;
  readonly body: Schema.Codec<Body, unknown>;
  readonly isBodyOptional?: boolean;
  readonly ask: (call: Call<Name, unknown, Body>) => Promise<unknown>;
}

/** A change, with what came of it. */
const asking = <const Name extends string, Body>(
  { ask, ...shape }: Asking<Name, Body>,
): Route =>
  route({
    ...shape,
    method: "POST",
    query: TenantQuery,
    answers: { 200: { description: "What came of it", schema: BudgetOutcome } },
    handle: async (call) => ({
      status: 200,
      body: await ask(call as unknown as Call<Name, unknown, Body>),
    }),
  });

const one = "/api/v1/budgets/{name}" as const;

export const budgetRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v1/budgets",
    verb: "budgets.list",
    access: "read",
    summary: "The budgets of a tenant, by name",
    query: TenantQuery,
    answers: { 200: { description: "All of them", schema: Budgets } },
    handle: async ({ weir, tenant }) => ({
      status: 200,
      body: { budgets: await weir.budgets.list({ tenant }) },
    }),
  }),
  route({
    method: "GET",
    path: one,
    verb: "budgets.describe",
    access: "read",
    summary: "A budget as it is now",
    query: TenantQuery,
    answers: { 200: { description: "As it is", schema: Budget } },
    handle: async ({ weir, tenant, path: { name } }) => ({
      status: 200,
      body: await weir.budgets.describe(name, { tenant }),
    }),
  }),
  asking<"name", typeof AllocateRequest.Type>({
    path: `${one}/allocate`,
    verb: "budgets.allocate",
    access: "control",
    summary: "Gives a budget limits in place of its own; what is used stays",
    body: AllocateRequest,
    ask: ({ weir, tenant, path: { name }, body: { limits, ...rest } }) =>
      weir.budgets.allocate(name, limits, { ...rest, tenant } as never),
  }),
  asking<"name", typeof ReplenishRequest.Type>({
    path: `${one}/replenish`,
    verb: "budgets.replenish",
    access: "control",
    summary: "Gives dimensions a new limit, and has their usage begin at zero",
    body: ReplenishRequest,
    ask: ({ weir, tenant, path: { name }, body: { limits, ...rest } }) =>
      weir.budgets.replenish(name, limits, { ...rest, tenant }),
  }),
  asking<"name", typeof ResetRequest.Type | undefined>({
    path: `${one}/reset`,
    verb: "budgets.reset",
    access: "control",
    summary: "Has usage begin at zero under the same limits",
    body: ResetRequest,
    isBodyOptional: true,
    ask: ({ weir, tenant, path: { name }, body }) => weir.budgets.reset(name, { ...body, tenant }),
  }),
  asking<"name", typeof ConsumeRequest.Type>({
    path: `${one}/consume`,
    verb: "budgets.consume",
    access: "submit",
    summary: "Counts what is consumed, here and in others, or nowhere",
    body: ConsumeRequest,
    ask: ({ weir, tenant, path: { name }, body: { amounts, with: others = [], ...rest } }) =>
      weir.budgets.consume([name, ...others], amounts, { ...rest, tenant }),
  }),
  asking<"id", typeof ReleaseRequest.Type | undefined>({
    path: "/api/v1/runs/{id}/release-budgets",
    verb: "budgets.release",
    access: "submit",
    summary: "Takes back what an execution has consumed, once",
    body: ReleaseRequest,
    isBodyOptional: true,
    ask: ({ weir, tenant, path: { id }, body }) => weir.budgets.release(id, { ...body, tenant }),
  }),
  route({
    method: "DELETE",
    path: one,
    verb: "budgets.delete",
    access: "control",
    summary: "Removes a budget with everything about it",
    query: TenantQuery,
    answers: { 200: { description: "Whether there was one", schema: Deleted } },
    handle: async ({ weir, tenant, path: { name } }) => ({
      status: 200,
      body: { deleted: await weir.budgets.delete(name, { tenant }) },
    }),
  }),
];
