import assert from "node:assert/strict";
import { it } from "node:test";
import { Timestamp } from "../../../schema/ids.ts";
import { Backlog } from "../../../streams/outbox/backlog.ts";
import type { OutboxRecord } from "../../../streams/outbox/record.ts";
import type { Address } from "../../../streams/subjects.ts";

it("what was requeued ahead of older events does not move the floor above them", () => {
  const backlog = new Backlog();
  const take = (name: string, sequence: number, record: Partial<OutboxRecord>) =>
    backlog.take({
      address: { shard: 0, tail: `default.${name}` } as Address,
      sequence,
      at: 0,
      record: {
        id: name,
        eventType: "order.paid",
        createdAt: Timestamp.make(0),
        ...record,
      } as OutboxRecord,
    });
  take("a", 1, { kind: "event" });
  // All of it was read at once, to learn what became of a claim.
  take("a", 3, { kind: "dead" });
  take("a", 10, { kind: "event" });
  take("b", 5, { kind: "event" });
  assert.equal(backlog.floor(0, 6), 4);
});
