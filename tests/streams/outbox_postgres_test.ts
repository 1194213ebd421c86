import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import type * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import pg from "pg";
import { postgresOutbox, type PostgresStoreOptions } from "../../outbox_postgres.ts";
import { layer } from "../../streams/outbox/postgres.ts";
import { failure } from "../../streams/outbox/postgres/failure.ts";
import { OutboxStore } from "../../streams/outbox/store.ts";
import {
  claimNow,
  claimOne,
  insert,
  newEvent,
  type RunOnEmptyStore,
  until,
} from "../conformance/outbox/matter.ts";
import { outboxManagerSuite } from "../conformance/outbox/manager_suite.ts";
import { outboxStoreSuite } from "../conformance/outbox/store_suite.ts";
import { type ScratchPostgres, scratchPostgres } from "../fixtures/postgres.ts";
import { eventually, leftovers } from "../fixtures/server.ts";

const strategy = { type: "provided" } as const;

describe("PostgreSQL", () => {
  let server: ScratchPostgres;
  let clients: pg.Pool;
  let tables = 0;
  before(async () => {
    server = await scratchPostgres();
    clients = new pg.Pool(server.connection);
    clients.on("error", () => {});
  });
  after(async () => {
    await clients.end();
    const connected = await server.connected();
    await server.stop();
    assert.deepEqual(connected, []);
  });

  const freshTable = (): PostgresStoreOptions => ({
    connection: server.connection,
    table: `outbox ${++tables}"'\\`,
  });

  const runOnEmptyStore: RunOnEmptyStore = (effect) =>
    Effect.runPromise(Effect.provide(effect, layer(freshTable())));
  outboxStoreSuite("PostgreSQL", runOnEmptyStore);
  outboxManagerSuite("PostgreSQL", runOnEmptyStore);

  interface Subject {
    /** Adds through a client of the test. */
    readonly outbox: ReturnType<typeof postgresOutbox>;
    /** Runs on the store of a worker. */
    readonly run: <A>(effect: Effect.Effect<A, unknown, OutboxStore>) => Promise<A>;
    readonly options: PostgresStoreOptions;
  }

  const test = (title: string, body: (subject: Subject) => Promise<void>) =>
    it(title, async () => {
      const options = freshTable();
      const runtime = ManagedRuntime.make(
        layer(options) as Layer.Layer<OutboxStore, unknown>,
      );
      try {
        await runtime.context();
        await body({
          options,
          outbox: postgresOutbox({ ...options, strategy }),
          run: (effect) => runtime.runPromise(effect),
        });
      } finally {
        await runtime.dispose();
      }
    });

  /** A client within a transaction, which is undone unless the body ends it. */
  const withTransaction = async <A>(body: (client: pg.PoolClient) => Promise<A>): Promise<A> => {
    const client = await clients.connect();
    try {
      await client.query("begin");
      return await body(client);
    } finally {
      await client.query("rollback").catch(() => {});
      client.release();
    }
  };

  const isNews = Effect.map(claimNow(), (claims) => claims.length);

  describe("a transaction of the caller's", () => {
    test("that is undone leaves neither event nor token behind", async ({ outbox, run }) => {
      await withTransaction((client) => outbox.add(client, "order.paid", {}, "token"));
      assert.equal(await run(isNews), 0);
      const added = await outbox.add(clients, "order.paid", {}, "token");
      assert.equal((await run(claimOne())).event.id, added.id);
    });

    test("shows its events once it is committed", async ({ outbox, run }) => {
      const added = await withTransaction(async (client) => {
        const event = await outbox.add(client, "order.paid", { cents: 4200 }, "token", {
          key: "order-1",
        });
        assert.equal(await run(isNews), 0);
        await client.query("commit");
        return event;
      });
      const { event } = await run(claimOne());
      const { lockedUntil } = event;
      assert.deepEqual(event, { ...added, status: "processing", lockedUntil });
    });

    test("goes on behind a duplicate", async ({ outbox, run }) => {
      const data = `"data ${tables}"`;
      await clients.query(`create table ${data} (id integer)`);
      const first = await outbox.add(clients, "order.paid", {}, "token");
      await withTransaction(async (client) => {
        await client.query(`insert into ${data} values (1)`);
        await assert.rejects(outbox.add(client, "order.paid", {}, "token"), {
          _tag: "DuplicateEvent",
          token: "token",
        });
        await outbox.add(client, "order.paid", {}, "other");
        await client.query("commit");
      });
      assert.equal((await clients.query(`select from ${data}`)).rowCount, 1);
      const claims = await run(claimNow());
      assert.deepEqual(claims.map(({ event }) => event.idempotencyToken), ["token", "other"]);
      assert.equal(claims[0]!.event.id, first.id);
    });

    for (const [end, outcome] of [["commit", "DuplicateEvent"], ["rollback", "added"]] as const) {
      test(`has another with its token wait for its ${end}`, async ({ outbox }) => {
        await withTransaction(async (client) => {
          await outbox.add(client, "order.paid", {}, "token");
          const other = outbox.add(clients, "order.paid", {}, "token").then(
            () => "added",
            (error) => error._tag,
          );
          await client.query(end);
          assert.equal(await other, outcome);
        });
      });
    }

    test("announces all its events as one, and what workers do not at all", async (subject) => {
      const { outbox, run, options } = subject;
      const listener = await clients.connect();
      let announcements = 0;
      listener.on("notification", () => announcements++);
      try {
        await listener.query(`listen ${listener.escapeIdentifier(options.table!)}`);
        await withTransaction(async (client) => {
          for (let i = 0; i < 50; i++) await outbox.add(client, "order.paid", i);
          await client.query("commit");
        });
        await run(Effect.gen(function* () {
          const store = yield* OutboxStore;
          const claims = yield* claimNow();
          const [renewed, failed, dead, ...sent] = claims;
          yield* store.renew(renewed!, "1 minute");
          yield* store.markFailed(failed!, { reason: "no", retryAfter: 0 });
          yield* store.deadLetter(dead!, "no");
          yield* store.markSent(sent);
        }));
        // What was announced before this query comes before its answer.
        await listener.query("select");
        assert.equal(announcements, 1);
      } finally {
        listener.release(true);
      }
    });
  });

  describe("events of one key", () => {
    test("are not out together when an older one comes late", async ({ outbox, run }) => {
      await withTransaction(async (slow) => {
        const late = await outbox.add(slow, "order.paid", "late", undefined, { key: "k" });
        await outbox.add(clients, "order.paid", "early", undefined, { key: "k" });
        const early = await run(claimOne());
        assert.equal(early.event.payload, "early");
        await slow.query("commit");
        assert.equal(await run(isNews), 0);
        await run(Effect.flatMap(OutboxStore, (store) => store.markSent([early])));
        assert.equal((await run(claimOne())).event.id, late.id);
      });
    });

    test("go on when whoever had one has died, and an older one came late", async (subject) => {
      const { outbox, run } = subject;
      await withTransaction(async (slow) => {
        await outbox.add(slow, "order.paid", "late", undefined, { key: "k" });
        await outbox.add(clients, "order.paid", "early", undefined, { key: "k" });
        const [early] = await run(claimNow({ lock: "10 millis" }));
        assert.equal(early?.event.payload, "early");
        await slow.query("commit");
      });
      for (const payload of ["early", "late"]) {
        const claim = await eventually(
          `${payload} is out`,
          async () => (await run(claimNow()))[0],
          30_000,
        );
        assert.equal(claim.event.payload, payload);
        await run(Effect.flatMap(OutboxStore, (store) => store.markSent([claim])));
      }
    });

    test("are not out together when both are claimed at once", async (subject) => {
      const { outbox, run, options } = subject;
      await outbox.add(clients, "order.paid", 1, undefined, { key: "k" });
      const other = await outbox.add(clients, "order.paid", 2, undefined, { key: "k" });
      await withTransaction(async (client) => {
        const table = client.escapeIdentifier(options.table!);
        await client.query(
          `update ${table} set status = 'processing', due_at = now() + interval '1 minute' where id = $1`,
          [other.id],
        );
        const claims = run(claimNow());
        await eventually("the claim waits", async () => {
          const { rows } = await clients.query(
            "select from pg_stat_activity where wait_event_type = 'Lock'",
          );
          return rows.length > 0 || undefined;
        }, 30_000);
        await client.query("commit");
        assert.deepEqual(await claims, []);
      });
    });
  });

  describe("the table", () => {
    it("is created once, by however many at once, and left as it is", async () => {
      const outbox = postgresOutbox(freshTable());
      await Promise.all(Array.from({ length: 8 }, () => outbox.migrate(clients)));
      await outbox.add(clients, "order.paid", {});
      await outbox.migrate(clients);
      await clients.query(outbox.migrationSql);
      const [event] = await Effect.runPromise(
        Effect.provide(claimNow(), layer({ ...freshTable(), table: `outbox ${tables - 1}"'\\` })),
      );
      assert.ok(event);
    });

    it("may be in a schema of its own", async () => {
      await clients.query(`create schema "the ""schema"""`);
      const options = { ...freshTable(), schema: `the "schema"` };
      await Effect.runPromise(
        Effect.provide(Effect.andThen(insert(newEvent()), claimOne()), layer(options)),
      );
    });

    it("has a name that the database does not cut", () => {
      for (const name of ["", "x".repeat(48), "a\0b"]) {
        assert.throws(() => postgresOutbox({ table: name }), { _tag: "InvalidInput" });
      }
    });

    it("that is missing is named", async () => {
      const error = await Effect.runPromise(Effect.flip(
        Effect.provide(claimNow(), layer({ ...freshTable(), migrate: false })),
      ));
      assert.equal(error._tag, "DatabaseRefused");
      assert.match(error.message, /outbox \d+.*does not exist/);
    });
  });

  test("an event that another has locked is left to the other, without a wait", async (subject) => {
    const { outbox, run, options } = subject;
    const first = await outbox.add(clients, "order.paid", {});
    const second = await outbox.add(clients, "order.paid", {});
    await withTransaction(async (client) => {
      const table = client.escapeIdentifier(options.table!);
      await client.query(`select from ${table} where id = $1 for update`, [first.id]);
      assert.equal((await run(claimOne())).event.id, second.id);
    });
    assert.equal((await run(claimOne())).event.id, first.id);
  });

  test("other clients and builders serve as well", async ({ outbox, run }) => {
    /** As postgres.js and Prisma answer. */
    const rows = {
      query: async (t: string, v: Array<unknown>) => (await clients.query(t, v)).rows,
    };
    await outbox.add(rows, "order.paid", "rows", "a");
    await assert.rejects(outbox.add(rows, "order.paid", "rows", "a"), { _tag: "DuplicateEvent" });
    /** As a template with values, which is all that Drizzle and Kysely take. */
    const template = {
      query: (text: string, values: Array<unknown>) => {
        const strings = text.split(/\$\d+/);
        assert.equal(strings.length, values.length + 1);
        const again = strings.reduce((all, part, i) => `${all}$${i}${part}`);
        return clients.query(again, values);
      },
    };
    await outbox.add(template, "order.paid", "template", "b");
    const claims = await run(claimNow());
    assert.deepEqual(claims.map(({ event }) => event.payload), ["rows", "template"]);
  });

  test("a crash of the database takes nothing that was acknowledged", async ({ outbox, run }) => {
    let news = 0;
    const listening = Effect.flatMap(
      OutboxStore,
      (store) => Stream.runForEach(store.news, () => Effect.sync(() => news++)),
    );
    await run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const fiber = yield* Effect.forkChild(listening);
      yield* until(Effect.sync(() => news), (count) => count > 0);
      yield* Effect.promise(() => outbox.add(clients, "order.paid", "sent"));
      yield* store.markSent([yield* claimOne()]);
      yield* Effect.promise(() => outbox.add(clients, "order.paid", "held"));
      const held = yield* claimOne();
      yield* Effect.promise(() => outbox.add(clients, "order.paid", "waiting"));

      yield* Effect.promise(() => server.kill());
      const down = yield* Effect.flip(claimNow());
      assert.equal(down._tag, "Unavailable");
      const before = news;
      yield* Effect.promise(() => server.start());
      yield* until(Effect.sync(() => news), (count) => count > before);

      assert.deepEqual((yield* claimOne()).event.payload, "waiting");
      assert.deepEqual(yield* store.markSent([held]), []);
      assert.deepEqual(yield* claimNow(), []);
      yield* Fiber.interrupt(fiber);
    }));
  });
});

describe("a failure of the database", () => {
  const told = (error: unknown) => failure("adding")(error);
  const sql = (code: string) => Object.assign(new Error("it says why"), { code });

  it("is worth another try when the state of the database passes", () => {
    for (const code of ["40001", "40P01", "53300", "55P03", "57P03", "57014", "25006"]) {
      assert.deepEqual([told(sql(code))._tag, "no"], ["Unavailable", landed(code)], code);
    }
  });

  it("says when the statement may have taken effect", () => {
    for (const code of ["08006", "57P01", "ECONNRESET", "EPIPE"]) {
      assert.equal(landed(code), "unknown", code);
    }
    assert.equal(landed("ECONNREFUSED"), "no");
  });

  it("is a refusal otherwise, also within the error of a builder", () => {
    assert.equal(told(sql("42P01"))._tag, "DatabaseRefused");
    const wrapped = told(new Error("Failed query", { cause: sql("42501") }));
    assert.equal(wrapped._tag === "DatabaseRefused" ? wrapped.sqlState : undefined, "42501");
    assert.equal(told(sql("53100"))._tag, "NoSpace");
  });

  const landed = (code: string): string | undefined => {
    const error = told(sql(code));
    return error._tag === "Unavailable" ? error.landed : undefined;
  };
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
