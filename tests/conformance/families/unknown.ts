/** What a later release writes, and what no release wrote. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Schema from "effect/Schema";
import { InstanceTagEvent } from "../../../schema/instance_tags.ts";
import { LeaseHistoryEvent } from "../../../schema/lease_history.ts";
import { Log } from "../../../streams/log.ts";
import { skippedRecords } from "../../../streams/metrics.ts";
import { body } from "../subject_matter.ts";
import { bare, end, own, raw, readAll, tag, take, type Test } from "./scene.ts";

const numbers = { life: 1, index: 1, mail: 1 };

export const unknownCases = (test: Test): void => {
  test("3: a lease kind of a later release comes out with its fields, and the stream goes on", () =>
    Effect.gen(function* () {
      const owned = yield* own();
      yield* raw(owned, "lease", { v: 1, kind: "lent", leaseId: "l", to: "b", at: 1, type: "x" });
      yield* raw(owned, "lease", { v: 2, kind: "renewed", lease: { id: "l" } });
      yield* raw(owned, "lease", { v: 1, kind: "lent", leaseId: "m" });
      const events = yield* take("leaseHistory", 4, { after: "earliest" });
      assert.deepEqual(bare(events).slice(1), [
        { type: "other", raw: { type: "lent", leaseId: "l", to: "b" } },
        { type: "other", raw: { v: 2, kind: "renewed", lease: { id: "l" } } },
        { type: "other", raw: { type: "lent", leaseId: "m" } },
      ]);
      for (const event of events) {
        const { encodeSync, decodeUnknownSync } = Schema;
        const wire = JSON.parse(JSON.stringify(encodeSync(LeaseHistoryEvent)(event)));
        assert.deepEqual(decodeUnknownSync(LeaseHistoryEvent)(wire), event);
      }
    }));

  test("3: so does an outcome, an effect and a change of a tag", () =>
    Effect.gen(function* () {
      const owned = yield* own();
      yield* raw(owned, "done", {
        v: 1,
        kind: "done",
        ...numbers,
        outcome: { type: "merged", into: 1 },
      });
      yield* raw(owned, "done", { v: 1, kind: "done", ...numbers, outcome: 7 });
      yield* raw(owned, "done", { v: 1, kind: "done", ...numbers });
      yield* raw(owned, "done", { v: 2, kind: "done", outcome: { type: "success" } });
      yield* end(owned);
      assert.deepEqual(bare(yield* take("completions", 5, { after: "earliest" })), [
        { outcome: { type: "other", raw: "merged" } },
        { outcome: { type: "other", raw: 7 } },
        { outcome: { type: "other", raw: null } },
        { outcome: { type: "other", raw: { v: 2, kind: "done", outcome: { type: "success" } } } },
        { outcome: "success" },
      ]);
      const signal = { kind: "signal", ...numbers, signalId: "s", name: "go" };
      yield* raw(owned, "signal", { v: 1, ...signal, effect: "refused", key: 7, source: ["x"] });
      yield* raw(owned, "signal", { v: 1, ...signal, effect: { as: "it", pleases: true } });
      yield* raw(owned, "signal", { v: 3, ...signal, effect: "buffered" });
      assert.deepEqual(bare(yield* take("signalDeliveries", 3, { after: "earliest" })), [
        { signalId: "s", effect: { type: "other", raw: "refused" } },
        { signalId: "s", effect: { type: "other", raw: { as: "it", pleases: true } } },
        { signalId: "s", effect: { type: "other", raw: { v: 3, ...signal, effect: "buffered" } } },
      ]);
      const change = { v: 1, kind: "tag", key: "k", name: "a.b" };
      yield* raw(owned, "tag", { ...change, change: "renamed", to: "a.c" });
      yield* raw(owned, "tag", { ...change, v: 2, change: "attached" });
      yield* tag(owned, "cleared", "a.b");
      const tags = yield* take("instanceTags", 3, { after: "earliest" });
      assert.deepEqual(bare(tags), [
        { type: "other", raw: { type: "renamed", key: "k", name: "a.b", to: "a.c" } },
        { type: "other", raw: { ...change, v: 2, change: "attached" } },
        { type: "cleared", tag: "a.b" },
      ]);
      for (const event of tags) Schema.encodeSync(InstanceTagEvent)(event);
    }));

  test("what no Weir wrote is passed over, and counted", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const owned = yield* own();
      const done = { v: 1, kind: "done", ...numbers, outcome: { type: "success" } };
      const isWritten = [
        raw(owned, "done", "not JSON"),
        raw(owned, "done", "[1]"),
        raw(owned, "done", { ...done, v: "1" }),
        raw(owned, "done", { ...done, kind: "end" }),
        // Of nobody's, and where it does not belong.
        log.append(owned.address, { kind: "done", body: body(JSON.stringify(done)) }),
        raw(
          { ...owned, address: { ...owned.address, tail: `99${owned.address.tail}` } },
          "done",
          done,
        ),
      ];
      for (const write of isWritten) yield* write;
      yield* raw(owned, "done", done);
      const before = (yield* Metric.value(skippedRecords)).count;
      assert.deepEqual(bare(yield* readAll("completions", { after: "earliest" })), [
        { outcome: "success" },
      ]);
      assert.equal((yield* Metric.value(skippedRecords)).count - before, isWritten.length);
      const broken = { v: 1, kind: "revoked", leaseId: "", revokedBy: "x" };
      yield* raw(owned, "lease", broken);
      assert.equal((yield* readAll("leaseHistory", { after: "earliest" })).length, 1);
    }));
};
