/** Those who read and publish on three replicas, while the servers that lead keep handing over. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import type { StreamDisconnected } from "../../schema/errors.ts";
import { SubscriptionName } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as LogStore from "../../streams/outbox/log_store.ts";
import * as Manager from "../../streams/outbox/manager.ts";
import { OutboxStore } from "../../streams/outbox/store.ts";
import { layerFunction } from "../../streams/outbox/transport.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import * as Sessions from "../../streams/session.ts";
import * as Subscriptions from "../../streams/subscriptions/jetstream.ts";
import { Subscriptions as SubscriptionsService } from "../../streams/subscriptions.ts";
import { end, own, readAll } from "../conformance/families/scene.ts";
import { newEvent } from "../conformance/outbox/matter.ts";
import {
  eventually,
  leftovers,
  type ScratchCluster,
  scratchCluster,
  withConnection,
} from "../fixtures/server.ts";

const stream = "KV_weir";
/** Written in each test, and how many hand-overs it goes on for at least. */
const [records, handOvers] = [40, 6];
const deadlineMs = 90_000;

describe("on three replicas whose leader steps down all the time", () => {
  let cluster: ScratchCluster;
  let isOver = false;
  let disturbed: Promise<void> | undefined;
  /** Who has led the stream, one after the other. */
  const leaders: Array<string> = [];

  const layer = () =>
    Layer.mergeAll(
      Leases.layer,
      Families.layerJetStream,
      Subscriptions.layerJetStream,
      LogStore.layer(),
    ).pipe(
      Layer.provideMerge(Layer.mergeAll(Sessions.layer, ServerClock.layer)),
      Layer.provideMerge(layerJetStream({ replicas: 3 })),
      Layer.provideMerge(Connection.layer({ servers: cluster.urls, durability: "bounded" })),
    );
  type Services = Layer.Success<ReturnType<typeof layer>>;
  const runtimes: Array<ManagedRuntime.ManagedRuntime<Services, unknown>> = [];
  const open = () => {
    const runtime = ManagedRuntime.make(layer());
    runtimes.push(runtime);
    return runtime;
  };
  let here: ManagedRuntime.ManagedRuntime<Services, unknown>;

  const ask = (subject: string) =>
    withConnection(
      cluster.urls[0]!,
      async (nats) => (await nats.request(`$JS.API.${subject}`)).json<Record<string, unknown>>(),
    );
  const handOver = async () => {
    const info = await ask(`STREAM.INFO.${stream}`) as
      | { readonly cluster?: { readonly leader?: string } }
      | undefined;
    const leader = info?.cluster?.leader;
    if (leader !== undefined && leader !== leaders.at(-1)) leaders.push(leader);
    const names = await ask(`CONSUMER.NAMES.${stream}`) as
      | { readonly consumers?: ReadonlyArray<string> }
      | undefined;
    await ask(`STREAM.LEADER.STEPDOWN.${stream}`);
    for (const name of names?.consumers ?? []) {
      await ask(`CONSUMER.LEADER.STEPDOWN.${stream}.${name}`);
    }
  };

  before(async () => {
    cluster = await scratchCluster({ durability: "bounded" });
    here = open();
    await here.runPromise(own());
    disturbed = (async () => {
      while (!isOver) {
        await handOver();
        await pause(400);
      }
    })();
  });
  after(async () => {
    isOver = true;
    await disturbed;
    await Promise.all(runtimes.map((runtime) => runtime.dispose()));
    await cluster.stop();
  });

  /** Does something again and again, until so many hand-overs have come. */
  const meanwhile = async <A>(act: () => Promise<A>): Promise<ReadonlyArray<A>> => {
    const begun = leaders.length;
    const done: Array<A> = [];
    while (done.length < records || leaders.length < begun + handOvers) done.push(await act());
    return done;
  };

  /** Has an execution end. */
  const complete = () =>
    here.runPromise(Effect.gen(function* () {
      const owned = yield* own();
      yield* end(owned);
      return owned.execution as string;
    }));

  it("a reader of a family that resumes where it was cut off sees each event once, in order", async () => {
    const seen: Array<string> = [];
    let after: string = "now";
    let cuts = 0;
    const reader = open();
    let isReading = false;
    const ending = new AbortController();
    const reading = (async () => {
      while (!ending.signal.aborted) {
        const program = Effect.flatMap(
          Families.Families,
          (families) =>
            families.read("completions", { after, ticks: "100 millis" }).pipe(
              Stream.runForEach((event) =>
                Effect.sync(() => {
                  isReading = true;
                  after = event.cursor;
                  if (!("type" in event)) seen.push(event.executionId);
                })
              ),
              Effect.catchTag(
                "StreamDisconnected",
                (error: StreamDisconnected) =>
                  Effect.sync(() => {
                    cuts++;
                    after = error.cursor;
                  }),
              ),
            ),
        );
        await reader.runPromise(program, { signal: ending.signal }).catch((error) => {
          if (!ending.signal.aborted) throw error;
        });
      }
    })();
    await eventually("it reads", () => isReading || undefined, deadlineMs);
    const written = await meanwhile(complete);
    await Promise.race([
      reading,
      eventually("it has all", () => seen.length >= written.length || undefined, deadlineMs),
    ]);
    ending.abort();
    await reading;
    assert.deepEqual(seen, written, `it was cut off ${cuts} times`);
    const whole = await here.runPromise(readAll("completions", { after: "earliest" }));
    assert.deepEqual(whole.map(({ executionId }) => executionId as string), written);
  });

  it("a durable subscription of two members leaves out nothing, and its lag comes to nothing", async () => {
    const durable = SubscriptionName.make("billing");
    const begun = await here.runPromise(Effect.flatMap(
      SubscriptionsService,
      ({ list }) => list,
    ));
    assert.deepEqual(begun, []);
    const counts = new Map<string, number>();
    const ending = new AbortController();
    const members = [open(), open()].map(async (member) => {
      const program = Effect.flatMap(
        SubscriptionsService,
        (subscriptions) =>
          subscriptions.read("completions", { durable, after: "earliest" }).pipe(
            Stream.runForEach(({ executionId }) =>
              Effect.sync(() => {
                counts.set(executionId, (counts.get(executionId) ?? 0) + 1);
              })
            ),
          ),
      );
      await member.runPromise(program, { signal: ending.signal }).catch((error) => {
        if (!ending.signal.aborted) throw error;
      });
    });
    const written = await meanwhile(complete);
    const lag = async () => {
      const all = await here.runPromise(Effect.flatMap(SubscriptionsService, ({ list }) => list))
        .catch(() => []);
      return all[0]?.lag;
    };
    await Promise.race([
      Promise.all(members),
      eventually("all is handled", async () => {
        const isSeen = written.every((id) => counts.has(id));
        return isSeen && await lag() === 0 || undefined;
      }, deadlineMs),
    ]);
    ending.abort();
    await Promise.all(members);
    const whole = await here.runPromise(readAll("completions", { after: "earliest" }));
    assert.deepEqual(
      [...counts.keys()].sort(),
      whole.map(({ executionId }) => executionId as string).sort(),
    );
  });

  it("two managers publish each event of the outbox, and none at the same time", async () => {
    const atWork = new Set<string>();
    const published = new Map<string, number>();
    const together: Array<string> = [];
    const publish = async ({ id }: { readonly id: string }) => {
      if (atWork.has(id)) together.push(id);
      atWork.add(id);
      await pause(5);
      atWork.delete(id);
      published.set(id, (published.get(id) ?? 0) + 1);
    };
    const ending = new AbortController();
    const managers = [open(), open()].map(async (runtime) => {
      const manager = Manager.layer({
        lockTimeout: "5 seconds",
        pollInterval: "200 millis",
        concurrency: 8,
      });
      await runtime.runPromise(
        Layer.launch(Layer.provide(manager, layerFunction(publish))),
        { signal: ending.signal },
      ).catch((error) => {
        if (!ending.signal.aborted) throw error;
      });
    });
    const add = Effect.flatMap(OutboxStore, ({ insert }) => insert(newEvent()));
    const added = await meanwhile(() => here.runPromise(add));
    await Promise.race([
      Promise.all(managers),
      eventually("all are sent", async () => {
        const counts = await here.runPromise(Effect.flatMap(OutboxStore, ({ counts }) => counts))
          .catch(() => undefined);
        return counts !== undefined && counts.pending + counts.processing === 0 || undefined;
      }, deadlineMs),
    ]);
    ending.abort();
    await Promise.all(managers);
    assert.deepEqual([...published.keys()].sort(), added.map(({ id }) => id as string).sort());
    assert.deepEqual(together, []);
    const letters = Effect.flatMap(OutboxStore, ({ deadLetters }) => deadLetters({ limit: 1 }));
    assert.deepEqual(await here.runPromise(letters), []);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
