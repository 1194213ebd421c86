import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { connect, InvalidInput, SequenceConflict, type Weir } from "@weir/weir";
import { removeStore, scratchStore } from "./scratch_store.ts";

const note = (data: string) => ({ type: "custom", eventType: "note", data }) as const;
const unique = () => `order/${randomUUID()}`;

describe("the event store on the embedded server", () => {
  let store: string;
  let weir: Weir;
  before(async () => {
    store = await scratchStore();
    weir = await connect({ tenant: "acme", embedded: { store } });
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  it("numbers events from 1 and reads them back as they were", async () => {
    const id = unique();
    assert.equal(await weir.events.append(id, "acme", { type: "executionStarted" }), 1);
    assert.equal(await weir.events.append(id, "acme", note("two")), 2);
    const stored = await weir.events.loadEvents(id);
    assert.deepEqual(stored.map(({ sequence, event }) => [sequence, event]), [
      [1, { type: "executionStarted" }],
      [2, note("two")],
    ]);
    assert.ok(stored[0]!.timestamp <= stored[1]!.timestamp);
    assert.notEqual(stored[0]!.cursor, stored[1]!.cursor);
  });

  it("stores a batch whole and gives its first sequence", async () => {
    const id = unique();
    await weir.events.append(id, "acme", note("1"));
    assert.equal(await weir.events.appendBatch(id, "acme", [note("2"), note("3")]), 2);
    assert.equal(await weir.events.countEvents(id), 3);
    await assert.rejects(weir.events.appendBatch(id, "acme", []), { code: "WEIR_INVALID_BATCH" });
  });

  it("refuses a writer that fell behind, also one on another connection", async () => {
    const id = unique();
    await using other = await connect({ tenant: "acme", embedded: { store } });
    await weir.events.append(id, "acme", note("1"));
    await other.events.append(id, "acme", note("2"), { expectedSequence: 1 });
    await assert.rejects(
      weir.events.append(id, "acme", note("stale"), { expectedSequence: 1 }),
      (error: unknown) => {
        assert.ok(error instanceof SequenceConflict);
        assert.deepEqual([error.expected, error.actual, error.retryable], [1, 2, false]);
        return true;
      },
    );
    assert.equal(await weir.events.latestSequence(id), 2);
  });

  it("answers a repeated event id with the sequence of the first", async () => {
    const id = unique();
    assert.equal(await weir.events.append(id, "acme", note("once"), { eventId: "payment-1" }), 1);
    await using other = await connect({ tenant: "acme", embedded: { store } });
    assert.equal(await other.events.append(id, "acme", note("once"), { eventId: "payment-1" }), 1);
    assert.equal(await weir.events.countEvents(id), 1);
  });

  it("says of an execution without events that there is none", async () => {
    const id = unique();
    assert.equal(await weir.events.latestSequence(id), undefined);
    assert.equal(await weir.events.executionExists(id), false);
    assert.equal(await weir.events.countEvents(id), 0);
    assert.deepEqual(await weir.events.loadEvents(id), []);
  });

  it("shows a tenant nothing of another", async () => {
    const id = unique();
    await weir.events.append(id, "acme", note("secret"));
    assert.deepEqual(await weir.events.loadEvents(id, "rival"), []);
    assert.equal(await weir.events.append(id, "rival", note("theirs")), 1);
    assert.equal(await weir.events.countEvents(id, "acme"), 1);
    const rivals = await weir.events.listExecutions("rival", 10, 0);
    assert.deepEqual(rivals.map(({ executionId }) => executionId), [id]);
  });

  it("iterates over events after a sequence", async () => {
    const id = unique();
    await weir.events.appendBatch(id, "acme", ["1", "2", "3"].map(note));
    const seen: Array<number> = [];
    for await (const { sequence } of weir.events.iterate(id, { after: 1 })) seen.push(sequence);
    assert.deepEqual(seen, [2, 3]);
  });

  it("gives who asks for many before the first has come each once, in order", async () => {
    const id = unique();
    const count = 300;
    await weir.events.appendBatch(id, "acme", Array.from({ length: count }, () => note("x")));
    const events = weir.events.iterate(id)[Symbol.asyncIterator]();
    const asked = Array.from({ length: count + 1 }, () => events.next());
    const came = (await Promise.all(asked)).map(({ value }) => value?.sequence);
    assert.deepEqual(came, [...Array.from({ length: count }, (_, i) => i + 1), undefined]);
  });

  it("lists executions newest first, and pages that do not drift", async () => {
    const ids = Array.from({ length: 5 }, unique);
    for (const id of ids) await weir.events.append(id, "pages", note("x"));
    const newest = [...ids].reverse();
    const listed = await weir.events.listExecutions("pages", 2, 1);
    assert.deepEqual(listed.map(({ executionId }) => executionId), newest.slice(1, 3));
    const first = await weir.events.pageExecutions("pages", { limit: 2 });
    await weir.events.append(unique(), "pages", note("meanwhile"));
    const second = await weir.events.pageExecutions("pages", { limit: 2, from: first.next! });
    assert.deepEqual(
      [...first.executions, ...second.executions].map(({ executionId }) => executionId),
      newest.slice(0, 4),
    );
  });

  it("refuses bad input with an error that names it", async () => {
    await assert.rejects(weir.events.append("", "acme", note("x")), InvalidInput);
    await assert.rejects(weir.events.append("x".repeat(201), "acme", note("x")), InvalidInput);
    await assert.rejects(weir.events.append(unique(), "", note("x")), /tenant ""/);
    await assert.rejects(
      weir.events.append(unique(), "acme", { type: "nonsense" } as never),
      InvalidInput,
    );
  });

  it("keeps its events when everybody has gone and come back", async () => {
    const id = unique();
    await weir.events.append(id, "acme", note("kept"));
    await weir.close();
    weir = await connect({ tenant: "acme", embedded: { store } });
    assert.equal((await weir.events.loadEvents(id)).length, 1);
  });
});
