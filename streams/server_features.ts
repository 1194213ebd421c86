/**
 * What Weir needs of a nats-server and since when the server has it. A server that lacks something
 * is refused at connect with the name of what is missing, not later with an obscure answer.
 */
import { errors, type NatsConnection } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as SemVer from "effect/SemVer";
import { ServerTooOld } from "../schema/errors.ts";

/** The oldest nats-server that has everything. */
export const requiredVersion = "2.14.0";

const features: ReadonlyArray<readonly [since: SemVer.VersionString, feature: string]> = [
  ["2.2.0", "message headers"],
  ["2.11.0", "message TTL"],
  ["2.11.0", "batched direct reads"],
  ["2.12.0", "atomic batch publishing"],
  ["2.12.0", "message schedules"],
  ["2.12.0", "prioritised consumers"],
  [requiredVersion, "repeating schedules"],
];

/** JetStream runs nowhere, or not for this account. */
const disabledCodes = [10076, 10039];
const askForMs = 2_000;

/** Whether a server version has what came with a release; its pre-releases count as the release. */
export const isAtLeast = (version: string, minimum: SemVer.VersionString): boolean =>
  Result.match(SemVer.parse(version.replace(/^v/, "")), {
    onFailure: () => false,
    onSuccess: (have) =>
      SemVer.isGreaterThanOrEqualTo(SemVer.release(have), SemVer.parseUnsafe(minimum)),
  });

/**
 * Whether this account has JetStream, be it on another server of the cluster than the connected one.
 * Only a definite no counts: a leader may be about to be elected.
 */
const hasJetStream = async (nats: NatsConnection): Promise<boolean> => {
  try {
    const answer = await nats.request("$JS.API.INFO", "", { timeout: askForMs });
    const { error } = answer.json<{ readonly error?: { readonly err_code: number } }>();
    return error === undefined || !disabledCodes.includes(error.err_code);
  } catch (cause) {
    return !(cause instanceof errors.RequestError && cause.isNoResponders());
  }
};

/** Refuses a server that lacks a feature. */
export const checkServer = Effect.fnUntraced(function* (nats: NatsConnection) {
  const version = nats.info?.version ?? "unknown";
  const missing = features.flatMap(([since, feature]) =>
    isAtLeast(version, since) ? [] : [feature]
  );
  if (missing.length === 0 && !(yield* Effect.promise(() => hasJetStream(nats)))) {
    missing.push("JetStream (enable it with `-js`, or for the account)");
  }
  if (missing.length > 0) {
    return yield* new ServerTooOld({ version, required: requiredVersion, missing });
  }
});
