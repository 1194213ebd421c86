/**
 * The consumers through which workers are offered an actor's mail: one per partition, shared by all
 * of them by rank, so that a partition sticks to one worker and fails over at once. None of it is
 * exclusive; only fences decide who writes. Pulling from them is not done here.
 */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import type { ActorName } from "../schema/ids.ts";
import { Connection } from "./connection.ts";
import { findOrCreate, refuseDrift } from "./drift.ts";
import { type Layout, shardRoot, streamName } from "./subjects.ts";
import type { Topology } from "./topology.ts";

/** How long a worker may be silent about a message before the next in rank is offered it. */
const ackWaitMs = 30_000;
/** Pulls of workers that wait at one consumer; the server's own limit is 512. */
const maxWaitingPulls = 2_048;

/** The consumer of one partition of an actor's mailbox. */
export const mailboxConsumer = (actor: ActorName, part: number): string => `mail-${actor}-${part}`;

const reliedOn = (
  layout: Layout,
  shard: number,
  actor: ActorName,
  part: number,
): Partial<ConsumerConfig> => ({
  durable_name: mailboxConsumer(actor, part),
  filter_subject: `${shardRoot(layout, shard)}.mail.${part}.${actor}.*.*`,
  deliver_policy: DeliverPolicy.All,
  replay_policy: ReplayPolicy.Instant,
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(ackWaitMs),
  max_deliver: -1,
  max_ack_pending: -1,
  max_waiting: maxWaitingPulls,
  priority_policy: "prioritized",
  priority_groups: ["rank"],
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

/** Creates the mailbox consumers of an actor, or verifies them. */
export const ensureMailbox = Effect.fn("MailboxConsumers.ensure")(
  function* ({ layout }: Topology, actor: ActorName) {
    const { ask, manager } = yield* Connection;
    const places = Array.from(
      { length: layout.shards * layout.parts },
      (_, i) => ({ shard: i % layout.shards, part: Math.floor(i / layout.shards) }),
    );
    yield* Effect.forEach(places, ({ shard, part }) => {
      const stream = streamName(layout, shard);
      const name = mailboxConsumer(actor, part);
      const expected = reliedOn(layout, shard, actor, part);
      return findOrCreate(
        ask(`look up ${name}`, () => manager.consumers.info(stream, name)),
        ask(`create ${name}`, () => manager.consumers.add(stream, expected)),
      ).pipe(
        Effect.flatMap(({ config }) =>
          refuseDrift(`${stream} consumer ${name}`, { ...expected, ...foreign }, { ...config })
        ),
      );
    }, { concurrency: 8, discard: true });
  },
);
