/**
 * Text as one token of a NATS subject or KV key: `[A-Za-z0-9_-]` stay readable, every other UTF-8
 * byte becomes `=` and two upper-case hex digits. Each text has exactly one token and each token at
 * most one text. It knows nothing of lengths: `ids.ts` bounds what is encoded.
 */
const readable = /^[A-Za-z0-9_-]+$/;
const wellFormed = /^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/;

const escape = (character: string): string =>
  `%${character.charCodeAt(0).toString(16).toUpperCase()}`;

/** The token of a non-empty text. Throws `URIError` on a lone surrogate, which no id contains. */
export const encodeToken = (text: string): string =>
  readable.test(text)
    ? text
    : encodeURIComponent(text).replace(/[.!~*'()]/g, escape).replaceAll("%", "=");

/** The text of a token, or nothing for what `encodeToken` does not write. */
export const decodeToken = (token: string): string | undefined => {
  if (readable.test(token)) return token;
  if (!wellFormed.test(token)) return undefined;
  try {
    const text = decodeURIComponent(token.replaceAll("=", "%"));
    return encodeToken(text) === token ? text : undefined;
  } catch {
    return undefined;
  }
};
