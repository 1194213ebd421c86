/**
 * The consumers through which workers are offered mail: one per partition of an actor, and one per
 * lane in use, each shared by all workers by rank, so that mail sticks to one worker and fails over
 * at once. None of it is exclusive; only fences decide who writes. Pulling from them is not done here.
 */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import type { ActorName } from "../schema/ids.ts";
import type { Route } from "../schema/route.ts";
import { encodeToken } from "../schema/token.ts";
import { Connection } from "./connection.ts";
import { findOrCreate, refuseDrift } from "./drift.ts";
import { ackWaitMs } from "./mailbox.ts";
import { type Layout, shardRoot, streamName } from "./subjects.ts";

/** The group of the workers that wait at one consumer, in the order of their priorities. */
export const rankGroup = "rank";

/** Pulls that wait at one consumer, up to three of each worker; the server's own limit is 512. */
const maxWaitingPulls = 2_048;

/** One place where mail comes from. */
export interface Source {
  readonly shard: number;
  readonly stream: string;
  readonly consumer: string;
  readonly filter: string;
  /** Only what was forwarded to the workers of a route. */
  readonly route: Route | undefined;
}

/** The consumer of one partition of an actor's mailbox. */
export const mailboxConsumer = (actor: ActorName, part: number): string => `mail-${actor}-${part}`;

/** The consumer of the lane of a route, whose text is longer than a consumer's name may be. */
export const laneConsumer = (actor: ActorName, route: Route): string =>
  `lane-${actor}-${createHash("sha256").update(route).digest("base64url").slice(0, 22)}`;

const shards = (layout: Layout): ReadonlyArray<number> =>
  Array.from({ length: layout.shards }, (_, shard) => shard);

/** Where the mail of an actor comes from. */
export const mailboxSources = (layout: Layout, actor: ActorName): ReadonlyArray<Source> =>
  shards(layout).flatMap((shard) =>
    Array.from({ length: layout.parts }, (_, part) => ({
      shard,
      stream: streamName(layout, shard),
      consumer: mailboxConsumer(actor, part),
      filter: `${shardRoot(layout, shard)}.mail.${part}.${actor}.*.*`,
      route: undefined,
    }))
  );

/** Where what is forwarded to a route comes from. */
export const laneSources = (
  layout: Layout,
  actor: ActorName,
  route: Route,
): ReadonlyArray<Source> =>
  shards(layout).map((shard) => ({
    shard,
    stream: streamName(layout, shard),
    consumer: laneConsumer(actor, route),
    filter: `${shardRoot(layout, shard)}.lane.*.${actor}.*.*.${encodeToken(route)}`,
    route,
  }));

const reliedOn = ({ consumer, filter }: Source): Partial<ConsumerConfig> => ({
  durable_name: consumer,
  filter_subject: filter,
  deliver_policy: DeliverPolicy.All,
  replay_policy: ReplayPolicy.Instant,
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(ackWaitMs),
  max_deliver: -1,
  max_ack_pending: -1,
  max_waiting: maxWaitingPulls,
  priority_policy: "prioritized",
  priority_groups: [rankGroup],
});

/** What would lose or delay mail. */
const foreign = {
  deliver_subject: undefined,
  filter_subjects: undefined,
  inactive_threshold: undefined,
  rate_limit_bps: undefined,
  headers_only: undefined,
  pause_until: undefined,
};

/** Creates the consumer of a source, or verifies it. */
export const ensureSource = Effect.fnUntraced(function* (source: Source) {
  const { ask, manager } = yield* Connection;
  const { stream, consumer } = source;
  const expected = reliedOn(source);
  const { config } = yield* findOrCreate(
    ask(`look up ${consumer}`, () => manager.consumers.info(stream, consumer)),
    ask(`create ${consumer}`, () => manager.consumers.add(stream, expected)),
  );
  yield* refuseDrift(`${stream} consumer ${consumer}`, { ...expected, ...foreign }, { ...config });
});

/** Creates the consumers of several sources, or verifies them. */
export const ensureSources = (sources: ReadonlyArray<Source>) =>
  Effect.forEach(sources, ensureSource, { concurrency: 8, discard: true });

/** Creates the mailbox consumers of an actor, or verifies them. */
export const ensureMailbox = Effect.fn("MailboxConsumers.ensure")(
  ({ layout }: { readonly layout: Layout }, actor: ActorName) =>
    ensureSources(mailboxSources(layout, actor)),
);
