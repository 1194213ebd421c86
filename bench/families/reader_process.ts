/**
 * Readers of a family in a process of their own: Weir's, or the plain client's ordered consumer,
 * which decodes nothing and keeps no cursor, and so shows what client and server allow. All readers
 * of a process share one connection.
 */
import { DeliverPolicy } from "@nats-io/jetstream";
import { connect } from "@weir/weir";
import { layerLog, Log } from "@weir/weir/effect";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { decodeCursor } from "../../schema/cursor.ts";
import { Connection, layer as layerConnection } from "../../streams/connection.ts";
import { millisOf } from "../../streams/consumer_reply.ts";
import { streamName } from "../../streams/subjects.ts";
import { answering, type Child, startChild } from "../child_process.ts";
import { wallMs } from "../clock.ts";
import { deliveriesFilter, type Source } from "./deliveries.ts";

export const ways = ["raw", "family"] as const;
export type Way = typeof ways[number];

/** What there is to read: signal deliveries in either way, or the family of completions. */
export type Matter = Way | "completions";

export type Question =
  /** Reads so many events; answers with `CaughtUp`. */
  | { readonly what: "read"; readonly way: Way; readonly after: string; readonly events: number }
  /** Begins to read with so many readers; answers when each has its first event. */
  | {
    readonly what: "follow";
    readonly matter: Matter;
    readonly after: string;
    readonly readers: number;
  }
  /** Leaves when each reader has so many, its first included; answers with `Followed`. */
  | { readonly what: "leave"; readonly events: number };

/** Milliseconds since the question. */
export interface CaughtUp {
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Followed {
  /** How many events all readers were given, their first ones included. */
  readonly delivered: number;
  /** Milliseconds from when an event was stored until a reader had it, but for their first ones. */
  readonly lagsMs: ReadonlyArray<number>;
}

interface Reading {
  /** Fails if reading does. */
  readonly ended: Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Takes an event by when it was stored; says whether another is wanted. */
type Take = (at: number) => boolean;

type Read = (after: string, take: Take) => Promise<Reading>;

const iterating =
  (open: (after: string) => AsyncIterable<{ readonly at: number }>): Read => (after, take) => {
    const events = open(after)[Symbol.asyncIterator]();
    const read = async () => {
      for (;;) {
        const { done, value } = await events.next();
        if (done === true) return;
        if (!take(value.at)) return void await events.return?.();
      }
    };
    return Promise.resolve({ ended: read(), stop: async () => void await events.return?.() });
  };

const open = async ({ servers, durability, namespace }: Source) => {
  const weir = await connect({ servers, durability, namespace });
  const runtime = ManagedRuntime.make(
    layerLog({ namespace }).pipe(Layer.provideMerge(layerConnection({ servers, durability }))),
  );
  const { log, connection } = await runtime.runPromise(
    Effect.all({ log: Log, connection: Connection }),
  );

  const readings: Readonly<Record<Matter, Read>> = {
    raw: async (after, take) => {
      const sequence = after === "earliest"
        ? 0
        : (await Effect.runPromise(decodeCursor(after))).shards[0]!.sequence;
      const consumer = await Effect.runPromise(
        connection.ask("read", () =>
          connection.jetStream.consumers.get(streamName(log.layout, 0), {
            filter_subjects: deliveriesFilter(log.layout).subject,
            deliver_policy: DeliverPolicy.StartSequence,
            opt_start_seq: sequence + 1,
          })),
      );
      let wanted = true;
      const messages = await consumer.consume({
        max_messages: 1_000,
        callback: (message) => {
          if (!wanted) return;
          wanted = take(millisOf(message.timestampNanos));
          if (!wanted) messages.stop();
        },
      });
      return {
        ended: messages.closed().then(() => void consumer.delete().catch(() => {})),
        stop: async () => void await messages.close(),
      };
    },
    family: iterating((after) => weir.signalDeliveries({ after })),
    completions: iterating((after) => weir.completions({ after })),
  };

  const read = async (way: Way, after: string, events: number): Promise<CaughtUp> => {
    const begun = performance.now();
    let firstMs: number | undefined;
    let lastMs = 0;
    let seen = 0;
    const reading = await readings[way](after, () => {
      firstMs ??= performance.now() - begun;
      if (++seen < events) return true;
      lastMs = performance.now() - begun;
      return false;
    });
    await reading.ended;
    return { firstMs: firstMs!, lastMs };
  };

  let leave: (events: number) => Promise<Followed> = () =>
    Promise.reject(new Error("nobody reads"));

  const follow = async (matter: Matter, after: string, readers: number): Promise<void> => {
    const counts = new Array<number>(readers).fill(0);
    const lagsMs: Array<number> = [];
    let changed = () => {};
    const until = (isSo: () => boolean) =>
      new Promise<void>((settle) => {
        changed = () => isSo() ? settle() : undefined;
        changed();
      });
    const opened = await Promise.all(counts.map((_, i) =>
      readings[matter](after, (at) => {
        if (counts[i]! > 0) lagsMs.push(wallMs() - at);
        counts[i]!++;
        changed();
        return true;
      })
    ));
    let isLeaving = false;
    const failed = Promise.all(opened.map(({ ended }) => ended)).then(
      () => isLeaving ? undefined : Promise.reject(new Error("a reader has ended")),
      (error) => isLeaving ? undefined : Promise.reject(error),
    );
    leave = async (events) => {
      await Promise.race([failed, until(() => counts.every((count) => count >= events))]);
      isLeaving = true;
      await Promise.all(opened.map(({ stop }) => stop()));
      await failed;
      const delivered = counts.reduce((sum, count) => sum + count, 0);
      return { delivered, lagsMs: lagsMs.map((each) => Number(each.toFixed(2))) };
    };
    await Promise.race([failed, until(() => counts.every((count) => count > 0))]);
  };

  return {
    answer: (question: Question): Promise<unknown> => {
      if (question.what === "leave") return leave(question.events);
      return question.what === "read"
        ? read(question.way, question.after, question.events)
        : follow(question.matter, question.after, question.readers);
    },
    close: async () => {
      await weir.close();
      await runtime.dispose();
    },
  };
};

export const startReader = (source: Source): Promise<Child<Question>> =>
  startChild(import.meta.url, source);

await answering(import.meta.url, open);
