/**
 * Judges whether a principal may use a verb, by the table of verbs and what the principal has in the
 * tenant concerned. Whoever is not known to have a capability has none: an error while that is read
 * is the verb's. What it answers a stranger is the same whether what he asks for is there or not.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import type { Hidden, VerbRule } from "../../schema/access.ts";
import { Forbidden, TenantNotFound } from "../../schema/access_errors.ts";
import type { Principal } from "../../schema/access_names.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { ExecutionNotFound } from "../../schema/execution_errors.ts";
import { parse, Tenant } from "../../schema/ids.ts";
import { Grants, type Where } from "../../streams/grants.ts";

/** A verb that somebody wants to use, and where. */
export interface Request {
  readonly verb: string;
  readonly rule: VerbRule;
  readonly where: Where;
  /** What is needed here, if that is not as the rule says. */
  readonly needs?: ReadonlyArray<string>;
  /** The execution that it is about. */
  readonly execution?: string;
}

/** What a verb answers a stranger. */
const answerOf = (hidden: Hidden, { where, execution = "" }: Request): unknown => {
  if (hidden === "noExecution") throw new ExecutionNotFound({ execution });
  if (hidden === "noTenant") {
    throw new TenantNotFound({ tenant: "tenant" in where ? where.tenant : "" });
  }
  return hidden.value;
};

/** Read otherwise than the verb reads it, a tenant would be judged in place of the one that is meant. */
const tenantIn = ({ takesText }: VerbRule, argument: unknown): unknown => {
  const isText = typeof argument === "string" && takesText !== undefined;
  if (isText || takesText === "only") return argument;
  if (argument === undefined || (typeof argument === "object" && argument !== null)) {
    return (argument as { readonly tenant?: unknown } | undefined)?.tenant;
  }
  const rule = 'expected an object, like { tenant: "acme" }';
  throw new InvalidInput({ what: "options", value: String(argument), rule });
};

/** Options as they are now; what they inherit is theirs as well. */
const copyOf = (options: object): object => {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(options)), options);
  for (const name of ["tenant", "allTenants"] as const) {
    const value = (options as { readonly [key: string]: unknown })[name];
    if (value !== undefined) Object.defineProperty(copy, name, { value, enumerable: true });
  }
  return copy;
};

/** Whatever a verb may take for a yes is one. */
const meansAll = (argument: unknown): boolean =>
  Boolean((argument as { readonly allTenants?: unknown } | null | undefined)?.allTenants);

export class Guard {
  readonly principal: Principal;
  readonly #tenant: Tenant;
  readonly #runtime: ManagedRuntime.ManagedRuntime<Grants, unknown>;

  constructor(
    runtime: ManagedRuntime.ManagedRuntime<Grants, unknown>,
    principal: Principal,
    tenant: Tenant,
  ) {
    this.principal = principal;
    this.#runtime = runtime;
    this.#tenant = tenant;
  }

  /** Whom a verb concerns that is called with these arguments, of the run if it is one's. */
  whereOf(rule: VerbRule, args: ReadonlyArray<unknown>, tenant = this.#tenant): Where {
    const { concerns } = rule;
    if (concerns === "allTenants" || concerns === "eachTenant") return { allTenants: true };
    if (concerns === "run") return { tenant };
    const argument = args[concerns];
    if (meansAll(argument)) return { allTenants: true };
    const named = tenantIn(rule, argument);
    return {
      tenant: named === undefined ? tenant : Effect.runSync(parse(Tenant, "tenant", named)),
    };
  }

  /** The arguments as they are now: what is judged is what is done, whatever becomes of them meanwhile. */
  taken({ concerns }: VerbRule, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    return args.map((argument, i) =>
      i === concerns && typeof argument === "object" && argument !== null
        ? copyOf(argument)
        : argument
    );
  }

  /** Whether the principal may; it may not know if it is a stranger to whom the verb is hidden. */
  async judge(request: Request): Promise<"granted" | "hidden"> {
    const { verb, rule, where, needs = rule.needs } = request;
    if (needs.length === 0) return "granted";
    const { principal } = this;
    const { capabilities } = await this.#runtime.runPromise(
      Effect.flatMap(Grants, ({ rights }) => rights(principal, where)),
    );
    const held: ReadonlySet<string> = capabilities;
    if (needs.some((capability) => held.has(capability))) return "granted";
    if (rule.hidden !== undefined && held.size === 0) return "hidden";
    throw new Forbidden({
      principal,
      verb,
      capabilities: [...needs],
      ...("tenant" in where ? { tenant: where.tenant } : {}),
    });
  }

  /** What a verb answers that is hidden from the principal. */
  answer(request: Request): unknown {
    return answerOf(request.rule.hidden!, request);
  }

  /** The arguments as the principal itself gives them: it speaks for nobody else. */
  signed({ signs }: VerbRule, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    if (signs === undefined) return args;
    const [property, index] = signs;
    const signed = Array.from({ length: Math.max(args.length, index + 1) }, (_, i) => args[i]);
    signed[index] = this.signedOptions(property, args[index]);
    return signed;
  }

  signedOptions(property: "by" | "source", options: unknown = {}): object {
    const given = (options as Readonly<Record<string, unknown>>)[property];
    if (given !== undefined && given !== this.principal) {
      const rule = `${this.principal} speaks for itself alone: leave it out`;
      throw new InvalidInput({ what: property, value: String(given), rule });
    }
    return { ...(options as object), [property]: this.principal };
  }
}
