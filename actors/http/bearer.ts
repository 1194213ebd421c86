/**
 * Bearer tokens as a ready-made answer to who may do what. Tokens are compared by their digests, all
 * of them each time, so that how long it takes tells nothing; none is ever repeated to anybody.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { InvalidInput } from "../../schema/errors.ts";
import { type Access, accesses, type AuthorizeVerb } from "./authorize.ts";

/** Who holds a token, and what it is good for. */
export interface BearerToken {
  readonly token: string;
  /** In whose name its holder acts. */
  readonly principal: string;
  /** The one tenant that there is for its holder; any, if left out. */
  readonly tenant?: string;
  /** What it is good for; everything, and within a tenant everything but `operate`, if left out. */
  readonly access?: ReadonlyArray<Access>;
}

const leastLength = 16;

const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();

const credentials = /^Bearer +([\x21-\x7e]+) *$/i;

/**
 * Lets in who has one of these tokens.
 *
 * **Example** (Two clients, one of them for a tenant alone)
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { bearer, weirHandler } from "@weir/weir/http";
 * import { inMemory } from "@weir/weir/testing";
 *
 * await using weir = await inMemory();
 * const handler = weirHandler({
 *   weir,
 *   authorize: bearer([
 *     { token: "correct-horse-battery", principal: "operator" },
 *     { token: "staple-horse-battery", principal: "shop", tenant: "acme", access: ["read"] },
 *   ]),
 * });
 * const headers = { authorization: "Bearer staple-horse-battery" };
 * const status = async (path: string) =>
 *   (await handler(new Request(`http://weir.test${path}`, { headers }))).status;
 * assert.equal(await status("/api/v1/runs"), 200);
 * assert.equal(await status("/api/v1/runs?tenant=rival"), 403);
 * assert.equal(await status("/metrics"), 403);
 * ```
 */
export const bearer = (tokens: ReadonlyArray<BearerToken>): AuthorizeVerb => {
  const known = tokens.map(({ token, principal, tenant, access }, i) => {
    if (!/^[\x21-\x7e]+$/.test(token) || token.length < leastLength) {
      throw new InvalidInput({
        what: "bearer token",
        value: `number ${i + 1}`,
        rule: `expected at least ${leastLength} printable ASCII characters without spaces`,
      });
    }
    const all = accesses.filter((each) => tenant === undefined || each !== "operate");
    return {
      digest: digest(token),
      access: new Set<Access>(access ?? all),
      caller: { principal, ...(tenant === undefined ? {} : { tenant }) },
    };
  });
  const numbers = new Map<string, number>();
  for (const [i, { token }] of tokens.entries()) {
    const before = numbers.get(token);
    if (before !== undefined) {
      throw new InvalidInput({
        what: "bearer tokens",
        value: `numbers ${before} and ${i + 1}`,
        rule: "expected each token once: one entry says what it is good for",
      });
    }
    numbers.set(token, i + 1);
  }
  return (request, { access }) => {
    const given = credentials.exec(request.headers.get("authorization") ?? "")?.[1];
    if (given === undefined) return "unauthenticated";
    const asked = digest(given);
    // Not `find`, which would stop at the first.
    const [found] = known.filter((each) => timingSafeEqual(each.digest, asked));
    if (found === undefined) return "unauthenticated";
    return found.access.has(access) ? found.caller : "forbidden";
  };
};
