/**
 * Every verb, for every role, in one's own tenant and in another: the outcome of each cell follows
 * from the table of verbs, and what is refused has neither read nor written.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import {
  capabilities,
  type Capability,
  ExecutionNotFound,
  Forbidden,
  roles,
  TenantNotFound,
  type Verb,
  type VerbRule,
  verbs,
} from "../../../schema/mod.ts";
import { inMemory, type MemoryWeir } from "../../../testing/memory_weir.ts";
import {
  budget,
  calls,
  ended,
  go,
  ledger,
  policy,
  type Scene,
  scheduled,
  trigger,
  wait,
  waiting,
} from "./calls.ts";

const own = "own";
const foreign = "foreign";

/** Who there is, and what he has in his own tenant. */
const cast: Readonly<Record<string, ReadonlyArray<Capability>>> = {
  ...roles,
  nobody: [],
  root: capabilities,
  ...Object.fromEntries(capabilities.map((each) => [`only ${each}`, [each]])),
};

type Cell = "granted" | "forbidden" | "noExecution" | "noTenant" | { readonly value: unknown };

/** Who has what he has in all tenants. */
const everywhere = "root";

/** What the table says. */
const expected = (
  { needs, concerns, hidden }: VerbRule,
  held: ReadonlyArray<Capability>,
  isOwn: boolean,
  isEverywhere: boolean,
): Cell => {
  if (needs.length === 0 || concerns === "eachTenant") return "granted";
  const here = isEverywhere || isOwn && concerns !== "allTenants" ? held : [];
  if (needs.some((each) => here.includes(each))) return "granted";
  return hidden !== undefined && here.length === 0 ? hidden : "forbidden";
};

describe("who may do what", () => {
  let weir: MemoryWeir;
  let count = 0;
  before(async () => {
    weir = await inMemory();
    for (const tenant of [own, foreign]) {
      await weir.tenants.create(tenant, { name: tenant });
      const worker = await weir.worker([wait]);
      for (const id of [ended, waiting]) {
        await weir.start(wait, undefined, { id, tenant, tags: { "team.name": "eu" } });
      }
      const run = weir.get(wait, ended, { tenant });
      await run.signal(go, { n: 1 });
      await run.result();
      await worker.close();
      await weir.schedule(wait, undefined, { id: scheduled, tenant, policy });
      await weir.budgets.allocate(budget, { token: { hard: 10 } }, { tenant });
      await weir.triggers.create({
        tenant,
        id: trigger,
        when: { event: "paid" },
        then: { promote: `wait/${waiting}` },
        unserved: true,
      });
      await weir.ledgers.append(ledger, { kind: "audit", payload: "kept", tenant });
    }
    for (const [name, held] of Object.entries(cast)) {
      if (Object.hasOwn(roles, name)) {
        await weir.grants.assign(name, name as keyof typeof roles, { tenant: own });
      } else {
        const where = name === everywhere ? { allTenants: true } : { tenant: own };
        for (const each of held) await weir.grants.grant(name, each, where);
      }
    }
  });
  after(() => weir.close());

  const call = (verb: Verb, principal: string, tenant: string): Promise<unknown> => {
    const door = { ...weir.as(principal), tenant: weir.tenant, principal } as Scene["door"];
    return Promise.resolve(calls[verb]({ door, tenant, fresh: `${principal} ${count++}` }));
  };

  /** How much there is of everything that a verb may add. */
  const written = async () => {
    const counts = await Promise.all([own, foreign].map(async (tenant) => [
      (await weir.events.pageExecutions(tenant, { limit: 1_000 })).executions.length,
      (await weir.grants.list({ tenant })).length,
      (await weir.ledgers.keys({ tenant })).length,
      await weir.events.countEvents(`wait/${waiting}`, tenant),
    ]));
    return [...counts, (await weir.tenants.list()).length].join();
  };

  const cells = Object.entries(cast).flatMap(([principal, held]) =>
    [own, foreign].map((tenant) => ({ principal, held, tenant }))
  );

  /** What a cell came to, in the words of the table. */
  const outcome = async (verb: Verb, rule: VerbRule, principal: string, tenant: string) => {
    try {
      const value = await call(verb, principal, tenant);
      const isHidden = typeof rule.hidden === "object" &&
        isDeepStrictEqual(value, rule.gives === "iterable" ? undefined : rule.hidden.value);
      return isHidden ? rule.hidden : "granted";
    } catch (error) {
      if (error instanceof Forbidden) {
        const { capabilities, ...rest } = error;
        assert.deepEqual({ ...rest }, {
          _tag: "Forbidden",
          code: "WEIR_FORBIDDEN",
          retryable: false,
          principal,
          verb,
          ...(rule.concerns === "allTenants" ? {} : { tenant }),
        });
        assert.deepEqual(capabilities, rule.needs);
        return "forbidden";
      }
      if (error instanceof ExecutionNotFound) return "noExecution";
      if (error instanceof TenantNotFound) return "noTenant";
      // What the verb itself refuses to somebody who may use it.
      return "granted";
    }
  };

  for (const [verb, rule] of Object.entries(verbs) as Array<[Verb, VerbRule]>) {
    it(`${verb}, for everybody, here and there`, async () => {
      for (const { principal, held, tenant } of cells) {
        const cell = expected(rule, held, tenant === own, principal === everywhere);
        const before = await written();
        assert.deepEqual(
          await outcome(verb, rule, principal, tenant),
          cell,
          `${verb} by ${principal} in ${tenant}`,
        );
        if (cell !== "granted") assert.equal(await written(), before);
      }
    });
  }

  it("the door has no verb that the table does not know, and the table none that it has not", () => {
    const { as: _as, close: _close, advance: _advance, ...door } = weir;
    const run = weir.get(wait, ended);
    const schedule = weir.getSchedule(wait, scheduled);
    const parts = [
      ...Object.entries({ ...door, run }),
      ["schedule", schedule] as const,
    ];
    const found = parts.flatMap(([name, part]) =>
      typeof part === "function"
        ? [name]
        : typeof part === "object" && part !== null && !(part instanceof Date)
        ? Object.entries(part).flatMap(([verb, value]) =>
          typeof value === "function" ? [`${name}.${verb}`] : []
        )
        : []
    );
    assert.deepEqual(found.sort(), Object.keys(verbs).sort());
  });
});
