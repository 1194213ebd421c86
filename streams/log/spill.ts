/**
 * Payloads too large for a stream message: they go to the object store first, and a reference to
 * them is what the log holds. An object whose record was then refused, or never sent, is referred to
 * by nothing; its name begins with the execution, so that retention finds it. Nothing is deleted here.
 */
import { type ObjectStore, Objm } from "@nats-io/obj";
import { StorageType } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { CorruptRecord, PayloadTooLarge } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import type { Entry } from "../log.ts";
import { randomMessageId } from "../message_id.ts";
import { type Address, type Layout, shardRoot } from "../subjects.ts";

/** The header that marks a body as a reference, and names the object. */
export const objectHeader = "Weir-Object";

export interface SpillOptions {
  readonly layout: Layout;
  readonly replicas: number;
  /** Bodies above this size are refused. */
  readonly maxPayloadBytes: number;
}

const encoder = new TextEncoder();

export const make = Effect.fnUntraced(function* (options: SpillOptions) {
  const connection = yield* Connection;
  const manager = new Objm(connection.jetStream);
  const stores = new Map<number, Promise<ObjectStore>>();

  /** The bucket is created by the first payload that needs it. */
  const store = (shard: number): Promise<ObjectStore> => {
    let opened = stores.get(shard);
    if (opened === undefined) {
      opened = manager.create(shardRoot(options.layout, shard), {
        description: "Weir: payloads too large for the log",
        storage: StorageType.File,
        replicas: options.replicas,
      });
      opened.catch(() => stores.delete(shard));
      stores.set(shard, opened);
    }
    return opened;
  };

  /** Gives the body and header lines to publish in place of a large body. */
  const spill = Effect.fnUntraced(function* (to: Address, body: Uint8Array) {
    if (body.length > options.maxPayloadBytes) {
      return yield* new PayloadTooLarge({
        sizeBytes: body.length,
        limitBytes: options.maxPayloadBytes,
      });
    }
    const name = `${to.tail}.${randomMessageId()}`;
    yield* connection.ask(`store a payload of ${to.label}`, async () => {
      await (await store(to.shard)).putBlob({ name }, body);
    });
    const reference = { v: 1, kind: "object", object: name, sizeBytes: body.length };
    return {
      body: encoder.encode(JSON.stringify(reference)),
      headers: `${objectHeader}: ${name}\r\n`,
    };
  });

  /** The entry with the body that its reference stands for. */
  const fetch = Effect.fnUntraced(function* (entry: Entry, name: string) {
    const body = yield* connection.ask(
      `fetch the payload of ${entry.subject}`,
      async () => (await store(entry.shard)).getBlob(name),
    );
    if (body === null) {
      const reason = `its payload ${name} is not in the object store`;
      return yield* new CorruptRecord({ subject: entry.subject, sequence: entry.sequence, reason });
    }
    return { ...entry, body };
  });

  return { spill, fetch };
});

export type Spill = Effect.Success<ReturnType<typeof make>>;
