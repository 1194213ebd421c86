/**
 * The body of a request as JSON, read no further than its limit and waited for no longer than its
 * time. What is not UTF-8, not JSON or nested without end is refused here; what it says is checked by
 * the schema of its route.
 */
import { isWithin, maxJsonDepth } from "../../schema/json.ts";
import { invalidBody, invalidRequest, Refusal, shown } from "./refusal.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

const tooLarge = (limitBytes: number) =>
  new Refusal({
    status: 413,
    code: "WEIR_BODY_TOO_LARGE",
    message: `The body exceeds the limit of ${limitBytes} bytes. Store it elsewhere and send a ` +
      `reference, or have the limit raised.`,
    details: { limitBytes },
  });

const tooSlow = (timeoutMs: number) =>
  new Refusal({
    status: 408,
    code: "WEIR_BODY_TIMEOUT",
    message: `The body did not arrive within ${timeoutMs} ms. Try again.`,
    retryable: true,
  });

const unsupported = (message: string) =>
  new Refusal({ status: 415, code: "WEIR_UNSUPPORTED_MEDIA_TYPE", message });

const readBytes = async (
  body: ReadableStream<Uint8Array>,
  { maxBytes, timeoutMs }: BodyLimits,
): Promise<Uint8Array> => {
  const reader = body.getReader();
  const chunks: Array<Uint8Array> = [];
  let size = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(tooSlow(timeoutMs)), timeoutMs);
  });
  try {
    for (;;) {
      const { value, done } = await Promise.race([reader.read(), late]);
      if (done) break;
      size += value.byteLength;
      if (size > maxBytes) throw tooLarge(maxBytes);
      chunks.push(value);
    }
  } catch (error) {
    // Whoever sends it is not waited for.
    reader.cancel().catch(() => undefined);
    if (error instanceof Refusal) throw error;
    throw invalidRequest("The body was cut off. Send it again.");
  } finally {
    clearTimeout(timer);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
};

const checkHeaders = ({ headers }: Request, { maxBytes }: BodyLimits): void => {
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    throw unsupported(`Send the body as it is, without the encoding ${shown(encoding)}.`);
  }
  const length = headers.get("content-length");
  if (length !== null && Number(length) > maxBytes) throw tooLarge(maxBytes);
};

/** Browsers send other types across origins without asking first. */
const checkType = ({ headers }: Request): void => {
  const [type = "", ...parameters] = (headers.get("content-type") ?? "").toLowerCase().split(";");
  if (!/^application\/([a-z0-9.!#$&^_-]+\+)?json$/.test(type.trim())) {
    throw unsupported("Send JSON, with `content-type: application/json`.");
  }
  const charset = parameters.map((each) => each.trim()).find((each) => each.startsWith("charset="));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) {
    throw unsupported("Send JSON in UTF-8.");
  }
};

const parseJson = (bytes: Uint8Array): unknown => {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalidRequest("The body is not UTF-8.");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    // The engine's words say where, and repeat some of the text.
    const where = /position \d+/.exec((error as Error).message)?.[0];
    throw invalidRequest(`The body is not JSON${where === undefined ? "" : `, at ${where}`}.`);
  }
};

/** Levels that a route lays around what an application sends. */
const frameDepth = 3;

/** The body, or nothing if there is none. */
export const readJson = async (request: Request, limits: BodyLimits): Promise<unknown> => {
  checkHeaders(request, limits);
  const bytes = request.body === null ? new Uint8Array() : await readBytes(request.body, limits);
  if (bytes.length === 0) return undefined;
  checkType(request);
  const value = parseJson(bytes);
  if (!isWithin(value as never, maxJsonDepth + frameDepth)) {
    throw invalidBody(`expected a JSON value of at most ${maxJsonDepth} levels`);
  }
  return value;
};
