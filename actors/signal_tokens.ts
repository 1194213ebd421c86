/**
 * Tokens with which somebody outside may send one signal to one life of one execution, once: made of
 * what they are good for and an HMAC over that. Whatever is wrong with one has one answer, which is
 * given before anything is looked up. Nothing here knows the log, and no secret leaves it.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import process from "node:process";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { InvalidToken, NoTokenKeys } from "../schema/access_errors.ts";
import { InvalidInput } from "../schema/errors.ts";
import { ExecutionId, type Namespace, Tenant } from "../schema/ids.ts";

/** A secret that makes tokens, and by which they are known. */
export interface TokenKey {
  /** Stands in each token that it made: 1 to 32 of `A-Z a-z 0-9 _ -`. */
  readonly id: string;
  /** At least 32 printable ASCII characters, drawn at random. */
  readonly secret: string;
  /** From when on its tokens are refused; theirs is the only limit, if left out. */
  readonly until?: Date;
}

/** What a token is good for. */
export interface TokenScope {
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly life: number;
  readonly signal: string;
  /** Which of the tokens that the execution asked for. */
  readonly key: string;
  /** By the server's clock, in milliseconds since 1970. */
  readonly expires: number;
}

/** A token that somebody with a key has made. */
export interface OpenedToken extends TokenScope {
  /** The same for every use of the token, and for no other token. */
  readonly id: string;
  /** When it is refused: it has expired, or the grace of its key is over. */
  readonly refusedFrom: number;
}

const Payload = Schema.fromJsonString(Schema.Tuple([
  Tenant,
  ExecutionId,
  Schema.Int,
  Schema.String,
  Schema.String,
  Schema.Number,
]));
const decodePayload = Schema.decodeUnknownOption(Payload);

/** The longest ids and names, however they are escaped, make no longer one. */
const longestToken = 8_192;
const form = /^([\w-]{1,32})\.([\w-]+)\.([\w-]{43})$/;

const refused = (what: string, value: string, rule: string) =>
  new InvalidInput({ what, value, rule });

/** Keys that may be used, each once. Throws why one may not. */
export const checkKeys = (keys: ReadonlyArray<TokenKey>): ReadonlyArray<TokenKey> => {
  const secrets = new Map<string, string>();
  return keys.filter(({ id, secret, until }, i) => {
    const named = `number ${i + 1}`;
    if (!/^[\w-]{1,32}$/.test(id)) {
      throw refused("id of a token key", named, "expected 1 to 32 of A-Z a-z 0-9 _ -");
    }
    if (!/^[\x21-\x7e]{32,1024}$/.test(secret)) {
      const rule = "expected 32 to 1024 printable ASCII characters without spaces";
      throw refused("secret of a token key", id, rule);
    }
    if (until !== undefined && Number.isNaN(until.getTime())) {
      throw refused("end of a token key", id, "expected a time like 2027-01-01T00:00:00Z");
    }
    if (i === 0 && until !== undefined) {
      throw refused("end of a token key", id, "the first key makes tokens, and so has no end");
    }
    const known = secrets.get(id);
    secrets.set(id, secret);
    if (known !== undefined && known !== secret) {
      throw refused("token keys", id, "expected one secret for each id; name the new key anew");
    }
    return known === undefined;
  });
};

/** Keys as `WEIR_TOKEN_KEYS` has them: `id=secret`, and `@` and an end behind those that retire. */
export const keysIn = (text: string): ReadonlyArray<TokenKey> =>
  text.split(",").map((each) => each.trim()).filter((each) => each !== "").map((each, i) => {
    const [, id, secret, until] = /^([^=@]*)=([^@]*)(?:@(.+))?$/.exec(each) ?? [];
    if (id === undefined || secret === undefined) {
      throw refused("WEIR_TOKEN_KEYS", `number ${i + 1}`, "expected id=secret, or id=secret@end");
    }
    return { id, secret, ...(until === undefined ? {} : { until: new Date(until) }) };
  });

