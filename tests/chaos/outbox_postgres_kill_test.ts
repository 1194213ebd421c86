import assert from "node:assert/strict";
import { it } from "node:test";
import pg from "pg";
import { postgresOutbox } from "../../outbox_postgres.ts";
import { scratchPostgres } from "../fixtures/postgres.ts";
import { leftovers } from "../fixtures/server.ts";
import { outboxFleetTitle, testOutboxFleet } from "./outbox_fleet.ts";

it(`in PostgreSQL: ${outboxFleetTitle}`, async () => {
  const server = await scratchPostgres();
  const { connection: database } = server;
  const clients = new pg.Pool({ ...database, max: 8 });
  const outbox = postgresOutbox({ strategy: { type: "provided" } });
  try {
    await outbox.migrate(clients);
    // Of each transaction all is there, or nothing.
    await testOutboxFleet({ database }, async (deed, options) => {
      const client = await clients.connect();
      const add = () => outbox.add(client, "deed", deed, `token ${deed.n}`, options);
      try {
        if (deed.n % 20 === 0) {
          await client.query("begin");
          await add();
          await client.query("rollback");
        }
        await client.query("begin");
        const { id } = await add();
        await assert.rejects(add(), { _tag: "DuplicateEvent" });
        await client.query("commit");
        return id;
      } finally {
        client.release();
      }
    });
  } finally {
    await clients.end();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
