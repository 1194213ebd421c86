/**
 * Failures of who may do what: a principal that may not, a tenant that nobody created, and a token
 * that is none. The same form as in `errors.ts`. That something is there is told to nobody who may
 * not know.
 */
import * as Schema from "effect/Schema";

const quoted = (text: string): string => JSON.stringify(text);

/** A principal asked for what it has no capability for; nothing was read or written. */
export class Forbidden extends Schema.TaggedError<Forbidden>("@weir/weir/Forbidden")(
  "Forbidden",
  {
    principal: Schema.String,
    verb: Schema.String,
    /** One of these would do. */
    capabilities: Schema.Array(Schema.String),
    /** Left out: all tenants. */
    tenant: Schema.optionalKey(Schema.String),
  },
) {
  readonly code = "WEIR_FORBIDDEN";
  readonly retryable = false;
  /** The capability to ask for. */
  get capability(): string {
    return this.capabilities[0] ?? "none";
  }
  override get message(): string {
    const { principal, verb, capabilities, tenant } = this;
    const where = tenant === undefined ? "for all tenants" : `in tenant ${quoted(tenant)}`;
    const refused = `${quoted(principal)} may not ${verb} ${where}`;
    if (capabilities.length === 0) {
      return `${refused}: no principal may. Ask the service for it that connects without one.`;
    }
    const scope = tenant === undefined ? "allTenants: true" : `tenant: ${quoted(tenant)}`;
    const call = `grants.grant(${quoted(principal)}, ${quoted(this.capability)}, { ${scope} })`;
    return `${refused}: that needs ${capabilities.join(" or ")}. ` +
      `Ask whoever administers it for ${call}, or for a role that has it.`;
  }
}

/** Nobody created this tenant. */
export class TenantNotFound extends Schema.TaggedError<TenantNotFound>("@weir/weir/TenantNotFound")(
  "TenantNotFound",
  { tenant: Schema.String },
) {
  readonly code = "WEIR_TENANT_NOT_FOUND";
  readonly retryable = false;
  override get message(): string {
    return `There is no tenant ${quoted(this.tenant)}. ` +
      `Check its id, or have it created first, with tenants.create.`;
  }
}

/** A token for a signal that is refused, for whatever reason: none is told. */
export class InvalidToken extends Schema.TaggedError<InvalidToken>("@weir/weir/InvalidToken")(
  "InvalidToken",
  {},
) {
  readonly code = "WEIR_INVALID_TOKEN";
  readonly retryable = false;
  override get message(): string {
    return "The token is refused. Ask whoever gave it to you for another.";
  }
}

/** Tokens for signals are made and taken only by who has keys for them. */
export class NoTokenKeys extends Schema.TaggedError<NoTokenKeys>("@weir/weir/NoTokenKeys")(
  "NoTokenKeys",
  {},
) {
  readonly code = "WEIR_NO_TOKEN_KEYS";
  readonly retryable = false;
  override get message(): string {
    return "This process has no keys for tokens of signals. " +
      "Connect with `tokenKeys`, or start it with WEIR_TOKEN_KEYS: the same keys in all processes.";
  }
}

/** Every failure of who may do what. */
export type AccessProblem = Forbidden | InvalidToken | NoTokenKeys | TenantNotFound;
