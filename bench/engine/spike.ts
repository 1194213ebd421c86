/**
 * The least that an execution can be on JetStream: start, offer, claim, three fenced steps and an end
 * as bare publishes, without state, code, ids or recovery. The engine is measured against it, so it
 * stands on nothing of Weir's and is as fast as we can make it.
 */
import {
  AckPolicy,
  jetstream,
  type JetStreamManager,
  jetstreamManager,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { createInbox, headers, nuid } from "@nats-io/nats-core";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { randomUUID } from "node:crypto";
import type { Durability } from "../../streams/server.ts";

export interface Spike {
  /** Runs one execution from its start until its result is known; three steps, if left out. */
  readonly execute: (steps?: number) => Promise<void>;
  /** How many messages are stored. */
  readonly stored: () => Promise<number>;
  readonly close: () => Promise<void>;
}

/** A publish under a condition: the last sequence of a subject, its own if none is named. */
interface Append {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly expected: number;
  readonly fence?: string;
}

interface Waiting extends Append {
  readonly stored: (sequence: number) => void;
  readonly refused: (error: Error) => void;
}

type Publish = (append: Append) => Promise<number>;

const stream = "KV_spike";
const maxBatch = 500;
const minBatch = 4;

const json = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const start = json({ v: 1, kind: "start", seed: randomUUID(), input: 3 });
const claim = json({ v: 1, kind: "acquired", worker: randomUUID(), epoch: 1, ttlMs: 30_000 });
const result = { type: "value", value: 1 };
const step = json({ v: 1, kind: "step", index: 1, key: "step-1", result });
const done = json({ v: 1, kind: "done", outcome: { type: "success", value: 3 } });

export const startSpike = async (url: string, durability: Durability): Promise<Spike> => {
  const nats = await connect({ servers: url, noAsyncTraces: true });
  const manager = await jetstreamManager(nats);
  await createStream(manager);
  const publish = durability === "power-safe" ? together(nats) : oneByOne(nats);
  const running = new Map<string, { readonly steps: number; readonly end: () => void }>();

  const own = async (subject: string, acked: () => void) => {
    const name = subject.slice(subject.lastIndexOf(".") + 1);
    const fence = `$KV.spike.lease.${name}`;
    const expected = await publish({ subject: fence, body: claim, expected: 0 });
    const fenced = (kind: string, body: Uint8Array) =>
      publish({ subject: `spike.${kind}.${name}`, body, expected, fence });
    const { steps, end } = running.get(name)!;
    for (let i = 0; i < steps; i++) await fenced("log", step);
    await fenced("done", done);
    acked();
    running.delete(name);
    end();
  };
  const consumer = await jetstream(nats).consumers.get(stream, "spike");
  const offers = await consumer.consume({
    max_messages: 1_024,
    callback: (message) => void own(message.subject, () => message.ack()),
  });

  return {
    execute: async (steps = 3) => {
      const name = nuid.next();
      const ended = new Promise<void>((end) => running.set(name, { steps, end }));
      await publish({ subject: `spike.mail.${name}`, body: start, expected: 0 });
      await ended;
    },
    stored: async () => (await manager.streams.info(stream)).state.messages,
    close: async () => {
      await offers.close();
      await nats.close();
    },
  };
};

const createStream = async (manager: JetStreamManager): Promise<void> => {
  await manager.streams.add(
    {
      name: stream,
      subjects: ["$KV.spike.>", "spike.>"],
      storage: StorageType.File,
      allow_direct: true,
      allow_atomic: true,
      max_msgs_per_subject: -1,
    } as Partial<StreamConfig> & { readonly name: string },
  );
  await manager.consumers.add(stream, {
    durable_name: "spike",
    filter_subject: "spike.mail.>",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
};

/** Sends a publish, and calls back with what the server answers. */
const sender = (nats: NatsConnection) => {
  const inbox = `${createInbox()}.`;
  const answers = new Map<string, (answer: { seq: number; error?: object }) => void>();
  let sent = 0;
  nats.subscribe(`${inbox}*`, {
    callback: (_, message) => {
      const token = message.subject.slice(inbox.length);
      const answered = answers.get(token)!;
      answers.delete(token);
      answered(message.json());
    },
  });
  return (
    { subject, body, expected, fence }: Append,
    batch: { readonly id: string; readonly position: number; readonly last: boolean } | undefined,
    answered?: (answer: { seq: number; error?: object }) => void,
  ): void => {
    const fields = headers();
    fields.set("Nats-Expected-Last-Subject-Sequence", String(expected));
    if (fence !== undefined) fields.set("Nats-Expected-Last-Subject-Sequence-Subject", fence);
    if (batch !== undefined) {
      fields.set("Nats-Batch-Id", batch.id);
      fields.set("Nats-Batch-Sequence", String(batch.position));
      if (batch.last) fields.set("Nats-Batch-Commit", "1");
    }
    if (answered === undefined) return nats.publish(subject, body, { headers: fields });
    const token = String(sent++);
    answers.set(token, answered);
    nats.publish(subject, body, { headers: fields, reply: inbox + token });
  };
};

const refusal = (error: object): Error => new Error(JSON.stringify(error));

const oneByOne = (nats: NatsConnection): Publish => {
  const send = sender(nats);
  return (append) =>
    new Promise((resolve, reject) =>
      send(
        append,
        undefined,
        ({ seq, error }) => error === undefined ? resolve(seq) : reject(refusal(error)),
      )
    );
};

/** What comes while the disk is waited for shares the next commit. */
const together = (nats: NatsConnection): Publish => {
  const send = sender(nats);
  let waiting: Array<Waiting> = [];
  let underWay = 0;

  const commit = (members: ReadonlyArray<Waiting>, id: string | undefined) => {
    underWay++;
    members.forEach((member, i) => {
      const last = i === members.length - 1;
      const batch = id === undefined ? undefined : { id, position: i + 1, last };
      send(member, batch, last ? (answer) => settle(members, answer) : undefined);
    });
  };
  const settle = (
    members: ReadonlyArray<Waiting>,
    { seq, error }: { readonly seq: number; readonly error?: object },
  ) => {
    underWay--;
    members.forEach(({ stored, refused }, i) =>
      error === undefined ? stored(seq - members.length + 1 + i) : refused(refusal(error))
    );
    // Whoever goes on now has its next publish ready by then.
    queueMicrotask(flush);
  };
  const flush = () => {
    if (underWay > 0 || waiting.length === 0) return;
    const members = waiting.slice(0, maxBatch);
    waiting = waiting.slice(maxBatch);
    if (members.length >= minBatch) commit(members, nuid.next());
    else for (const member of members) commit([member], undefined);
  };
  return (append) =>
    new Promise((stored, refused) => {
      waiting.push({ ...append, stored, refused });
      flush();
    });
};
