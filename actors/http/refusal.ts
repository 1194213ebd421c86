/**
 * What the door itself refuses, before or instead of a verb: a request that cannot be read, or that
 * nobody may make. It holds what the client is told and nothing else.
 */

export interface RefusalOptions {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that is not served. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly code: string;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    { status, code, message, retryable = false, details, headers = {} }: RefusalOptions,
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryable = retryable;
    this.details = details;
    this.headers = headers;
  }
}

/** A text of the client, short enough to be repeated to it. */
export const shown = (text: string): string =>
  JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);

export const invalidRequest = (message: string, details?: Refusal["details"]): Refusal =>
  new Refusal({
    status: 400,
    code: "WEIR_INVALID_REQUEST",
    message,
    ...(details === undefined ? {} : { details }),
  });

export const notFound = (message: string): Refusal =>
  new Refusal({ status: 404, code: "WEIR_NOT_FOUND", message });

export const forbidden = (message: string): Refusal =>
  new Refusal({ status: 403, code: "WEIR_FORBIDDEN", message });

/** A body that is read and breaks a rule. */
export const invalidBody = (rule: string): Refusal =>
  new Refusal({
    status: 422,
    code: "WEIR_INVALID_INPUT",
    message: `The body is refused: ${rule}.`,
    details: { what: "the body", rule },
  });
