/** The outbox through its door, on the embedded server: from an actor and from outside. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect as dial } from "@nats-io/transport-node";
import { actor, connect } from "@weir/weir";
import { connectOutbox, NonRetryable, type OutboxEvent } from "@weir/weir/outbox";
import { removeStore, scratchStore } from "./scratch_store.ts";

const eventually = async (what: string, look: () => Promise<boolean> | boolean): Promise<void> => {
  const deadline = Date.now() + 60_000;
  while (!await look()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(20);
  }
};

it("events of actors and of others are published once, and dead letters come back", async () => {
  const store = await scratchStore();
  try {
    await using weir = await connect({ embedded: { store } });
    const servers = weir.server!.url;
    const order = actor(
      "order",
      (ctx, input: { cents: number }) =>
        ctx.outbox.add("order.paid", input, { key: ctx.executionId }),
    );
    await using _worker = await weir.worker([order]);
    await using outbox = await connectOutbox({ servers, strategy: { type: "provided" } });

    const seen: Array<OutboxEvent> = [];
    let isRefused = true;
    await using _publisher = await outbox.publish((event) => {
      if (event.eventType === "poison" && isRefused) throw new NonRetryable({ reason: "no topic" });
      seen.push(event);
    });
    const run = await weir.start(order, { cents: 42 });
    const id = await run.result();
    const added = await outbox.add("order.paid", { cents: 43 }, "o-2/paid");
    await assert.rejects(outbox.add("order.paid", { cents: 43 }, "o-2/paid"), {
      _tag: "DuplicateEvent",
      token: "o-2/paid",
    });
    await eventually("both are published", () => seen.length === 2);
    assert.deepEqual(
      seen.map((event) => [event.id, event.payload]).sort(),
      [[id, { cents: 42 }], [added.id, { cents: 43 }]].sort(),
    );

    await outbox.add("poison", null);
    await eventually("it is dead", async () => (await outbox.counts()).dead === 1);
    const [letter] = await outbox.deadLetters();
    assert.deepEqual([letter?.eventType, letter?.failures], ["poison", 1]);
    isRefused = false;
    assert.equal(await outbox.requeue(letter!.id), true);
    await eventually("it is published", () => seen.length === 3);
    assert.deepEqual(await outbox.deadLetters(), []);
  } finally {
    await removeStore(store);
  }
});

it("a payload may have as much as was said, and not one byte more, and can be given up", async () => {
  const store = await scratchStore();
  try {
    await using weir = await connect({ embedded: { store } });
    const servers = weir.server!.url;
    for (const maxPayloadBytes of [1_000, 33 * 1024 * 1024]) {
      await using outbox = await connectOutbox({ servers, maxPayloadBytes });
      const payload = "x".repeat(maxPayloadBytes - 2);
      await assert.rejects(outbox.add("large", `${payload}x`), { _tag: "PayloadTooLarge" });
      const { id } = await outbox.add("large", payload, undefined, { key: "k" });
      await using _publisher = await outbox.publish(() => {
        throw new NonRetryable({ reason: "no" });
      });
      await eventually("it is dead", async () => (await outbox.counts()).dead === 1);
      assert.ok(await outbox.deleteDeadLetter(id));
    }
  } finally {
    await removeStore(store);
  }
});

it("a stream takes each event once, under its id and with what there is to say of it", async () => {
  const store = await scratchStore();
  try {
    await using weir = await connect({ embedded: { store } });
    const servers = weir.server!.url;
    const { protocol, host, username, password } = new URL(servers);
    const nats = await dial({ servers: `${protocol}//${host}`, user: username, pass: password });
    const manager = await jetstreamManager(nats);
    await manager.streams.add({ name: "EVENTS", subjects: ["events.>"] });
    {
      await using outbox = await connectOutbox({ servers, strategy: { type: "provided" } });
      await using _publisher = await outbox.publish({ subject: "events" });
      const { id, createdAt } = await outbox.add("order.paid", { cents: 42 }, "t", { key: "o-1" });
      await eventually(
        "it is there",
        async () => (await manager.streams.info("EVENTS")).state.messages === 1,
      );
      const stored = await manager.streams.getMessage("EVENTS", { seq: 1 });
      assert.equal(stored?.subject, "events.order.paid");
      assert.deepEqual(stored.json(), { cents: 42 });
      assert.deepEqual(
        ["Nats-Msg-Id", "event_id", "event_type", "created_at", "idempotency_token", "ordering_key"]
          .map((name) => stored.header.get(name)),
        [id, id, "order.paid", new Date(createdAt).toISOString(), "t", "o-1"],
      );
      const again = await jetstream(nats).publish("events.order.paid", "{}", { msgID: id });
      assert.equal(again.duplicate, true);
      await outbox.add("not a subject", null);
      await eventually("it is dead", async () => (await outbox.counts()).dead === 1);
    }
    const other = await scratchStore();
    try {
      const outbox = await connectOutbox({ embedded: { store: other } });
      await outbox.publish({ subject: "events", servers });
      await outbox.add("order.sent", null);
      await eventually(
        "it is there from another server, too",
        async () => (await manager.streams.info("EVENTS")).state.messages === 2,
      );
      await outbox.close();
      const isClosed = { code: "WEIR_CONNECTION_CLOSED" };
      await assert.rejects(outbox.add("order.sent", null), isClosed);
      await assert.rejects(outbox.publish(() => {}), isClosed);
    } finally {
      await removeStore(other);
    }
    await nats.close();
  } finally {
    await removeStore(store);
  }
});
