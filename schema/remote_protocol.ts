/**
 * What remote workers say, and what they are answered: JSON on core NATS, for workers in any language.
 * It is public: `docs/remote-actors.md` describes it field by field. A field that is not known is
 * refused, since a misspelt one would do nothing and say nothing.
 */
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { Tenant, WorkerInstanceId } from "./ids.ts";
import { Json } from "./json.ts";
import { Department, RemoteCapabilities } from "./remote_needs.ts";

/** The longest that a claim waits for something to do. */
export const longestWaitMs = 30_000;
/** A worker that has said nothing for so many of its intervals is gone. */
export const missedHeartbeats = 3;

const Interval = Schema.Int.check(Schema.isBetween({ minimum: 1_000, maximum: 3_600_000 }));
const Wait = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: longestWaitMs }));
const Session = Schema.NonEmptyString;

const step = { session: Session, step: Schema.NonEmptyString, fence: Schema.Natural };

/** The body of each request, by the last token of its subject. */
export const remoteRequests = {
  register: Schema.Struct({
    identity: WorkerInstanceId,
    capabilities: RemoteCapabilities,
    department: Schema.optionalKey(Department),
    heartbeatMs: Interval,
    /** If given, that of the subject. */
    tenant: Schema.optionalKey(Tenant),
    /** Of a worker that is registered already, and says anew what it can do. */
    session: Schema.optionalKey(Session),
  }),
  heartbeat: Schema.Struct({
    session: Session,
    /** What it works on. */
    steps: Schema.optionalKey(
      Schema.Array(Schema.Struct({ step: step.step, fence: step.fence })).check(
        Schema.isMaxLength(1_000),
      ),
    ),
  }),
  claim: Schema.Struct({ session: Session, waitMs: Schema.optionalKey(Wait) }),
  report: Schema.Struct({ ...step, progress: Json }),
  finish: Schema.Struct({ ...step, output: Schema.optionalKey(Json) }),
  fail: Schema.Struct({
    ...step,
    error: Schema.Struct({
      message: Schema.String,
      name: Schema.optionalKey(Schema.NonEmptyString),
      code: Schema.optionalKey(Schema.String),
      retryable: Schema.optionalKey(Schema.Boolean),
      data: Schema.optionalKey(Json),
    }),
  }),
  release: Schema.Struct(step),
  deregister: Schema.Struct({ session: Session }),
} as const;
export type RemoteVerb = keyof typeof remoteRequests;
export const remoteVerbs = Object.keys(remoteRequests) as ReadonlyArray<RemoteVerb>;

/** What a verb is asked with. */
export type RemoteRequest<Verb extends RemoteVerb> = typeof remoteRequests[Verb]["Type"];

/** Why a request is refused. */
export type RemoteErrorCode =
  | "invalid_request"
  | "not_registered"
  | "lease_lost"
  | "too_large"
  | "try_again";

export interface RemoteRefusal {
  readonly ok: false;
  readonly error: {
    readonly code: RemoteErrorCode;
    readonly message: string;
    /** Whether the same request may succeed later. */
    readonly retryable: boolean;
  };
}

/** What a worker is given to do. */
export interface RemoteStep {
  /** The same whoever is given it, and different from that of any other: an idempotency key. */
  readonly step: string;
  readonly fence: number;
  /** The name of the remote actor. */
  readonly name: string;
  readonly execution: string;
  readonly tenant: string;
  readonly attempt: number;
  readonly input: Schema.Json;
  /** What the worker before it reported. */
  readonly progress: Schema.Json;
  readonly leaseMs: number;
}

export const refusal = (code: RemoteErrorCode, message: string): RemoteRefusal => ({
  ok: false,
  error: { code, message, retryable: code === "try_again" },
});

type Decoder = (value: unknown) => Result.Result<unknown, Schema.SchemaError>;
const decoders = Object.fromEntries(
  Object.entries(remoteRequests).map(([verb, schema]) => [
    verb,
    Schema.decodeUnknownResult(schema as Schema.ConstraintDecoder<unknown>, {
      onExcessProperty: "error",
    }),
  ]),
) as Readonly<Record<RemoteVerb, Decoder>>;

export const isRemoteVerb = (verb: string): verb is RemoteVerb =>
  Object.hasOwn(remoteRequests, verb);

/** A request as it was meant, or what is wrong with it. */
export const readRemoteRequest = <Verb extends RemoteVerb>(
  verb: Verb,
  body: string,
): RemoteRequest<Verb> | RemoteRefusal => {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return refusal("invalid_request", `the body of ${verb} is not JSON`);
  }
  const decoded = decoders[verb](json);
  return Result.isSuccess(decoded)
    ? decoded.success as RemoteRequest<Verb>
    : refusal("invalid_request", `${verb}: ${decoded.failure.message.replace(/\s+/g, " ")}`);
};
