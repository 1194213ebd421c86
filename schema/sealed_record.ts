/**
 * How a record looks that was sealed: still one JSON object that begins with a version and its kind,
 * so that whoever looks at a stream sees what it is, and with whose key it can be opened. No release
 * reads that version without the key.
 */

/** Above any that a record will have by itself. */
export const sealedVersion = 1_000;

const start = new RegExp(
  `^\\{"v":${sealedVersion},"kind":"\\w{1,64}","key":"([\\w-]{1,32})","sealed":"`,
);
const longestStart = 160;
const decoder = new TextDecoder();
const brace = "{".charCodeAt(0);
const firstDigit = String(sealedVersion).charCodeAt(0);
const lastDigit = 5 + String(sealedVersion).length - 1;

/** How the text begins of a record of that kind, sealed with that key; base64 and `"}` follow. */
export const sealedStart = (kind: string, key: string): string =>
  `{"v":${sealedVersion},"kind":"${kind}","key":"${key}","sealed":"`;

/** The key with which a body was sealed, and where that begins; nothing, if it was not. */
export const sealedWith = (
  body: Uint8Array,
): { readonly key: string; readonly at: number } | undefined => {
  // Asked of every record: most are told apart by what stands for the version.
  const mayBe = body[0] === brace && body[5] === firstDigit && body[lastDigit] === 0x30;
  const found = mayBe ? start.exec(decoder.decode(body.subarray(0, longestStart))) : null;
  return found === null ? undefined : { key: found[1]!, at: found[0].length };
};