/** Makes the tokens of a namespace, and knows those that it made. */
export class SignalTokens {
  readonly #keys: ReadonlyArray<TokenKey>;
  readonly #namespace: Namespace;
  /** So that a token of an unknown key takes as long as another. */
  readonly #nobody = randomBytes(32);

  constructor(keys: ReadonlyArray<TokenKey>, namespace: Namespace) {
    this.#keys = keys;
    this.#namespace = namespace;
  }

  get #present(): Effect.Effect<TokenKey, NoTokenKeys> {
    const [key] = this.#keys;
    return key === undefined ? Effect.fail(new NoTokenKeys({})) : Effect.succeed(key);
  }

  /** The id of the key that makes tokens now. */
  get current(): Effect.Effect<string, NoTokenKeys> {
    return Effect.map(this.#present, ({ id }) => id);
  }

  /** The token for a scope by the key of that id; by the present one, if that has been dropped. */
  make(scope: TokenScope, key: string): Effect.Effect<string, NoTokenKeys> {
    return Effect.map(this.#present, (present) => {
      const { id, secret } = this.#keys.find(({ id }) => id === key) ?? present;
      const { tenant, execution, life, signal, key: asked, expires } = scope;
      const payload = JSON.stringify([tenant, execution, life, signal, asked, expires]);
      const text = `${id}.${Buffer.from(payload).toString("base64url")}`;
      return `${text}.${this.#mac(secret, text)}`;
    });
  }

  /** What a token is good for, if it was made with one of the keys for this namespace. */
  open(token: string): Effect.Effect<OpenedToken, InvalidToken | NoTokenKeys> {
    return Effect.flatMap(this.#present, () => {
      const opened = this.#open(token);
      return opened === undefined ? Effect.fail(new InvalidToken({})) : Effect.succeed(opened);
    });
  }

  #mac(secret: string | Uint8Array, text: string): string {
    return createHmac("sha256", secret).update(`weir signal token\n${this.#namespace}\n${text}`)
      .digest("base64url");
  }

  #open(token: unknown): OpenedToken | undefined {
    if (typeof token !== "string" || token.length > longestToken) return undefined;
    const [, id = "", payload = "", mac] = form.exec(token) ?? [];
    if (mac === undefined) return undefined;
    const key = this.#keys.find((key) => key.id === id);
    const text = `${id}.${payload}`;
    const expected = this.#mac(key?.secret ?? this.#nobody, text);
    const isOurs = timingSafeEqual(Buffer.from(expected), Buffer.from(mac));
    if (!isOurs || key === undefined) return undefined;
    const decoded = decodePayload(Buffer.from(payload, "base64url").toString());
    if (Option.isNone(decoded)) return undefined;
    const [tenant, execution, life, signal, asked, expires] = decoded.value;
    return {
      tenant,
      execution,
      life,
      signal,
      key: asked,
      expires,
      id: createHash("sha256").update(payload).digest("hex").slice(0, 32),
      refusedFrom: Math.min(expires, key.until?.getTime() ?? Infinity),
    };
  }
}

/**
 * The keys of this process: the first makes tokens, and those of the others are taken for as long as
 * they are there. Nobody needs any who makes and takes no tokens.
 */
export const TokenKeys = Context.Reference<ReadonlyArray<TokenKey>>("@weir/weir/actors/TokenKeys", {
  defaultValue: () => [],
});

/** Of these keys, or else of `WEIR_TOKEN_KEYS`. */
export const layer = (
  keys: ReadonlyArray<TokenKey> | undefined,
): Layer.Layer<never, InvalidInput> =>
  Layer.effect(
    TokenKeys,
    Effect.try({
      try: () => checkKeys(keys ?? keysIn(process.env["WEIR_TOKEN_KEYS"] ?? "")),
      catch: (error) => error as InvalidInput,
    }),
  );
