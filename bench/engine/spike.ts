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

/**
 * What an engine owes beyond that, to be had one by one: what each costs bounds from above how fast
 * any engine can be that does it, however little its own code takes.
 */
export interface Duties {
  /** Each message has an id, by which an outcome that nobody heard of is settled. */
  readonly ids?: boolean;
  /** Behind the end the lease is given back, and a schedule says when all of it may go. */
  readonly leavings?: boolean;
  /** Ends are heard of from the stream, and one listener reads all that is stored, as an index does. */
  readonly heard?: boolean;
}

/** A publish under a condition: the last sequence of a subject, its own if none is named. */
interface Append {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly expected?: number;
  readonly fence?: string;
  /** Where the server puts the body in a week. */
  readonly into?: string;
}

interface Waiting extends Append {
  readonly stored: (sequence: number) => void;
  readonly refused: (error: Error) => void;
}

type Publish = (append: Append) => Promise<number>;

const maxBatch = 500;
const minBatch = 4;
const weekMs = 7 * 86_400_000;

const json = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const start = json({ v: 1, kind: "start", seed: randomUUID(), input: 3 });
const claim = json({ v: 1, kind: "acquired", worker: randomUUID(), epoch: 1, ttlMs: 30_000 });
const result = { type: "value", value: 1 };
const step = json({ v: 1, kind: "step", index: 1, key: "step-1", result });
const done = json({ v: 1, kind: "done", outcome: { type: "success", value: 3 } });
const released = json({ v: 1, kind: "released", worker: randomUUID(), epoch: 1, ttlMs: 30_000 });
const retention = json({ v: 1, kind: "retention", end: 7 });

export const startSpike = async (
  url: string,
  durability: Durability,
  { ids = false, leavings = false, heard = false }: Duties = {},
  prefix = "spike",
): Promise<Spike> => {
  const nats = await connect({ servers: url, noAsyncTraces: true });
  const manager = await jetstreamManager(nats);
  const stream = `KV_${prefix}`;
  await createStream(manager, stream, prefix);
  const publish = (durability === "power-safe" ? together : oneByOne)(sender(nats, ids));
  const running = new Map<string, { readonly steps: number; readonly end: () => void }>();
  const ended = (name: string) => {
    running.get(name)?.end();
    running.delete(name);
  };

  const own = async (subject: string, acked: () => void) => {
    const name = nameOf(subject);
    const fence = `$KV.${prefix}.lease.${name}`;
    const expected = await publish({ subject: fence, body: claim, expected: 0 });
    const fenced = (kind: string, body: Uint8Array) =>
      publish({ subject: `${prefix}.${kind}.${name}`, body, expected, fence });
    const { steps } = running.get(name)!;
    for (let i = 0; i < steps; i++) await fenced("log", step);
    await fenced("done", done);
    acked();
    if (!heard) ended(name);
    if (leavings) {
      const into = `${prefix}.gc.${name}`;
      await Promise.all([
        publish({ subject: fence, body: released, expected }),
        publish({ subject: `${into}.7`, body: retention, into }),
      ]);
    }
  };
  const known = new Map<string, number>();
  if (heard) {
    await listen(nats, manager, stream, `${prefix}.done.>`, (subject) => ended(nameOf(subject)));
    await listen(nats, manager, stream, ">", (subject, record, sequence) => {
      if (record.kind === "done") known.delete(nameOf(subject));
      else if (record.kind === "start") known.set(nameOf(subject), sequence);
    });
  }
  const consumer = await jetstream(nats).consumers.get(stream, "spike");
  const offers = await consumer.consume({
    max_messages: 1_024,
    callback: (message) => void own(message.subject, () => message.ack()),
  });

  return {
    execute: async (steps = 3) => {
      const name = nuid.next();
      const over = new Promise<void>((end) => running.set(name, { steps, end }));
      await publish({ subject: `${prefix}.mail.${name}`, body: start, expected: 0 });
      await over;
    },
    stored: async () => (await manager.streams.info(stream)).state.messages,
    close: async () => {
      await offers.close();
      await nats.close();
    },
  };
};

const nameOf = (subject: string): string => subject.slice(subject.lastIndexOf(".") + 1);

const createStream = async (
  manager: JetStreamManager,
  name: string,
  prefix: string,
): Promise<void> => {
  await manager.streams.add(
    {
      name,
      subjects: [`$KV.${prefix}.>`, `${prefix}.>`],
      storage: StorageType.File,
      allow_direct: true,
      allow_atomic: true,
      allow_msg_schedules: true,
      allow_rollup_hdrs: true,
      max_msgs_per_subject: -1,
    } as Partial<StreamConfig> & { readonly name: string },
  );
  await manager.consumers.add(name, {
    durable_name: "spike",
    filter_subject: `${prefix}.mail.>`,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
};

/** Hears of what is stored under a subject as the server pushes it, without a word in return. */
const listen = async (
  nats: NatsConnection,
  manager: JetStreamManager,
  stream: string,
  subject: string,
  hear: (subject: string, record: { readonly kind: string }, sequence: number) => void,
): Promise<void> => {
  const inbox = createInbox();
  nats.subscribe(inbox, {
    callback: (_, message) =>
      hear(message.subject, message.json(), Number(message.reply!.split(".")[5])),
  });
  await manager.consumers.add(stream, {
    deliver_subject: inbox,
    filter_subject: subject,
    ack_policy: AckPolicy.None,
  });
};

type Send = ReturnType<typeof sender>;

/** Sends a publish, and calls back with what the server answers. */
const sender = (nats: NatsConnection, ids: boolean) => {
  const session = nuid.next();
  const inbox = `${createInbox()}.`;
  const answers = new Map<string, (answer: { seq: number; error?: object }) => void>();
  let sent = 0;
  let named = 0;
  nats.subscribe(`${inbox}*`, {
    callback: (_, message) => {
      const token = message.subject.slice(inbox.length);
      const answered = answers.get(token)!;
      answers.delete(token);
      answered(message.json());
    },
  });
  return (
    { subject, body, expected, fence, into }: Append,
    batch: { readonly id: string; readonly position: number; readonly last: boolean } | undefined,
    answered?: (answer: { seq: number; error?: object }) => void,
  ): void => {
    const fields = headers();
    if (ids) fields.set("Nats-Msg-Id", `${session}.${named++}`);
    if (expected !== undefined) {
      fields.set("Nats-Expected-Last-Subject-Sequence", String(expected));
    }
    if (fence !== undefined) fields.set("Nats-Expected-Last-Subject-Sequence-Subject", fence);
    if (into !== undefined) {
      fields.set("Nats-Schedule", `@at ${new Date(Date.now() + weekMs).toISOString()}`);
      fields.set("Nats-Schedule-Target", into);
      fields.set("Nats-Rollup", "sub");
    }
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

const oneByOne = (send: Send): Publish => (append) =>
  new Promise((resolve, reject) =>
    send(
      append,
      undefined,
      ({ seq, error }) => error === undefined ? resolve(seq) : reject(refusal(error)),
    )
  );

/** What comes while the disk is waited for shares the next commit. */
const together = (send: Send): Publish => {
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
