/** Everything that is read from the log: each record, a whole history, and events of the families. */
import * as Arbitrary from "effect/Arbitrary";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { readAll, unread } from "../../actors/engine/history.ts";
import * as budget from "../../schema/budget_record.ts";
import * as calls from "../../schema/cluster_message_record.ts";
import * as runners from "../../schema/cluster_runner_record.ts";
import { encodeCursor } from "../../schema/cursor.ts";
import * as entries from "../../schema/event_log_record.ts";
import * as snapshots from "../../schema/execution_snapshot.ts";
import { floorRecord } from "../../schema/floor_record.ts";
import * as frames from "../../schema/frame_record.ts";
import * as grants from "../../schema/grant_record.ts";
import { ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import * as journal from "../../schema/journal_record.ts";
import * as values from "../../schema/keyed_value_record.ts";
import * as leases from "../../schema/lease_record.ts";
import * as ledgers from "../../schema/ledger_record.ts";
import * as mail from "../../schema/mail_record.ts";
import * as queues from "../../schema/queue_record.ts";
import type { RecordCodec } from "../../schema/record.ts";
import * as retention from "../../schema/retention_record.ts";
import * as seats from "../../schema/seat_record.ts";
import * as sessions from "../../schema/session_record.ts";
import * as states from "../../schema/state_record.ts";
import * as stored from "../../schema/stored_event.ts";
import * as subscriptions from "../../schema/subscription_record.ts";
import * as tenants from "../../schema/tenant_record.ts";
import * as wakes from "../../schema/wake_record.ts";
import { workEventRecord } from "../../schema/work_event.ts";
import { Progress, progressRecord } from "../../streams/execution_index/progress.ts";
import { decodePage } from "../../streams/execution_index/page.ts";
import * as events from "../../streams/families/event.ts";
import type { Entry } from "../../streams/log.ts";
import * as outbox from "../../streams/outbox/record.ts";
import { readOn } from "../../streams/readable_record.ts";
import { aes256gcm, sealingOf } from "../../streams/sealing.ts";
import { beforeStart } from "../../streams/journal.ts";
import { executionAddress, type Kind, subjectOf } from "../../streams/subjects.ts";
import type { Target } from "./fuzzing.ts";

const utf8 = new TextEncoder();
const decoder = new TextDecoder();
const place = { subject: "weir.log.0.order.acme.o-1", sequence: 1 };

type AnySchema = Schema.Codec<{ readonly kind: string }, { readonly kind: string }>;
type AnyCodec = RecordCodec<unknown, never>;

/** Values of a schema, as they are stored. */
const samples = (schema: AnySchema | Schema.Top, { encode }: AnyCodec) =>
  Effect.runSync(
    Arbitrary.sampleEffect(Arbitrary.schema(schema as AnySchema), { count: 8, size: 4, seed: 7 }),
  ).map((value) => encode(Schema.encodeSync(schema as AnySchema)(value) as never));

const texts = (...all: ReadonlyArray<object>): ReadonlyArray<Uint8Array> =>
  all.map((each) => utf8.encode(JSON.stringify(each)));

const codecs: Readonly<Record<string, readonly [codec: AnyCodec, schema?: unknown]>> = {
  lease: [leases.leaseRecord, leases.LeaseRecord],
  call: [calls.clusterCallRecord, calls.ClusterCallRecord],
  reply: [calls.clusterReplyRecord, calls.ClusterReplyRecord],
  subscription: [subscriptions.subscriptionRecord, subscriptions.SubscriptionRecord],
  wake: [wakes.wakeRecord, wakes.WakeRecord],
  event: [stored.eventRecord],
  frame: [frames.frameRecord, frames.FrameRecord],
  "event-log-entries": [entries.eventLogEntriesRecord, entries.EventLogEntriesRecord],
  "event-log-batches": [entries.eventLogBatchesRecord, entries.EventLogBatchesRecord],
  "event-log-index": [entries.eventLogIndexRecord, entries.EventLogIndexRecord],
  state: [states.stateRecord, states.StateRecord],
  floor: [floorRecord],
  session: [sessions.sessionRecord, sessions.SessionRecord],
  "queue-element": [queues.queueElementRecord, queues.QueueElementRecord],
  "queue-try": [queues.queueTryRecord, queues.QueueTryRecord],
  journal: [journal.journalRecord, journal.JournalRecord],
  budget: [budget.budgetRecord, budget.BudgetRecord],
  spend: [budget.spendRecord, budget.SpendRecord],
  "keyed-value": [values.keyedValueRecord, values.KeyedValueRecord],
  mail: [mail.mailRecord, mail.MailRecord],
  seat: [seats.seatRecord, seats.SeatRecord],
  grant: [grants.grantRecord, grants.GrantRecord],
  tenant: [tenants.tenantRecord, tenants.TenantRecord],
  retention: [retention.retentionRecord, retention.RetentionRecord],
  "work-event": [workEventRecord],
  snapshot: [snapshots.snapshotRecord, snapshots.SnapshotRecord],
  runner: [runners.clusterRunnerRecord, runners.ClusterRunnerRecord],
  "shard-lock": [runners.shardLockRecord, runners.ShardLockRecord],
  ledger: [ledgers.ledgerRecord, ledgers.LedgerRecord],
  "ledger-mark": [ledgers.ledgerMark],
  progress: [progressRecord, Progress],
  outbox: [outbox.outboxRecord, outbox.OutboxRecord],
  dead: [outbox.deadRecord, outbox.DeadRecord],
  "outbox-floor": [outbox.outboxFloorRecord],
};

/** Of those whose schema says more than can be drawn by chance. */
const byHand: ReadonlyArray<Uint8Array> = texts(
  { v: 1, kind: "event", event: { type: "stepCompleted", key: "a", result: { a: [1] } } },
  { v: 1, kind: "event", index: 1, event: { type: "custom", eventType: "paid", data: null } },
  { v: 1, kind: "floors", lease: 1, done: 2, signal: 3, tag: 4 },
  { v: 1, kind: "ledger", key: "order/o-1" },
  { v: 1, kind: "entryId", id: "ticket-17" },
  { v: 2, kind: "later", life: 1 },
  { v: 1, kind: "taskCreated", task: "t-1", at: 1, data: {} },
);

const layout = { namespace: Namespace.make("weir"), shards: 1, parts: 4 };
const address = executionAddress(layout, Tenant.make("acme"), ExecutionId.make("order/o-1"));

const entryOf = (kind: Kind, body: Uint8Array, sequence: number): Entry => ({
  shard: 0,
  subject: subjectOf(address, kind),
  sequence,
  at: 1_700_000_000_000 + sequence,
  id: "nonce.1",
  removed: false,
  body,
});

const kinds = ["mail", "log", "signal", "tag", "done", "lease", "event"] as const;

/** A history as text: the kind of subject and the record, one in a line. */
const historyOf = (text: string): ReadonlyArray<Entry> =>
  text.split("\n").slice(0, 200).map((line, i) => {
    const space = line.indexOf(" ");
    const kind = kinds.find((each) => each === line.slice(0, space)) ?? kinds[line.length % 7]!;
    return entryOf(kind, utf8.encode(line.slice(space + 1)), i + 1);
  });

const histories = [
  [
    'mail {"v":1,"kind":"start","seed":"s","input":{"a":1},"tags":{"a":"b"}}',
    'lease {"v":1,"kind":"acquired","lease":"l","worker":"w","epoch":1,"attempt":0,"ttlMs":1,"nonce":"nonce"}',
    'log {"v":1,"kind":"claimed","life":1,"epoch":1,"attempt":0,"reclaims":0,"worker":"w"}',
    'log {"v":1,"kind":"sleeping","life":1,"index":1,"mail":1,"key":"s","due":5}',
    'log {"v":1,"kind":"waiting","life":1,"index":2,"mail":1,"key":"go","signal":"go"}',
    'mail {"v":1,"kind":"signal","life":1,"signalId":"s-1","name":"go","payload":{"n":1}}',
    'signal {"v":1,"kind":"signal","life":1,"index":3,"mail":6,"signalId":"s-1","sequence":6,' +
    '"name":"go","effect":"satisfied","key":"go","count":1}',
    'mail {"v":1,"kind":"timer","life":1,"key":"s","due":5}',
    'log {"v":1,"kind":"elapsed","life":1,"index":4,"mail":8,"key":"s"}',
    'mail {"v":1,"kind":"cancel","life":1,"reason":"late","force":true}',
    'done {"v":1,"kind":"done","life":1,"index":5,"mail":10,"outcome":{"type":"cancelled"},"attempt":0}',
  ].join("\n"),
];

const eachOf = (read: (entry: Entry) => unknown) => (input: Uint8Array) =>
  historyOf(decoder.decode(input)).map(read);

const cursor = encodeCursor({ incarnation: "0".repeat(16), shards: [{ sequence: 1, at: 1 }] });

const pages = texts(
  { v: 1, kind: "rows", rows: [1, 2] },
  { v: 1, kind: "branch", children: [[1, 2]] },
  { v: 1, kind: "cards", tenants: ["acme"], rows: [[0, "order/o-1", 1, "done", {}]] },
);

const sealing = sealingOf([aes256gcm({ id: "2026-11", secret: "fuzzing".padEnd(32, "-") })]);

export const recordTargets = (): ReadonlyArray<Target> => {
  const drawn = Object.entries(codecs).map(([name, [codec, schema]]) =>
    [name, codec, schema === undefined ? byHand : samples(schema as AnySchema, codec)] as const
  );
  const all = drawn.flatMap(([, , seeds]) => seeds.slice(0, 2));
  const recorded = histories.map((text) => utf8.encode(text));
  return [
    ...drawn.map(([name, codec, seeds]): Target => ({
      name: `record-${name}`,
      seeds: [...seeds, ...all],
      read: (input) => Effect.runSync(codec.decode(input, place)),
    })),
    {
      name: "sealed",
      seeds: all.flatMap((body) => [body, sealing.seal("mail", body)]),
      read: (input) => Effect.runSync(mail.mailRecord.decode(sealing.open(input), place)),
    },
    {
      name: "page",
      seeds: pages,
      read: (input) =>
        Effect.runSync(decodePage("page", { body: input, revision: 1 } as never)) as unknown,
    },
    {
      name: "history",
      seeds: recorded,
      read: (input) => Effect.runSync(readAll(unread, historyOf(decoder.decode(input)))),
    },
    {
      name: "readable",
      seeds: recorded,
      read: (input) => {
        let position = beforeStart;
        for (const entry of historyOf(decoder.decode(input))) {
          position = Effect.runSync(readOn(position, entry)).position;
        }
        return position;
      },
    },
    ...(["leaseHistory", "completion", "signalDelivery", "instanceTag"] as const).map((family) => ({
      name: `family-${family}`,
      seeds: recorded,
      read: eachOf((entry) => familyOf(family)(layout, entry)?.(cursor)),
    })),
  ];
};

const familyOf = (name: string) =>
  (events as unknown as Readonly<
    Record<
      string,
      (of: typeof layout, entry: Entry) => ((at: typeof cursor) => unknown) | undefined
    >
  >)[name]!;
