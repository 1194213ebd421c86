/**
 * What Weir needs of a nats-server and since when the server has it. A server that lacks something
 * is refused at connect with the name of what is missing, not later with an obscure answer.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as SemVer from "effect/SemVer";
import { ServerTooOld } from "../schema/errors.ts";

const features: ReadonlyArray<readonly [since: string, feature: string]> = [
  ["2.2.0", "message headers"],
  ["2.11.0", "message TTL"],
  ["2.11.0", "batched direct reads"],
  ["2.12.0", "atomic batch publishing"],
  ["2.12.0", "message schedules"],
  ["2.12.0", "prioritised consumers"],
  ["2.14.0", "repeating schedules"],
];

/** The oldest nats-server that has everything. */
export const requiredVersion = "2.14.0";

/** Whether a server version has what came with a release; its pre-releases count as the release. */
export const isAtLeast = (version: string, minimum: string): boolean =>
  Result.match(SemVer.parse(version.replace(/^v/, "")), {
    onFailure: () => false,
    onSuccess: (have) =>
      SemVer.isGreaterThanOrEqualTo(SemVer.release(have), SemVer.parseUnsafe(minimum)),
  });

/** Refuses a server that lacks a feature. */
export const checkServer = (nats: NatsConnection): Effect.Effect<void, ServerTooOld> => {
  const version = nats.info?.version ?? "unknown";
  const missing = features.flatMap(([since, feature]) =>
    isAtLeast(version, since) ? [] : [feature]
  );
  if (nats.info?.jetstream !== true) missing.unshift("JetStream (start it with `-js`)");
  return missing.length === 0
    ? Effect.void
    : Effect.fail(new ServerTooOld({ version, required: requiredVersion, missing }));
};
