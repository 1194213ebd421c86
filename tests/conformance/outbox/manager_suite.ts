/**
 * What the outbox's manager does with events on whatever store keeps them. It takes a way to run an
 * effect on an empty store, which several managers then share.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../../schema/errors.ts";
import { PublishFailed, PublishRefused } from "../../../schema/outbox_errors.ts";
import type { OutboxEvent } from "../../../streams/outbox/event.ts";
import * as Manager from "../../../streams/outbox/manager.ts";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import { about, OutboxTransport } from "../../../streams/outbox/transport.ts";
import {
  claimNow,
  claimOne,
  insert,
  long,
  newEvent,
  type RunOnEmptyStore,
  short,
  until,
} from "./matter.ts";

type Publish = OutboxTransport["Service"]["publish"];

/** So that what is awaited does not come from the poll. */
const patient: Manager.ManagerOptions = {
  pollInterval: "1 hour",
  backoff: { first: "20 millis", max: "100 millis" },
};

const manage = (publish: Publish, options: Manager.ManagerOptions = {}) =>
  Layer.launch(Manager.layer({ ...patient, ...options })).pipe(
    Effect.provideService(OutboxTransport, OutboxTransport.of({ publish })),
  );

/** A manager for the time of an effect. */
const managed = <A, E, R>(
  publish: Publish,
  effect: Effect.Effect<A, E, R>,
  options?: Manager.ManagerOptions,
) =>
  Effect.scoped(
    Effect.andThen(
      Layer.build(Manager.layer({ ...patient, ...options })).pipe(
        Effect.provideService(OutboxTransport, OutboxTransport.of({ publish })),
      ),
      effect,
    ),
  );

const failing = (event: OutboxEvent, reason = "no") =>
  new PublishFailed({ ...about(event), reason });

const allSent = Effect.gen(function* () {
  const store = yield* OutboxStore;
  yield* until(store.counts, ({ pending, processing }) => pending + processing === 0);
});

