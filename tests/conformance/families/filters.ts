/** Events of one tenant, of one execution, and of those that had a tag when the event came to be. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { executionFilter } from "../../../streams/subjects.ts";
import { uniqueExecution, uniqueTenant } from "../subject_matter.ts";
import { bare, end, mail, own, place, readAll, tag, type Test } from "./scene.ts";

const start = (tags?: Record<string, string>) => ({
  kind: "start" as const,
  seed: "s",
  ...(tags === undefined ? {} : { tags }),
});

export const filterCases = (test: Test): void => {
  test("a reader of one tenant sees all of it and nothing else, and so does one of an execution", () =>
    Effect.gen(function* () {
      const [a, b] = [uniqueTenant(), uniqueTenant()];
      const same = uniqueExecution();
      for (const [tenant, execution] of [[a, same], [b, same], [a, uniqueExecution()]] as const) {
        yield* end(yield* own(tenant, execution));
      }
      const of = (options: object) =>
        Effect.map(
          readAll("completions", { after: "earliest", ...options }),
          (events) => events.map(({ tenant }) => tenant),
        );
      assert.deepEqual(yield* of({ tenant: a }), [a, a]);
      assert.deepEqual(yield* of({ tenant: b }), [b]);
      assert.deepEqual(yield* of({ tenant: a, executionId: same }), [a]);
      assert.deepEqual(yield* of({ tenant: b, executionId: uniqueExecution() }), []);
      assert.equal((yield* of({})).length, 3);
    }));

  test("by tag, as it was at each event", () =>
    Effect.gen(function* () {
      const leases = yield* Leases;
      const execution = uniqueExecution();
      const address = yield* place(execution);
      yield* mail(address, { kind: "signal", signalId: "early" as never, name: "go" });
      yield* mail(address, start({ "team.name": "checkout" }));
      const owned = yield* own(undefined, execution);
      yield* tag(owned, "attached", "team.name", "search");
      let lease = yield* leases.renew(owned.lease);
      yield* tag(owned, "cleared", "team.name");
      lease = yield* leases.renew(lease);
      yield* tag(owned, "attached", "team.name", "checkout");
      yield* leases.release(lease);
      yield* own();

      const of = <F extends "leaseHistory" | "instanceTags">(family: F, value?: string) =>
        Effect.map(
          readAll(family, {
            after: "earliest",
            tag: { name: "team.name", ...(value === undefined ? {} : { value }) },
          }),
          (events) => events.map((event) => event.type),
        );
      assert.deepEqual(yield* of("leaseHistory"), ["acquired", "renewed", "released"]);
      assert.deepEqual(yield* of("leaseHistory", "checkout"), ["acquired", "released"]);
      assert.deepEqual(yield* of("leaseHistory", "search"), ["renewed"]);
      assert.deepEqual(yield* of("leaseHistory", "none"), []);
      // A change counts for both the state before it and the one behind it.
      assert.deepEqual(yield* of("instanceTags"), ["attached", "cleared", "attached"]);
      assert.deepEqual(yield* of("instanceTags", "search"), ["attached", "cleared"]);
    }));

  test("by tag, of the life that an event belongs to", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const execution = uniqueExecution();
      const address = yield* place(execution);
      yield* mail(address, start({ "a.b": "1" }));
      const { lease } = yield* own(undefined, execution);
      const leases = yield* Leases;
      yield* leases.release(lease);
      for (const kind of ["mail", "lease"] as const) {
        const { sequence: upTo } = yield* log.tail(address.shard);
        const records = executionFilter(address, kind);
        if (kind === "mail") yield* log.purge(records, { upTo });
      }
      yield* mail(address, start());
      yield* own(undefined, execution);
      const events = yield* readAll("leaseHistory", { after: "earliest", tag: { name: "a.b" } });
      // The first life's start is gone; what is left to be read knows nothing of it.
      assert.deepEqual(bare(events), []);
      yield* tag(yield* own(undefined, uniqueExecution()), "attached", "a.b");
      assert.equal(
        (yield* readAll("instanceTags", { after: "earliest", tag: { name: "a.b" } })).length,
        1,
      );
    }));

  test("by tag, of a tag that only an owner can have given", () =>
    Effect.gen(function* () {
      const owned = yield* own();
      const log = yield* Log;
      yield* log.append(owned.address, {
        kind: "tag",
        body: new TextEncoder().encode(
          JSON.stringify({
            v: 1,
            kind: "tag",
            life: 1,
            index: 1,
            mail: 1,
            key: "k",
            change: "attached",
            name: "a.b",
          }),
        ),
      });
      yield* end(owned);
      assert.deepEqual(
        yield* readAll("completions", { after: "earliest", tag: { name: "a.b" } }),
        [],
      );
    }));
};
