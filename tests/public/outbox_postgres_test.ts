import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Executor, postgresOutbox } from "@weir/weir/outbox/postgres";

interface Statement {
  readonly text: string;
  readonly values: Array<unknown>;
}

/** Answers as a database would that adds each token once. */
const transaction = () => {
  const statements: Array<Statement> = [];
  const tokens = new Set<unknown>();
  const executor: Executor = {
    query: (text, values) => {
      statements.push({ text, values });
      const isAdded = text.includes("insert into") && !tokens.has(values[1]);
      if (isAdded) tokens.add(values[1]);
      return Promise.resolve({ rows: isAdded ? [{ created_at: "1700000000000" }] : [] });
    },
  };
  return { statements, executor };
};

describe("the outbox in PostgreSQL", () => {
  const outbox = postgresOutbox({ strategy: { type: "provided" } });

  it("adds an event by one statement of the caller's transaction", async () => {
    const { statements, executor } = transaction();
    const event = await outbox.add(executor, "order.paid", { cents: 4200 }, "order-1", {
      key: "customer-1",
    });
    assert.deepEqual(statements, [{
      text: outbox.insertSql,
      values: [event.id, "order-1", "order.paid", "customer-1", '{"cents":4200}'],
    }]);
    assert.deepEqual(event, {
      id: event.id,
      idempotencyToken: "order-1",
      eventType: "order.paid",
      key: "customer-1",
      payload: { cents: 4200 },
      createdAt: 1_700_000_000_000,
      lockedUntil: 0,
      status: "pending",
    });
  });

  it("refuses a token that is taken", async () => {
    const { executor } = transaction();
    await outbox.add(executor, "order.paid", {}, "order-1");
    await assert.rejects(outbox.add(executor, "order.paid", {}, "order-1"), {
      code: "WEIR_DUPLICATE_EVENT",
      token: "order-1",
    });
  });

  it("asks nobody about what cannot be an event", async () => {
    const { statements, executor } = transaction();
    await assert.rejects(outbox.add(executor, "", {}), { code: "WEIR_INVALID_INPUT" });
    assert.deepEqual(statements, []);
  });

  it("has every parameter of its statement once and in order, as text", () => {
    const parameters = [...outbox.insertSql.matchAll(/\$(\d+)::(\w+)/g)];
    assert.deepEqual(
      parameters.map(([, position, type]) => `${position} ${type}`),
      ["1 text", "2 text", "3 text", "4 text", "5 text"],
    );
  });

  it("passes on what the database says", async () => {
    const refusing: Executor = {
      query: () => Promise.reject(Object.assign(new Error("no such table"), { code: "42P01" })),
    };
    await assert.rejects(outbox.add(refusing, "order.paid", {}), {
      code: "WEIR_DATABASE_REFUSED",
      sqlState: "42P01",
    });
  });
});