export const outboxManagerSuite = (name: string, run: RunOnEmptyStore): void => {
  describe(`${name}: outbox manager`, () => {
    it("what was added before and what is added meanwhile is published once", () =>
      run(Effect.gen(function* () {
        const seen: Array<string> = [];
        const before = yield* insert(...Array.from({ length: 30 }, () => newEvent()));
        const publish: Publish = ({ id }) => Effect.sync(() => void seen.push(id));
        const meanwhile = yield* managed(
          publish,
          Effect.gen(function* () {
            yield* until(Effect.sync(() => seen.length), (count) => count === 30);
            const more = yield* insert(...Array.from({ length: 30 }, () => newEvent()));
            yield* allSent;
            return more;
          }),
          { batchSize: 7, concurrency: 5 },
        );
        assert.deepEqual(seen.sort(), [...before, ...meanwhile].map(({ id }) => id).sort());
      })));

    it("no more are published at once than was said", () =>
      run(Effect.gen(function* () {
        let atOnce = 0;
        let most = 0;
        const publish: Publish = () =>
          Effect.gen(function* () {
            most = Math.max(most, ++atOnce);
            yield* Effect.sleep("5 millis");
            atOnce--;
          });
        yield* insert(...Array.from({ length: 40 }, () => newEvent()));
        yield* managed(publish, allSent, { concurrency: 4 });
        assert.ok(most > 1 && most <= 4, `${most}`);
      })));

    it("an event that was published and not marked comes again under its id", () =>
      run(Effect.gen(function* () {
        const [event] = yield* insert(newEvent());
        // Its first owner publishes it and dies.
        const seen = [(yield* claimOne({ owner: "dead", lock: short })).event.id];
        yield* managed(({ id }) => Effect.sync(() => void seen.push(id)), allSent, {
          pollInterval: "50 millis",
        });
        assert.deepEqual(seen, [event!.id, event!.id]);
      })));

    it("an event that always fails is a dead letter after so many failures, for the last reason", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        let tries = 0;
        const publish: Publish = (event) =>
          event.payload === "poison"
            ? Effect.suspend(() => Effect.fail(failing(event, `failure ${++tries}`)))
            : Effect.void;
        const added = yield* insert(
          newEvent(),
          newEvent({ payload: "poison" }),
          newEvent(),
        );
        yield* managed(publish, allSent, { deadLetterThreshold: 4 });
        const letters = yield* store.deadLetters({ limit: 10 });
        assert.deepEqual(letters.map(({ id, failures }) => [id, failures]), [[added[1]!.id, 4]]);
        assert.equal(letters[0]!.reason, "failure 4");
        assert.equal(tries, 4);
      })));

    it("what can never be published is a dead letter at once, and comes back when it is requeued", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        let isRefused = true;
        let tries = 0;
        const publish: Publish = (event) =>
          Effect.suspend(() => {
            tries++;
            return isRefused
              ? Effect.fail(new PublishRefused({ ...about(event), reason: "no such topic" }))
              : Effect.void;
          });
        const [event] = yield* insert(newEvent());
        yield* managed(
          publish,
          Effect.gen(function* () {
            yield* until(store.counts, ({ dead }) => dead === 1);
            assert.equal(tries, 1);
            isRefused = false;
            assert.equal(yield* store.requeue(event!.id), true);
            yield* until(Effect.sync(() => tries), (count) => count === 2);
            yield* allSent;
          }),
        );
        assert.deepEqual(yield* store.deadLetters({ limit: 10 }), []);
      })));

    it("a transport that throws or hangs fails its own event, and no other", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        const sent: Array<unknown> = [];
        const publish: Publish = ({ payload }) => {
          if (payload === "throws") throw new Error("a bug");
          return payload === "hangs" ? Effect.never : Effect.sync(() => void sent.push(payload));
        };
        yield* insert(
          newEvent({ payload: "hangs" }),
          newEvent({ payload: "throws" }),
          newEvent({ payload: 1 }),
          newEvent({ payload: 2 }),
        );
        yield* managed(publish, until(store.counts, ({ dead }) => dead === 2), {
          deadLetterThreshold: 2,
          publishTimeout: "100 millis",
        });
        assert.deepEqual(sent.sort(), [1, 2]);
        const reasons = (yield* store.deadLetters({ limit: 10 })).map(({ reason }) => reason);
        assert.deepEqual(reasons.sort(), ["Error: a bug", "no answer within 100ms"]);
      })));

    it("an event that takes longer than its lock stays its owner's", () =>
      run(Effect.gen(function* () {
        let tries = 0;
        const publish: Publish = () =>
          Effect.andThen(Effect.sync(() => tries++), Effect.sleep("7 seconds"));
        const options = { lockTimeout: "3 seconds", pollInterval: "100 millis" } as const;
        yield* insert(newEvent());
        yield* Effect.raceFirst(
          manage(() => Effect.sync(() => void tries++), options).pipe(
            Effect.delay("1 second"),
          ),
          managed(publish, allSent, options),
        );
        assert.equal(tries, 1);
      })));

    it("a publish whose lock cannot be renewed is stopped, and marks nothing", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        let isStopped = false;
        const publish: Publish = () =>
          Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (isStopped = true)));
        yield* insert(newEvent());
        const renew: OutboxStore["Service"]["renew"] = () =>
          Effect.fail(new Unavailable({ operation: "renew", reason: "away", landed: "no" }));
        yield* managed(publish, until(Effect.sync(() => isStopped), (stopped) => stopped), {
          lockTimeout: "600 millis",
        }).pipe(Effect.provideService(OutboxStore, OutboxStore.of({ ...store, renew })));
        assert.equal((yield* claimOne()).failures, 0);
      })));

    it("an event whose lock has lapsed before its turn came is left to who has claimed it since", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        let looks = 0;
        const slow = OutboxStore.of({
          ...store,
          claim: (options) =>
            Effect.gen(function* () {
              const claims = yield* store.claim(options);
              // It comes back so late that another has the event by then.
              yield* until(
                store.claim({ owner: "other", limit: 1, lock: long }),
                (others) => others.length === claims.length,
              ).pipe(Effect.orDie);
              looks++;
              return claims;
            }),
        });
        const seen: Array<string> = [];
        yield* insert(newEvent());
        yield* managed(
          ({ id }) => Effect.sync(() => void seen.push(id)),
          until(Effect.sync(() => looks), (count) => count > 3),
          { lockTimeout: short, pollInterval: "20 millis" },
        ).pipe(Effect.provideService(OutboxStore, slow));
        assert.deepEqual(seen, []);
      })));

    it("marks that the store did not take are made again, and nothing is published twice", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        let tries = 0;
        let marks = 0;
        const markSent: OutboxStore["Service"]["markSent"] = (claims) =>
          Effect.suspend(() =>
            ++marks <= 2
              ? Effect.fail(new Unavailable({ operation: "mark", reason: "away", landed: "no" }))
              : store.markSent(claims)
          );
        yield* insert(newEvent(), newEvent(), newEvent());
        yield* managed(() => Effect.sync(() => void tries++), allSent).pipe(
          Effect.provideService(OutboxStore, OutboxStore.of({ ...store, markSent })),
        );
        assert.equal(tries, 3);
      })));

    it("without any news it finds what there is by itself", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        yield* managed(
          () => Effect.void,
          Effect.andThen(insert(newEvent()), allSent),
          { pollInterval: "50 millis" },
        ).pipe(
          Effect.provideService(OutboxStore, OutboxStore.of({ ...store, news: Stream.never })),
        );
      })));

    it("what failed is published again though the store's clock is behind the manager's", () =>
      run(Effect.gen(function* () {
        const store = yield* OutboxStore;
        const behind = OutboxStore.of({
          ...store,
          markFailed: (claim, failure) =>
            store.markFailed(claim, { ...failure, retryAfter: "300 millis" }),
        });
        let tries = 0;
        const publish: Publish = (event) =>
          Effect.suspend(() => ++tries === 1 ? Effect.fail(failing(event)) : Effect.void);
        yield* insert(newEvent());
        yield* managed(publish, allSent).pipe(Effect.provideService(OutboxStore, behind));
        assert.equal(tries, 2);
      })));

    it("events of one key are published in their order, whatever fails on the way", () =>
      run(Effect.gen(function* () {
        const seen = new Map<string, Array<unknown>>();
        const tried = new Set<string>();
        const publish: Publish = (event) =>
          Effect.suspend(() => {
            const { key = "", payload, id } = event;
            if (Number(payload) % 3 === 0 && !tried.has(id)) {
              tried.add(id);
              return Effect.fail(failing(event));
            }
            seen.set(key, [...seen.get(key) ?? [], payload]);
            return Effect.void;
          });
        const payloads = [1, 2, 3, 4, 5, 6, 7];
        const keys = ["a", "b", "c"];
        yield* insert(
          ...payloads.flatMap((payload) => keys.map((key) => newEvent({ key, payload }))),
        );
        const both = Effect.all([
          managed(publish, allSent, { pollInterval: "50 millis" }),
          managed(publish, allSent, { pollInterval: "50 millis" }),
        ], { concurrency: "unbounded" });
        yield* both;
        assert.deepEqual([...seen].sort(), keys.map((key) => [key, payloads]));
      })));

    it("its end waits for what is being published, and claims nothing more", () =>
      run(Effect.gen(function* () {
        let begun = 0;
        let ended = 0;
        const publish: Publish = () =>
          Effect.gen(function* () {
            begun++;
            yield* Effect.sleep("300 millis");
            ended++;
          });
        yield* insert(...Array.from({ length: 8 }, () => newEvent()));
        yield* managed(publish, until(Effect.sync(() => begun), (count) => count > 0), {
          concurrency: 2,
        });
        assert.equal(ended, begun);
        assert.ok(begun < 8);
        // What it had not begun is nobody's, and what it had is sent.
        const rest: Array<unknown> = [];
        yield* until(
          Effect.map(claimNow(), (claims) => rest.push(...claims)),
          (count) => count === 8 - begun,
        );
      })));

    it("what does not end in time is given back", () =>
      run(Effect.gen(function* () {
        let begun = 0;
        const publish: Publish = () => Effect.andThen(Effect.sync(() => begun++), Effect.never);
        const [event] = yield* insert(newEvent());
        yield* managed(publish, until(Effect.sync(() => begun), (count) => count > 0), {
          drainTimeout: "100 millis",
          publishTimeout: "1 hour",
        });
        const claim = yield* claimOne();
        assert.deepEqual([claim.event.id, claim.failures], [event!.id, 0]);
      })));

    it("what was sent goes when it was kept for long enough", () =>
      run(Effect.gen(function* () {
        yield* insert(newEvent({ token: "t" }));
        yield* managed(
          () => Effect.void,
          until(
            insert(newEvent({ token: "t" })).pipe(
              Effect.as(true),
              Effect.catchTag("DuplicateEvent", () => Effect.succeed(false)),
            ),
            (added) => added,
          ),
          { retention: 0, garbageInterval: "50 millis" },
        );
      })));

    it("each try is counted by its type and by how it ended", () =>
      run(
        Effect.gen(function* () {
          let tries = 0;
          const publish: Publish = (event) =>
            Effect.suspend(() => ++tries === 1 ? Effect.fail(failing(event)) : Effect.void);
          yield* insert(newEvent(), newEvent());
          yield* managed(publish, allSent);
          const found = (yield* Metric.snapshot).flatMap((metric) => {
            const { id, attributes, state } = metric;
            if (!id.startsWith("outbox.")) return [];
            const count = "incremental" in state ? state.count : "count" in state ? state.count : 0;
            return [`${id} ${JSON.stringify(attributes)} ${count}`];
          });
          assert.deepEqual(found.sort(), [
            'outbox.events_total {"event_type":"order.paid","status":"error"} 1',
            'outbox.events_total {"event_type":"order.paid","status":"success"} 2',
            'outbox.publish_duration_seconds {"event_type":"order.paid","status":"error"} 1',
            'outbox.publish_duration_seconds {"event_type":"order.paid"} 2',
          ]);
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())),
      ));
  });
};
