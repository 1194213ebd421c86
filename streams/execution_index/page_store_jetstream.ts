/**
 * The page store on JetStream: a page is the last message of its subject, and a write is one atomic
 * batch in which every message expects its page as it was read. A page that goes is overwritten with
 * nothing and a lifetime of a second, since a batch cannot delete.
 */
import { headers } from "@nats-io/nats-core";
import { randomUUID } from "node:crypto";
import * as Arr from "effect/Array";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { NoSpace, ServerRefused, type TopologyDrift, Unavailable } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import { Log } from "../log.ts";
import { collect } from "../log/direct.ts";
import { meaningOf } from "../log/refusal.ts";
import { answerReader } from "../log/wire.ts";
import { PageStore, type PageWrite, type StoredPage, type StoreError } from "./page_store.ts";
import { ensure, indexRoot } from "./topology.ts";

const pagesPerRead = 256;
const readsAtOnce = 16;
const marksPerRead = 512;
const answerTimeoutMs = 5_000;

const nothing = new Uint8Array();

const make = Effect.gen(function* () {
  const { layout } = yield* Log;
  const connection = yield* Connection;
  const { ask, manager, nats } = connection;
  const roots = Array.from({ length: layout.shards }, (_, shard) => indexRoot(layout, shard));
  const replicas = yield* Effect.forEach(
    roots,
    (_, shard) => ensure(layout, shard),
    { concurrency: 8 },
  );
  const answerOf = roots.map(answerReader);

  const pageSubject = (shard: number, key: string) => `${roots[shard]!}.page.${key}`;
  const markSubject = (shard: number, life: string) => `${roots[shard]!}.forget.${life}`;

  const lastOfEach = (stream: string, subjects: ReadonlyArray<string>) =>
    collect((callback) =>
      manager.direct.getLastMessagesFor(stream, { multi_last: [...subjects], callback })
    );

  /** Followers may lag, and only the leader answers this. */
  const lastAtLeader = async (stream: string, subjects: ReadonlyArray<string>) => {
    const messages = await Promise.all(
      subjects.map((subject) => manager.streams.getMessage(stream, { last_by_subj: subject })),
    );
    return messages.filter((message) => message !== null);
  };

  const read: PageStore["Service"]["read"] = Effect.fnUntraced(function* (shard, keys, from) {
    const stream = roots[shard]!;
    const prefix = pageSubject(shard, "");
    const [isAtLeader, size] = from === "leader" && replicas[shard]! > 1
      ? [true, readsAtOnce]
      : [false, pagesPerRead];
    const found = yield* Effect.forEach(
      Arr.chunksOf(keys.map((key) => prefix + key), size),
      (subjects) =>
        ask(
          `read pages of ${stream}`,
          () => isAtLeader ? lastAtLeader(stream, subjects) : lastOfEach(stream, subjects),
        ),
      { concurrency: 4 },
    );
    const pages = new Map<string, StoredPage>();
    for (const { subject, seq, time, data } of found.flat()) {
      const page = { body: data, revision: seq, at: time.getTime() };
      pages.set(subject.slice(prefix.length), page);
    }
    return pages;
  });

  const publish = (shard: number, writes: ReadonlyArray<PageWrite>) => {
    const batch = randomUUID();
    const fieldsOf = ({ revision, body }: PageWrite, position: number) => {
      const fields = headers();
      fields.set("Nats-Batch-Id", batch);
      fields.set("Nats-Batch-Sequence", String(position));
      fields.set("Nats-Expected-Last-Subject-Sequence", String(revision));
      if (body === undefined) fields.set("Nats-TTL", "1s");
      return fields;
    };
    writes.slice(0, -1).forEach((write, i) =>
      nats.publish(pageSubject(shard, write.key), write.body ?? nothing, {
        headers: fieldsOf(write, i + 1),
      })
    );
    const last = writes.at(-1)!;
    const fields = fieldsOf(last, writes.length);
    fields.set("Nats-Batch-Commit", "1");
    return nats.request(pageSubject(shard, last.key), last.body ?? nothing, {
      headers: fields,
      timeout: answerTimeoutMs,
    });
  };

  /** Harmless to repeat: a batch that was stored after all is refused, and its writer looks again. */
  const write: PageStore["Service"]["write"] = Effect.fnUntraced(function* (shard, writes) {
    const stream = roots[shard]!;
    const operation = `write pages of ${stream}`;
    const { data } = yield* ask(operation, () => publish(shard, writes));
    const answer = answerOf[shard]!(data);
    if (answer._tag === "Stored") return answer.sequence;
    if (answer._tag === "NobodyThere") {
      return yield* new Unavailable({ operation, reason: "no stream", landed: "no" });
    }
    const { errorCode, description } = answer;
    switch (meaningOf(answer)._tag) {
      case "GuardBroken":
        return undefined;
      case "TryAgain":
        return yield* new Unavailable({ operation, reason: description, landed: "no" });
      case "NoSpace":
        return yield* new NoSpace({ stream, reason: description });
      default:
        return yield* new ServerRefused({ operation, errorCode, description });
    }
  });

  const purge = (shard: number, request: { readonly filter: string; readonly seq?: number }) =>
    Effect.asVoid(
      ask(`purge ${request.filter}`, () => manager.streams.purge(roots[shard]!, request)),
    );

  /** What was verified at the start and is gone, or other, now. */
  const refused = (error: TopologyDrift | StoreError) =>
    error._tag === "TopologyDrift"
      ? new ServerRefused({
        operation: `look up ${error.stream}`,
        errorCode: 0,
        description: error.message,
      })
      : error;

  return PageStore.of({
    prepare: (shard) =>
      ensure(layout, shard).pipe(
        Effect.provideService(Connection, connection),
        Effect.mapError(refused),
        Effect.asVoid,
      ),
    read,
    write,
    clear: (shard) => purge(shard, { filter: pageSubject(shard, ">") }),
    mark: (shard, life) =>
      Effect.asVoid(
        ask(`forget execution ${life}`, () =>
          nats.request(markSubject(shard, String(life)), nothing, { timeout: answerTimeoutMs })),
      ).pipe(Effect.withSpan("PageStore.mark")),
    marks: (shard) => {
      const prefix = markSubject(shard, "");
      const query = { seq: 1, next_by_subj: `${prefix}>`, batch: marksPerRead };
      return Effect.map(
        ask(
          `read marks of ${roots[shard]!}`,
          () =>
            collect((callback) => manager.direct.getBatch(roots[shard]!, { ...query, callback })),
        ),
        (messages) =>
          messages.map(({ subject, seq }) => ({
            life: Number(subject.slice(prefix.length)),
            sequence: seq,
          })),
      );
    },
    unmark: (shard, { sequence }) =>
      purge(shard, { filter: markSubject(shard, ">"), seq: sequence + 1 }),
  });
});

export const layerJetStream: Layer.Layer<
  PageStore,
  TopologyDrift | Unavailable | ServerRefused,
  Connection | Log
> = Layer.effect(PageStore, make);
