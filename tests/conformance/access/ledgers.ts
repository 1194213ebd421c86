/** The contract of `Ledgers`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Stream from "effect/Stream";
import { LedgerEntryId, LedgerKey, LedgerKind, Principal } from "../../../schema/access_names.ts";
import { ledgerAddress, ledgerFilter } from "../../../streams/access/subjects.ts";
import { layer, Ledgers } from "../../../streams/ledgers.ts";
import { Log } from "../../../streams/log.ts";
import { collect } from "../../fixtures/log_client.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import type { Services } from "./matter.ts";

const decision = LedgerKind.make("decision");
const newKey = () => LedgerKey.make(`order/${randomUUID()} *.>`);
const entryId = (text: string) => LedgerEntryId.make(text);

export const ledgersSuite = (name: string, run: Run<Services>) => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));

  /** A ledger that no other test has. */
  const scene = Effect.gen(function* () {
    const ledgers = yield* Ledgers;
    const tenant = uniqueTenant();
    const key = newKey();
    const note = (payload: string, id?: string) =>
      ledgers.append(tenant, key, {
        kind: decision,
        payload,
        ...(id === undefined ? {} : { id: entryId(id) }),
      });
    const payloads = (options?: { readonly after?: number; readonly limit?: number }) =>
      Effect.map(
        ledgers.read(tenant, key, options),
        (entries) => entries.map(({ payload }) => payload),
      );
    return { ledgers, tenant, key, note, payloads };
  });

  describe(`ledgers: ${name}`, () => {
    test(
      "entries are read in the order in which they were appended, as they were written",
      Effect.gen(function* () {
        const { ledgers, tenant, key } = yield* scene;
        assert.deepEqual(yield* ledgers.read(tenant, key), []);
        const by = Principal.make("ana");
        const payload = { approved: true, cents: [1, 2], note: "ümläut" };
        const first = yield* ledgers.append(tenant, key, { kind: decision, payload, by });
        const second = yield* ledgers.append(tenant, key, {
          kind: LedgerKind.make("audit"),
          payload: null,
          id: entryId("a 1"),
        });
        assert.ok(first.appended && second.appended && second.sequence > first.sequence);
        const entries = yield* ledgers.read(tenant, key);
        assert.deepEqual(entries.map(({ at, ...entry }) => (assert.ok(at > 0), entry)), [
          {
            type: "ledgerEntryAppended",
            tenant,
            key,
            id: first.id,
            kind: "decision",
            payload,
            sequence: first.sequence,
            by,
          },
          {
            type: "ledgerEntryAppended",
            tenant,
            key,
            id: "a 1",
            kind: "audit",
            payload: null,
            sequence: second.sequence,
          },
        ]);
      }),
    );

    test(
      "the sequence of an entry is where the next page begins",
      Effect.gen(function* () {
        const { ledgers, tenant, key, note, payloads } = yield* scene;
        for (let i = 0; i < 7; i++) yield* note(`${i}`);
        assert.deepEqual(yield* payloads({ limit: 3 }), ["0", "1", "2"]);
        const last = (yield* ledgers.read(tenant, key, { limit: 3 })).at(-1)!;
        assert.deepEqual(yield* payloads({ after: last.sequence, limit: 3 }), ["3", "4", "5"]);
        assert.deepEqual(yield* payloads({ after: last.sequence }), ["3", "4", "5", "6"]);
      }),
    );

    test(
      "an id is appended once, by whoever of many is first, and never again",
      Effect.gen(function* () {
        const { tenant, key, note, payloads } = yield* scene;
        const others = yield* Effect.forEach(
          Array.from({ length: 12 }),
          () => Effect.provide(Ledgers, layer, { local: true }),
        );
        const appended = yield* Effect.forEach(
          others,
          (ledgers, i) =>
            ledgers.append(tenant, key, { kind: decision, payload: i, id: entryId("one") }),
          { concurrency: "unbounded" },
        );
        assert.equal(appended.filter((each) => each.appended).length, 1);
        assert.equal(new Set(appended.map(({ sequence }) => sequence)).size, 1);
        const again = yield* note("again", "one");
        assert.deepEqual(again, { ...appended[0]!, appended: false });
        assert.equal((yield* payloads()).length, 1);
      }),
    );

    test(
      "an id is taken in its own ledger alone",
      Effect.gen(function* () {
        const { ledgers, tenant, note } = yield* scene;
        yield* note("here", "one");
        const other = newKey();
        const entry = { kind: decision, payload: "there", id: entryId("one") };
        assert.equal((yield* ledgers.append(tenant, other, entry)).appended, true);
        assert.equal((yield* ledgers.append(uniqueTenant(), other, entry)).appended, true);
      }),
    );

    test(
      "all entries of a ledger are under one subject of one shard, and nothing else is",
      Effect.gen(function* () {
        const { tenant, key, note } = yield* scene;
        const log = yield* Log;
        yield* note("first", "one");
        yield* note("second");
        const filter = ledgerFilter(ledgerAddress(log.layout, tenant, key));
        const stored = yield* collect(log.read(filter));
        assert.deepEqual([...new Set(stored.map(({ subject }) => subject))], [filter.subject]);
        const records = stored.map(({ body }) => JSON.parse(new TextDecoder().decode(body)));
        assert.deepEqual(records.map(({ v, kind, payload }) => [v, kind, payload]), [
          [1, "entry", "first"],
          [1, "entry", "second"],
        ]);
      }),
    );

    test(
      "the keys of a tenant are those of its own ledgers",
      Effect.gen(function* () {
        const { ledgers, tenant, key, note } = yield* scene;
        assert.deepEqual(yield* ledgers.keys(tenant), []);
        yield* note("a");
        yield* note("b", "b");
        const other = newKey();
        yield* ledgers.append(tenant, other, { kind: decision, payload: 1, id: entryId("x") });
        yield* ledgers.append(uniqueTenant(), newKey(), { kind: decision, payload: 1 });
        assert.deepEqual(yield* ledgers.keys(tenant), [key, other].sort());
      }),
    );

    test(
      "who follows gets what is there and what comes",
      Effect.gen(function* () {
        const { ledgers, tenant, key, note } = yield* scene;
        const { sequence } = yield* note("known");
        yield* note("there");
        const following = yield* ledgers.follow(tenant, key, { after: sequence }).pipe(
          Stream.map(({ payload }) => payload),
          Stream.take(2),
          Stream.runCollect,
          Effect.forkChild,
        );
        yield* note("comes");
        assert.deepEqual(Array.from(yield* Fiber.join(following)), ["there", "comes"]);
      }),
    );

    test(
      "what cannot be meant is refused",
      Effect.gen(function* () {
        const { ledgers, tenant, key, note, payloads } = yield* scene;
        for (const limit of [0, -1, 1.5, 1_001, NaN]) {
          assert.equal((yield* Effect.flip(payloads({ limit })))._tag, "InvalidInput");
        }
        for (const after of [-1, 0.5, NaN, 2 ** 60]) {
          assert.equal((yield* Effect.flip(payloads({ after })))._tag, "InvalidInput");
          const followed = Stream.runDrain(ledgers.follow(tenant, key, { after }));
          assert.equal((yield* Effect.flip(followed))._tag, "InvalidInput");
        }
        assert.equal((yield* Effect.flip(note("a".repeat(70_000))))._tag, "PayloadTooLarge");
        assert.deepEqual(yield* payloads(), []);
        assert.deepEqual(yield* ledgers.keys(tenant), []);
      }),
    );
  });
};
