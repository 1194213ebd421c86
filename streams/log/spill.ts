/**
 * Payloads too large for a stream message: they go to the object store first, and a reference to
 * them is what the log holds. An object whose record was then refused, or never sent, is referred to
 * by nothing; its chunks lie under the execution, so that retention finds it, whole or not. When
 * that is due is not decided here.
 */
import { type ObjectStore, Objm } from "@nats-io/obj";
import { StorageType } from "@nats-io/jetstream";
import { headers } from "@nats-io/nats-core";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import { CorruptRecord, PayloadTooLarge } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import { isMissing } from "../drift.ts";
import type { Entry, RemoveError } from "../log.ts";
import { randomMessageId } from "../message_id.ts";
import { kindOfRecord } from "../sealing.ts";
import { type Address, type Layout, shardRoot } from "../subjects.ts";
import { collect } from "./direct.ts";

/** The header that marks a body as a reference, and names the object. */
export const objectHeader = "Weir-Object";
/** The header beside it, of what kind the record is, so that few have to be fetched to know that. */
export const recordHeader = "Weir-Record";

export interface SpillOptions {
  readonly layout: Layout;
  readonly replicas: number;
  /** Bodies above this size are refused. */
  readonly maxPayloadBytes: number;
}

/** As the clients of the object store cut them. */
const chunkBytes = 128 * 1024;

const encoder = new TextEncoder();
const referenceStart = encoder.encode('{"v":1,"kind":"object",');

/** Whether a body looks like a reference; the header says whether it is one. */
export const isReference = (body: Uint8Array): boolean => {
  for (let i = 0; i < referenceStart.length; i++) if (body[i] !== referenceStart[i]) return false;
  return true;
};

/** How much is read at once: 4 MiB. */
const chunksPerRead = 32;

/** What the object store has of an object beside its chunks. */
interface Meta {
  readonly name: string;
  readonly bucket: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  readonly mtime: string;
  readonly digest: string;
  readonly deleted: boolean;
  readonly options: { readonly max_chunk_size: number };
}

/** Base64 as the object store writes it, for URLs and padded. */
const base64 = (bytes: Buffer): string =>
  bytes.toString("base64").replaceAll("+", "-").replaceAll("/", "_");

const digestOf = (body: Uint8Array): string =>
  `SHA-256=${base64(createHash("sha256").update(body).digest())}`;

