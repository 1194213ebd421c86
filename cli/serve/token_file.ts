/**
 * The file of bearer tokens: one a line, with whom it is for. Nothing of a line is repeated when it
 * is refused, since what is wrong may be in the place of the token.
 */
import { readFile, stat } from "node:fs/promises";
import process from "node:process";
import * as Effect from "effect/Effect";
import { type Access, accesses } from "../../actors/http/authorize.ts";
import type { BearerToken } from "../../actors/http/bearer.ts";
import { InvalidInput } from "../../schema/errors.ts";

const isAccess = (text: string): text is Access => accesses.some((each) => each === text);

const refused = (file: string, rule: string) =>
  new InvalidInput({ what: "token file", value: file, rule });

const tokenOf = (file: string, line: string, number: number): BearerToken => {
  const [token = "", principal, tenant, access, ...more] = line.split(/\s+/);
  if (principal === undefined || more.length > 0) {
    throw refused(
      file,
      `expected a token, a principal, and as you like a tenant and accesses, on line ${number}`,
    );
  }
  const allowed = access?.split(",");
  if (allowed !== undefined && !allowed.every(isAccess)) {
    throw refused(file, `expected accesses of ${accesses.join(",")} on line ${number}`);
  }
  return {
    token,
    principal,
    ...(tenant === undefined || tenant === "*" ? {} : { tenant }),
    ...(allowed === undefined ? {} : { access: allowed.filter(isAccess) }),
  };
};

/** The tokens of a text: empty lines and those that begin with # are for people. */
export const tokensIn = (file: string, text: string): ReadonlyArray<BearerToken> =>
  text.split("\n").flatMap((line, i) => {
    const trimmed = line.trim();
    return trimmed === "" || trimmed.startsWith("#") ? [] : [tokenOf(file, trimmed, i + 1)];
  });

export interface TokenFile {
  readonly tokens: ReadonlyArray<BearerToken>;
  /** Whether others on this machine can read it. */
  readonly isShared: boolean;
}

export const readTokenFile = (file: string): Effect.Effect<TokenFile, InvalidInput> =>
  Effect.tryPromise({
    try: async () => {
      const [text, { mode }] = await Promise.all([readFile(file, "utf8"), stat(file)]);
      const tokens = tokensIn(file, text);
      if (tokens.length === 0) throw refused(file, "there is no token in it");
      return { tokens, isShared: process.platform !== "win32" && (mode & 0o077) !== 0 };
    },
    catch: (error) =>
      error instanceof InvalidInput ? error : refused(file, "there is no such file to read"),
  });
