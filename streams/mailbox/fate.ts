/**
 * What the server tells of messages that workers are offered: each consumer says up to where all is
 * acknowledged, how far it has offered, and how many in between it waits for. An answer may be a
 * moment old, so that many questions cost one request. Nothing is offered or settled here.
 */
import type { ConsumerInfo } from "@nats-io/jetstream";
import * as Cache from "effect/Cache";
import * as Effect from "effect/Effect";
import type { ActorName } from "../../schema/ids.ts";
import type { Route } from "../../schema/route.ts";
import { decodeToken } from "../../schema/token.ts";
import { Connection } from "../connection.ts";
import { isMissing } from "../drift.ts";
import type { Fate, Mailboxes } from "../mailbox.ts";
import { laneConsumer, mailboxConsumer } from "../mailbox_consumers.ts";
import { type Layout, streamName } from "../subjects.ts";

const rememberedConsumers = 1_024;

/** The consumer that offers what is stored under a subject. */
const consumerOf = (subject: string): string => {
  const [, kind, part, actor, , , route] = subject.split(".");
  return kind === "lane"
    ? laneConsumer(actor as ActorName, decodeToken(route ?? "") as Route)
    : mailboxConsumer(actor as ActorName, Number(part));
};

const fateAt = (info: ConsumerInfo | undefined, sequence: number): Fate => {
  // Whoever creates the consumer is offered all that there is.
  if (info === undefined || sequence > info.delivered.stream_seq) return "unacked";
  return sequence <= info.ack_floor.stream_seq || info.num_ack_pending === 0 ? "acked" : "unknown";
};

export const make = Effect.fnUntraced(function* (layout: Layout) {
  const { ask, manager } = yield* Connection;
  const infos = yield* Cache.make({
    capacity: rememberedConsumers,
    timeToLive: "100 millis",
    lookup: (key: string) => {
      const [stream = "", consumer = ""] = key.split(" ");
      return ask(`look up ${consumer}`, () => manager.consumers.info(stream, consumer)).pipe(
        Effect.catchIf(isMissing, () => Effect.undefined),
      );
    },
  });
  const fate: Mailboxes["Service"]["fate"] = ({ shard, subject, sequence }) =>
    Effect.map(
      Cache.get(infos, `${streamName(layout, shard)} ${consumerOf(subject)}`),
      (info) => fateAt(info, sequence),
    );
  return fate;
});