export const make = Effect.fnUntraced(function* (options: SpillOptions) {
  const { ask, jetStream, manager, sealing } = yield* Connection;
  const objects = new Objm(jetStream);
  const stores = new Map<number, Promise<ObjectStore>>();

  const bucketOf = (shard: number): string => shardRoot(options.layout, shard);
  const streamOf = (shard: number): string => `OBJ_${bucketOf(shard)}`;
  /** The chunks are named as the object is, so that those of an execution lie under one filter. */
  const chunksOf = (shard: number, object: string): string => `$O.${bucketOf(shard)}.C.${object}`;
  const metaOf = (shard: number, object: string): string =>
    `$O.${bucketOf(shard)}.M.${base64(Buffer.from(object))}`;

  /** The bucket is created by the first payload that needs it. */
  const store = (shard: number): Promise<ObjectStore> => {
    let opened = stores.get(shard);
    if (opened === undefined) {
      opened = objects.create(bucketOf(shard), {
        description: "Weir: payloads too large for the log",
        storage: StorageType.File,
        replicas: options.replicas,
      });
      opened.catch(() => stores.delete(shard));
      stores.set(shard, opened);
    }
    return opened;
  };

  /** The client's own `put` draws a name for the chunks that nobody could find again. */
  const put = async (shard: number, object: string, body: Uint8Array): Promise<void> => {
    await store(shard);
    let chunks = 0;
    for (let start = 0; start < body.length; start += chunkBytes) {
      await jetStream.publish(
        chunksOf(shard, object),
        body.subarray(start, start + chunkBytes),
      );
      chunks++;
    }
    const meta: Meta = {
      name: object,
      bucket: bucketOf(shard),
      nuid: object,
      size: body.length,
      chunks,
      mtime: new Date().toISOString(),
      digest: digestOf(body),
      deleted: false,
      options: { max_chunk_size: chunkBytes },
    };
    const fields = headers();
    fields.set("Nats-Rollup", "sub");
    await jetStream.publish(metaOf(shard, object), JSON.stringify(meta), { headers: fields });
  };

  /** Gives the body and header lines to publish in place of a large body, so large as it was given. */
  const spill = Effect.fnUntraced(function* (to: Address, body: Uint8Array, sizeBytes: number) {
    const limitBytes = options.maxPayloadBytes;
    if (sizeBytes > limitBytes) return yield* new PayloadTooLarge({ sizeBytes, limitBytes });
    // Chunks that may have been stored are not stored again, but under another name.
    const object = yield* ask(`store a payload of ${to.label}`, async () => {
      const object = `${to.tail}.${randomMessageId()}`;
      await put(to.shard, object, body);
      return object;
    });
    const reference = { v: 1, kind: "object", object, sizeBytes: body.length };
    return {
      body: encoder.encode(JSON.stringify(reference)),
      headers: `${objectHeader}: ${object}\r\n${recordHeader}: ${kindOfRecord(body)}\r\n`,
    };
  });

  /**
   * An object, or nothing if there is none. The client's own `get` leaves a consumer for each, and
   * a stream has a thousand at most.
   */
  const get = async (shard: number, object: string): Promise<Uint8Array | undefined> => {
    const stream = streamOf(shard);
    const found = await manager.streams.getMessage(stream, { last_by_subj: metaOf(shard, object) });
    if (found === null) return undefined;
    const { size, digest } = found.json<Meta>();
    const body = new Uint8Array(size);
    let filled = 0;
    for (let seq = 1; filled < size;) {
      const page = await collect((callback) =>
        manager.direct.getBatch(stream, {
          seq,
          next_by_subj: chunksOf(shard, object),
          batch: chunksPerRead,
          callback,
        })
      );
      if (page.length === 0) break;
      for (const { data } of page) {
        body.set(data, filled);
        filled += data.length;
      }
      seq = page.at(-1)!.seq + 1;
    }
    // A replica that lags lacks some, and the next one may not.
    if (digestOf(body) !== digest) throw new Error("it is not what was stored");
    return body;
  };

  /** The entry with the body that its reference stands for. */
  const fetch = Effect.fnUntraced(function* (entry: Entry, object: string) {
    const body = yield* ask(
      `fetch the payload of ${entry.subject}`,
      () => get(entry.shard, object),
    ).pipe(Effect.catchIf(isMissing, () => Effect.undefined));
    if (body === undefined) {
      const reason = `its payload ${object} is not in the object store`;
      return yield* new CorruptRecord({ subject: entry.subject, sequence: entry.sequence, reason });
    }
    const { shard, subject, sequence, at, id, removed } = entry;
    return { shard, subject, sequence, at, id, removed, body: sealing.open(body) };
  });

  /** Deletes the objects of an execution, unless one was stored since `before`; says whether they are gone. */
  const drop = Effect.fnUntraced(function* (
    { shard, tail, label }: Address,
    before: Effect.Effect<number, RemoveError>,
  ) {
    const stream = streamOf(shard);
    const filter = chunksOf(shard, `${tail}.*`);
    const request = <A>(send: () => Promise<A>) => ask(`delete the payloads of ${label}`, send);
    const last = yield* request(() => manager.streams.getMessage(stream, { last_by_subj: filter }));
    if (last === null) return true;
    if (last.time.getTime() >= (yield* before)) return false;
    const { state } = yield* request(() =>
      manager.streams.info(stream, { subjects_filter: filter })
    );
    const prefix = chunksOf(shard, "");
    for (const subject of Object.keys(state.subjects ?? {})) {
      const meta = metaOf(shard, subject.slice(prefix.length));
      yield* request(() => manager.streams.purge(stream, { filter: meta }));
    }
    // Last, since they are the way to the rest; what has come meanwhile is not asked for.
    yield* request(() => manager.streams.purge(stream, { filter, seq: last.seq + 1 }));
    return true;
  }, Effect.catchIf(isMissing, () => Effect.succeed(true)));

  return { spill, fetch, drop };
});

export type Spill = Effect.Success<ReturnType<typeof make>>;
