/**
 * What the account of a namespace exports to the account of one tenant, and what that imports: the
 * subjects that a user of the tenant may have, and no others. The other account's answers cannot come
 * back as anything else, so that for reading this is a wall. Headers pass, so for writing it is not.
 */
import { type NatsPermissionsOptions, tenantSubjects } from "./nats_permissions.ts";

export interface NatsAccountOptions extends Omit<NatsPermissionsOptions, "inboxPrefix"> {
  /** The account of the tenant. */
  readonly account: string;
  /** The account that has the namespace. */
  readonly owner: string;
}

/** The two sides, as nats-server's configuration has them. */
export interface NatsAccount {
  /** For the account that has the namespace. */
  readonly exports: ReadonlyArray<
    & { readonly accounts: readonly [string] }
    & ({ readonly service: string } | {
      readonly stream: string;
    })
  >;
  /** For the account of the tenant. */
  readonly imports: ReadonlyArray<
    | { readonly service: { readonly account: string; readonly subject: string } }
    | { readonly stream: { readonly account: string; readonly subject: string } }
  >;
}

/**
 * What two accounts of nats-server say, so that one reads what its tenant has in the other.
 *
 * **Example** (A tenant that nobody trusts, and that looks)
 *
 * ```ts
 * import { natsAccount } from "@weir/weir";
 *
 * const { exports, imports } = natsAccount({
 *   account: "ACME",
 *   owner: "WEIR",
 *   tenant: "acme",
 *   capabilities: ["read"],
 * });
 * console.log({ WEIR: { jetstream: "enabled", exports }, ACME: { imports } });
 * ```
 */
export const natsAccount = (
  { account, owner, ...options }: NatsAccountOptions,
): NatsAccount => {
  const { sent, heard } = tenantSubjects(options);
  const accounts = [account] as const;
  return {
    exports: [
      ...sent.map((service) => ({ service, accounts })),
      ...heard.map((stream) => ({ stream, accounts })),
    ],
    imports: [
      ...sent.map((subject) => ({ service: { account: owner, subject } })),
      ...heard.map((subject) => ({ stream: { account: owner, subject } })),
    ],
  };
};
