/** What a later release writes: the engine refuses it, and readers hand it on as it is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { beforeWork, tellWork } from "../../actors/core/tell_work.ts";
import { readAll, unread } from "../../actors/engine/history.ts";
import { ExecutionId, Tenant, Timestamp } from "../../schema/ids.ts";
import type { RecordedWorkEvent } from "../../schema/work_event.ts";
import { beforeStart } from "../../streams/journal.ts";
import type { Entry } from "../../streams/log.ts";
import { readOn } from "../../streams/readable_record.ts";

const of = { execution: ExecutionId.make("order/o-1"), tenant: Tenant.make("acme") };
const place = { life: 1, mail: 1 };
const lease = {
  v: 1,
  leaseId: "l-1",
  workerInstanceId: "w-1",
  epoch: 1,
  attempt: 0,
  ttlMs: 10_000,
  nonce: "n",
};

const entryOf = (kind: string, body: unknown, sequence: number): Entry => ({
  shard: 0,
  subject: kind === "lease" ? "$KV.weir.lease.0.order.acme.o-1" : `weir.${kind}.0.order.acme.o-1`,
  sequence,
  at: 1_000 + sequence,
  id: kind === "mail" ? undefined : `n.${sequence}`,
  removed: false,
  body: new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)),
});

const entriesOf = (...records: ReadonlyArray<readonly [kind: string, body: unknown]>) =>
  records.map(([kind, body], i) => entryOf(kind, body, i + 1));

const start = ["mail", { v: 1, kind: "start", seed: "s" }] as const;
const acquired = ["lease", { ...lease, kind: "acquired" }] as const;
const done = (index: number) =>
  [
    "done",
    {
      v: 1,
      kind: "done",
      ...place,
      index,
      outcome: { type: "success" },
      attempt: 0,
      startedAt: 1_001,
    },
  ] as const;

const tell = (entries: ReadonlyArray<Entry>) =>
  Effect.gen(function* () {
    let position = beforeStart;
    let context = beforeWork(of);
    const events: Array<RecordedWorkEvent> = [];
    for (const entry of entries) {
      const step = yield* readOn(position, entry);
      position = step.position;
      if (step.record === undefined) continue;
      const told = tellWork(context, step.record, Timestamp.make(entry.at), entry.sequence);
      context = told.context;
      events.push(...told.events);
    }
    return events;
  });

const told = (entries: ReadonlyArray<Entry>) => Effect.runSync(tell(entries));
const engine = (entries: ReadonlyArray<Entry>) =>
  Effect.runSync(Effect.flip(readAll(unread, entries)));
const others = (events: ReadonlyArray<RecordedWorkEvent>) =>
  events.flatMap((event) => event.kind === "other" ? [event.raw] : []);

/** What a later release may write into a journal. */
const later: Readonly<Record<string, { readonly v: number; readonly kind: string }>> = {
  "of an unknown kind": { v: 1, kind: "teleported" },
  "in a later format": { v: 2, kind: "step" },
};

describe("records of a later release", () => {
  for (const [what, record] of Object.entries(later)) {
    it(`${what} are refused by the engine, loudly, and kept by readers, who go on`, () => {
      const body = { ...record, ...place, index: 1, to: { lane: "gpu" } };
      const entries = entriesOf(start, acquired, ["log", body], done(2));
      const error = engine(entries);
      assert.equal(error._tag, record.v === 1 ? "CorruptRecord" : "UnsupportedRecordVersion");
      const events = told(entries);
      assert.deepEqual(others(events), [{ kind: record.kind, record: body }]);
      const last = events.at(-1);
      assert.ok(last?.kind === "runStateChanged" && last.newState === "completed");
    });
  }

  it("that take an execution over have no number, and what follows counts", () => {
    const takeover = { v: 1, kind: "claimedAgain", worker: "w-2" };
    const second = { ...entryOf("log", takeover, 3), id: "m.0" };
    const end = { ...entryOf(done(1)[0], done(1)[1], 4), id: "m.1" };
    const events = told([...entriesOf(start, acquired), second, end]);
    assert.deepEqual(others(events), [{ kind: "claimedAgain", record: takeover }]);
    const last = events.at(-1);
    assert.ok(last?.kind === "runStateChanged" && last.newState === "completed");
  });

  it("in a mailbox or a lease are kept too, if they are meant for this execution", () => {
    const mail = { v: 1, kind: "nudge", life: 1 };
    const newer = { v: 2, kind: "cancel", life: 1 };
    const foreign = { v: 1, kind: "nudge", life: 99 };
    const shared = { ...lease, kind: "shared" };
    const entries = entriesOf(start, ["mail", mail], ["mail", foreign], ["mail", newer], [
      "lease",
      shared,
    ]);
    assert.deepEqual(others(told(entries)), [
      { kind: "nudge", record: mail },
      { kind: "cancel", record: newer },
      { kind: "shared", record: shared },
    ]);
  });

  it("do not hide that one is missing, damaged, or of a former owner", () => {
    const body = { v: 1, kind: "teleported", ...place };
    const refusal = (...records: ReadonlyArray<readonly [string, unknown]>) =>
      Effect.runSync(Effect.flip(tell(entriesOf(start, acquired, ...records))))._tag;
    assert.equal(refusal(["log", { ...body, index: 2 }]), "CorruptRecord");
    assert.equal(refusal(["log", "{"]), "CorruptRecord");
    assert.equal(refusal(["log", { v: 1, kind: "step", ...place, index: 1 }]), "CorruptRecord");
    const entries = entriesOf(start, acquired, [
      "log",
      { v: 1, kind: "sleeping", ...place, index: 1, key: "nap", due: 2_000 },
    ]);
    const former = { ...entryOf("log", { ...body, index: 2 }, 4), id: "former.9" };
    const copy = entryOf("log", { ...body, index: 1 }, 5);
    assert.deepEqual(others(told([...entries, former, copy])), []);
  });

  it("that nobody of Weir wrote are nothing to anybody", () => {
    const entries = entriesOf(start, ["mail", "{"], ["mail", []], ["lease", "null"], acquired);
    assert.deepEqual(others(told(entries)), []);
    const foreign = { ...entryOf("log", { v: 1, kind: "teleported" }, 9), id: "hand-made" };
    assert.deepEqual(others(told([...entries, foreign])), []);
  });
});
