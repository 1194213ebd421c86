/**
 * Effect's `EventLogServerEncrypted.Storage` in the log: batches that the server cannot read, each
 * under the numbers of its entries. A batch of which every id is known is not stored again. It offers
 * no compaction, which the server then says to its clients.
 */
import * as Arr from "effect/Array";
import * as Effect from "effect/Effect";
import type { EncryptedBatch, EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption";
import { Storage } from "effect/eventlog/EventLogServerEncrypted";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import {
  type EventLogBatchesRecord,
  eventLogBatchesRecord,
} from "../../schema/event_log_record.ts";
import { type AppendError, Log, type ReadError } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { base64, bytesOf, idOf, idText } from "./bytes.ts";
import * as Identities from "./identities.ts";
import type { StoreIndex } from "./store_index.ts";
import type { Format } from "./store_log.ts";
import * as Stores from "./stores.ts";

const use = "encrypted";

const format: Format<EventLogBatchesRecord> = {
  codec: eventLogBatchesRecord,
  ids: ({ batches }) => batches.flatMap(({ ids }) => ids),
};

const batchesOf = ({ first, batches }: EventLogBatchesRecord) => {
  let sequence = first;
  return batches.map(({ ids: [id, ...ids], iv, sealed }): EncryptedRemoteBatch => {
    const batch: EncryptedRemoteBatch = {
      sequence,
      entryIds: [idOf(id), ...ids.map(idOf)],
      iv: bytesOf(iv),
      encryptedBatch: bytesOf(sealed),
    };
    sequence += batch.entryIds.length;
    return batch;
  });
};

const recordOf = (first: number, batches: ReadonlyArray<EncryptedRemoteBatch>) =>
  eventLogBatchesRecord.encode({
    kind: "batches",
    first,
    batches: batches.map(({ entryIds, iv, encryptedBatch }) => ({
      ids: Arr.map(entryIds, idText),
      iv: base64(iv),
      sealed: base64(encryptedBatch),
    })),
  });

/** Those of which some entry is new, under the numbers that come next. */
const newOf = (
  index: StoreIndex,
  batches: ReadonlyArray<EncryptedBatch>,
): ReadonlyArray<EncryptedRemoteBatch> => {
  const added = new Set<string>();
  let sequence = index.head + 1;
  return batches.flatMap((batch) => {
    const ids = batch.entryIds.map(idText);
    if (ids.every((id) => index.numberOf(id) !== undefined || added.has(id))) return [];
    for (const id of ids) added.add(id);
    const stored = { sequence, ...batch };
    sequence += ids.length;
    return [stored];
  });
};

const make = Effect.gen(function* () {
  const log = yield* Log;
  const { remoteId, signingKey } = yield* Identities.make(log, yield* ServerClock, use);
  const storeOf = yield* Stores.make(log, use, format);

  return Storage.of({
    getId: Effect.succeed(remoteId),
    firstSequence: 1,
    getOrCreateSessionAuthBinding: (publicKey, signingPublicKey) =>
      Stores.failing(signingKey(publicKey, signingPublicKey)),

    write: Effect.fnUntraced(
      function* (publicKey, storeId, batches) {
        const { index, refresh, turn, write } = yield* storeOf(publicKey, storeId);
        const attempt = Effect.gen(function* () {
          yield* refresh;
          const { head, sequence: after } = index;
          const added = newOf(index, batches);
          if (added.length > 0) {
            yield* write(after, recordOf(head + 1, added));
          }
          return added;
        });
        // Of all who are in each other's way, one gets through.
        return yield* turn.withPermit(
          Effect.retry(attempt, { while: ({ _tag }) => _tag === "Overtaken" }),
        );
      },
      Effect.scoped,
      Stores.failing,
    ),

    entrySequences: Effect.fnUntraced(
      function* (publicKey, storeId, entryIds) {
        const { index, refresh } = yield* storeOf(publicKey, storeId);
        yield* refresh;
        return entryIds.flatMap((entryId) => {
          const sequence = index.numberOf(idText(entryId));
          return sequence === undefined ? [] : [{ entryId, sequence }];
        });
      },
      Effect.scoped,
      Stores.failing,
    ),

    changes: (publicKey, storeId, startSequence) =>
      storeOf(publicKey, storeId).pipe(
        Effect.map(({ follow }) => follow(startSequence)),
        Stream.unwrap,
        Stream.map(batchesOf),
        Stream.flattenIterable,
        Stream.filter(({ sequence, entryIds }) => sequence + entryIds.length > startSequence),
        Stores.failingStream,
      ),
  });
});

/** Stores of the namespace, by who writes to them and their ids. */
export const layer: Layer.Layer<Storage, AppendError | ReadError, Log | ServerClock> = Layer.effect(
  Storage,
  make,
);
