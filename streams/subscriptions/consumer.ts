/**
 * Outlets on a real JetStream: one durable pull consumer per subscription and shard, under a name
 * that tools show and with the filter and the generation in its metadata. A request for events ends
 * with what is there, so that nothing comes to a process that is busy; requests do not outlive a
 * connection, and what was on its way when it broke comes again.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  ReplayPolicy,
  type SeqMsgRequest,
} from "@nats-io/jetstream";
import { type Msg, nanos } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import { TopologyDrift } from "../../schema/errors.ts";
import { Timestamp } from "../../schema/ids.ts";
import { Connection } from "../connection.ts";
import { acknowledged, inProgress, notNow, readReply } from "../consumer_reply.ts";
import { isMissing, isRefusal } from "../drift.ts";
import { newInbox } from "../inbox.ts";
import { Arrived } from "../log/arrived.ts";
import { ackWaitMs } from "../mailbox.ts";
import type { Sealing } from "../sealing.ts";
import { type Layout, streamName } from "../subjects.ts";
import type { SubscriptionKey } from "../subscriptions.ts";
import type { Delivery, Outlet, Outlets, OutletState } from "./outlet.ts";

/** How long a request for events waits for the first one. */
const pullForMs = 5_000;
/** How long after that an answer may be late. */
const lateMs = 1_000;
/** Before asking again where others were first. */
const behindOthersMs = 50;

const layoutVersion = "1";

/** The name of the consumer in each shard, as the NATS CLI shows it. */
export const consumerName = ({ family, name }: SubscriptionKey): string => `${family}-${name}`;

const generationLabel = "weir.generation";

const configOf = ({ key, meant, filter, after, generation }: Outlet): Partial<ConsumerConfig> => ({
  durable_name: consumerName(key),
  description: `Weir: the subscription ${key.name} of ${key.family}`,
  filter_subject: filter.subject,
  deliver_policy: DeliverPolicy.StartSequence,
  opt_start_seq: after + 1,
  replay_policy: ReplayPolicy.Instant,
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(ackWaitMs),
  max_deliver: -1,
  // Each reader has little in hand, so that all together need no limit.
  max_ack_pending: -1,
  metadata: {
    "weir.layout": layoutVersion,
    "weir.family": key.family,
    "weir.subscription": key.name,
    "weir.filter": JSON.stringify(meant),
    [generationLabel]: String(generation),
  },
});

const lastActive = ({ delivered, ack_floor }: ConsumerInfo): Timestamp | undefined => {
  const times = [delivered, ack_floor].flatMap(({ last_active }) =>
    last_active === undefined ? [] : [Date.parse(String(last_active))]
  );
  return times.length === 0 ? undefined : Timestamp.make(Math.max(...times));
};

const stateOf = (info: ConsumerInfo, generation: number): OutletState => ({
  generation,
  delivered: info.delivered.stream_seq,
  acknowledged: info.ack_floor.stream_seq,
  pending: info.num_pending,
  unacknowledged: info.num_ack_pending,
  waiting: info.num_waiting,
  lastActiveAt: lastActive(info),
});

const deliveryOf = (
  shard: number,
  message: Msg,
  sealing: Sealing,
  answer: (reply: string, verdict: Uint8Array) => void,
): Delivery | undefined => {
  const reply = message.reply ?? "";
  const told = readReply(reply);
  if (told === undefined) return undefined;
  const entry = new Arrived(shard, message, told, sealing);
  return {
    entry,
    spilled: entry.object !== undefined,
    acknowledge: () => answer(reply, acknowledged),
    giveBack: () => answer(reply, notNow(0)),
    working: () => answer(reply, inProgress),
  };
};

export const make = Effect.fnUntraced(function* (layout: Layout) {
  const { ask, listen, manager, nats, sealing } = yield* Connection;

  const state: Outlets["state"] = Effect.fnUntraced(function* (key, shard) {
    const stream = streamName(layout, shard);
    const consumer = consumerName(key);
    const info = yield* ask(`look up ${consumer}`, () => manager.consumers.info(stream, consumer))
      .pipe(Effect.catchIf(isMissing, () => Effect.undefined));
    if (info === undefined) return undefined;
    const label = info.config.metadata?.[generationLabel];
    if (label !== undefined) return stateOf(info, Number(label));
    return yield* new TopologyDrift({
      stream: `${stream} consumer ${consumer}`,
      differences: [{ field: generationLabel, expected: "present", actual: "absent" }],
    });
  });

  /** Lost if the connection is gone: the record comes again, which is harmless. */
  const answer = (reply: string, verdict: Uint8Array): void => {
    if (!nats.isClosed()) nats.publish(reply, verdict);
  };

  const open: Outlets["open"] = Effect.fnUntraced(function* (key, shard, take) {
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${streamName(layout, shard)}.${consumerName(key)}`;
    const inbox = newInbox(nats);
    let isUp = true;
    let expected = 0;
    let end = (_answered: boolean): void => undefined;

    const onStatus = ({ headers }: Msg): void => {
      const { code = 0, description = "" } = headers ?? {};
      const isBehind = code === 408 && description === "Requests Pending";
      if (isBehind) setTimeout(() => end(true), behindOthersMs);
      else end(code === 404 || code === 408);
    };
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        nats.subscribe(inbox, {
          callback: (error, message) => {
            if (error !== null) return end(false);
            if (message.subject === inbox) return onStatus(message);
            const delivery = deliveryOf(shard, message, sealing, answer);
            if (delivery !== undefined) take(delivery);
            if (--expected === 0) end(true);
          },
        })
      ),
      // What is on its way still arrives, to be given back.
      (subscription) => Effect.ignore(Effect.tryPromise(() => subscription.drain())),
    );
    yield* listen({
      disconnected: () => isUp = false,
      reconnected: () => {
        isUp = true;
        end(true);
      },
      closed: () => end(false),
    });

    return (batch) =>
      Effect.callback<boolean>((resume) => {
        const timer = setTimeout(() => end(true), pullForMs + lateMs);
        end = (answered) => {
          clearTimeout(timer);
          resume(Effect.succeed(answered));
        };
        // Requests that wait for the connection would all be met at once when it is back.
        if (nats.isClosed()) end(false);
        if (!isUp || nats.isClosed()) return;
        expected = batch;
        const request = { batch, expires: nanos(pullForMs), no_wait: true };
        nats.publish(subject, JSON.stringify(request), { reply: inbox });
        return Effect.sync(() => clearTimeout(timer));
      });
  });

  return {
    state,
    create: (outlet) =>
      ask(
        `create ${consumerName(outlet.key)}`,
        () => manager.consumers.add(streamName(layout, outlet.filter.shard), configOf(outlet)),
      ).pipe(
        Effect.catchIf(isRefusal(10013, 10148), () => Effect.void),
        Effect.asVoid,
      ),
    remove: (key, shard) =>
      ask(
        `remove ${consumerName(key)}`,
        () => manager.consumers.delete(streamName(layout, shard), consumerName(key)),
      ).pipe(Effect.catchIf(isMissing, () => Effect.succeed(false))),
    open,
    firstSince: ({ shard, subject }, time) => {
      const start_time = new Date(time).toISOString();
      // The client's types lack the leader's own reads by time.
      const query = { start_time, next_by_subj: subject } as unknown as SeqMsgRequest;
      return Effect.map(
        ask(
          `look for the first under ${subject}`,
          () => manager.streams.getMessage(streamName(layout, shard), query),
        ),
        (message) => message?.seq,
      );
    },
    isOver: () => nats.isClosed(),
  } satisfies Outlets;
});
