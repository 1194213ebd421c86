/**
 * What a client is told of an error: a status by one table, and the code and message by which the
 * error is documented. Of an error that is none of ours, and of where the server runs, nothing is
 * told.
 */
import type { AccessProblem } from "../../schema/access_errors.ts";
import type { BudgetProblem } from "../../schema/budget_errors.ts";
import type { ExecutionProblem } from "../../schema/execution_errors.ts";
import type { WeirError } from "../../schema/errors.ts";
import type { TriggerProblem } from "../../schema/trigger_errors.ts";
import { Refusal } from "./refusal.ts";

type Known =
  (WeirError | ExecutionProblem | AccessProblem | BudgetProblem | TriggerProblem)["_tag"];

const statuses: { readonly [Tag in Known]: number } = {
  InvalidCursor: 400,
  Forbidden: 403,
  InvalidToken: 403,
  TenantNotFound: 404,
  BudgetNotFound: 404,
  ExecutionNotFound: 404,
  SubscriptionNotFound: 404,
  TriggerNotFound: 404,
  AlreadyExists: 409,
  SequenceConflict: 409,
  IntakeClosed: 409,
  StaleFence: 409,
  LeaseHeld: 409,
  LeaseNotHeld: 409,
  SubscriptionConflict: 409,
  ExecutionEnded: 409,
  ExecutionNotEnded: 409,
  ExecutionFailed: 409,
  ExecutionCancelled: 409,
  ExecutionExpired: 409,
  ScheduleFailed: 409,
  RetryLimitExceeded: 409,
  CursorGap: 410,
  PayloadTooLarge: 413,
  InvalidInput: 422,
  InvalidBatch: 422,
  UnknownActor: 422,
  NobodyKeepsQueues: 422,
  NobodyKeepsTriggers: 422,
  DependencyCycle: 422,
  DimensionNotAllocated: 422,
  TooManyDimensions: 422,
  ZeroLimit: 422,
  HierarchyTooDeep: 422,
  SignalLimitExceeded: 429,
  Unavailable: 503,
  StreamDisconnected: 503,
  ConnectionFailed: 503,
  ConnectionClosed: 503,
  ServerNotFound: 503,
  ServerFailed: 503,
  NoSpace: 507,
  ServerRefused: 502,
  NoTokenKeys: 501,
  ServerTooOld: 500,
  TopologyDrift: 500,
  NamespaceNotFound: 500,
  CipherMissing: 500,
  CorruptRecord: 500,
  UnsupportedRecordVersion: 500,
  UnknownRecordKind: 500,
  // These speak to the code of an actor, and reach nobody else.
  NameInUse: 500,
  KindMismatch: 500,
  StepFailed: 500,
  ChildFailed: 500,
  Cancelled: 500,
  BudgetExhausted: 500,
  NonRetryable: 500,
  OutputClosed: 500,
  NotAwaited: 500,
  InsideStep: 500,
  ContextClosed: 500,
  OutsideBody: 500,
  VersionNotSupported: 500,
  NondeterministicProgram: 500,
};

/** What a client is told in place of a message about the server's own matters. */
const unspecific: Readonly<Record<number, string>> = {
  500: "The server failed. Its operator can look for the request by its id.",
  502: "The log refused the request. Its operator can look for the request by its id.",
  503: "The log cannot be reached. Try again later.",
};

interface Told {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The answer to a request that failed. */
export interface Problem {
  readonly status: number;
  readonly body: { readonly error: Told };
  readonly headers: Readonly<Record<string, string>>;
  /** Whether whoever runs the server should look at it. */
  readonly isOurs: boolean;
}

interface Coded extends Error {
  readonly _tag: string;
  readonly code: string;
  readonly retryable: boolean;
}

const isCoded = (error: unknown): error is Coded =>
  error instanceof Error && "_tag" in error && typeof error._tag === "string" &&
  "code" in error && typeof error.code === "string" &&
  "retryable" in error && typeof error.retryable === "boolean";

const statusOf = ({ _tag: tag, retryable }: Coded): number =>
  Object.hasOwn(statuses, tag) ? statuses[tag as Known] : retryable ? 503 : 500;

/** The fields of an error of ours, which are JSON but for its cause. */
const detailsOf = (error: Coded, isOurs: boolean) => {
  const own = Object.entries(error).filter(([name]) =>
    isOurs
      // Whether it is worth a look before it is repeated.
      ? name === "landed"
      : !["_tag", "code", "retryable", "cause", "name", "message", "stack"].includes(name)
  );
  return own.length === 0 ? {} : { details: Object.fromEntries(own) };
};

/** How long a client does well to wait, in seconds. */
const pause = { "retry-after": "1" };

/** What is told of an error, whatever it is. */
export const problemOf = (error: unknown): Problem => {
  if (error instanceof Refusal) {
    const { status, code, message, retryable, details, headers } = error;
    const told = { code, message, retryable, ...(details === undefined ? {} : { details }) };
    return { status, body: { error: told }, headers, isOurs: false };
  }
  if (!isCoded(error)) {
    const told = { code: "WEIR_INTERNAL", message: unspecific[500]!, retryable: false };
    return { status: 500, body: { error: told }, headers: {}, isOurs: true };
  }
  const { code, message, retryable } = error;
  const status = statusOf(error);
  const isOurs = unspecific[status] !== undefined;
  const told = {
    code,
    message: unspecific[status] ?? message,
    retryable,
    ...detailsOf(error, isOurs),
  };
  return { status, body: { error: told }, headers: status === 503 ? pause : {}, isOurs };
};
