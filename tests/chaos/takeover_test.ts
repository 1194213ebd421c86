import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import type { StaleFence } from "../../schema/errors.ts";
import { leaseRecord } from "../../schema/lease_record.ts";
import { ExecutionId, WorkerInstanceId } from "../../schema/ids.ts";
import { Connection } from "../../streams/connection.ts";
import { Fence } from "../../streams/fence.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import { Log, type Message } from "../../streams/log.ts";
import type { LogOptions } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import {
  type Address,
  executionAddress,
  executionFilter,
  streamName,
} from "../../streams/subjects.ts";
import { body } from "../conformance/subject_matter.ts";
import { readClaims } from "../fixtures/claims.ts";
import {
  appendAll,
  type Client,
  newExecution,
  openClient,
  stored,
} from "../fixtures/log_client.ts";
import {
  leftovers,
  type ScratchCluster,
  scratchCluster,
  scratchServer,
} from "../fixtures/server.ts";
import { type Chance, chance, named } from "./seed.ts";
import { tenant } from "./workload.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const loadMillis = isFull ? 10_000 : 2_000;

/** How an execution's lease changes hands. */
const verbs = ["revocation", "release", "expiry"] as const;
type Verb = typeof verbs[number];
/** As many executions for each as make appends share commits. */
const rounds = [1, 2, 3, 4];
const executions = rounds.flatMap((round) =>
  verbs.map((verb) => ({ verb, name: `${verb}-${round}` }))
);
const contenders = 3;
const often = Schedule.spaced("20 millis");
const zombieAppends = 3;

interface Count {
  /** How often each verb has handed an execution on, or given it out first. */
  readonly claims: Record<Verb, number>;
  /** Records of acknowledged appends. */
  stored: number;
  /** Appends that the server refused, or would have. */
  stale: number;
}

const ownerKinds = ["log", "tag", "done"] as const;
/** On one replica a batch takes as long as dozens of single appends. */
const batchesAmong = 30;

const work = (chance: Chance, guard: Fence): ReadonlyArray<Message> => {
  const kinds = chance(batchesAmong) === 0 ? ownerKinds : [ownerKinds[chance(3)]!];
  return kinds.map((kind) => ({ kind, guard, body: body("work") }));
};

const isStale = (error: { readonly _tag: string }): error is StaleFence =>
  error._tag === "StaleFence";

/** Claims an execution, writes as long as the server lets it, and then some; for ever. */
const contend = Effect.fnUntraced(
  function* (name: string, verb: Verb, address: Address, count: Count, chance: Chance) {
    const log = yield* Log;
    const leases = yield* Leases;
    const worker = WorkerInstanceId.make(name);

    const takeAway = Effect.gen(function* () {
      yield* Effect.sleep(chance(60));
      if (verb === "revocation") yield* leases.revoke(address, { by: "operator" });
      else if (verb === "expiry") yield* leases.expireIfDue(address);
    }).pipe(Effect.catchTag("LeaseNotHeld", () => Effect.void));

    const claim = leases.acquire(address, { worker, ttl: "1 second" }).pipe(
      Effect.tapError((error) => error._tag === "LeaseHeld" ? takeAway : Effect.void),
      Effect.retry({ while: (error) => error._tag === "LeaseHeld" }),
    );

    const append = (messages: ReadonlyArray<Message>) =>
      appendAll(log, address, messages).pipe(
        Effect.tap(() => Effect.sync(() => count.stored += messages.length)),
        Effect.tapError((error) => Effect.sync(() => isStale(error) ? count.stale++ : undefined)),
      );

    /** Ends when the lease is given up, with appends behind that, or fails when it is taken away. */
    const own = Effect.fnUntraced(function* (lease: Lease) {
      for (;;) {
        yield* append(work(chance, lease.fence));
        if (verb === "release" && chance(10) === 0) {
          const late = Effect.ignore(append(work(chance, lease.fence)));
          yield* Effect.all([leases.release(lease), late], { concurrency: "unbounded" });
          return;
        }
        if (verb !== "expiry" && chance(15) === 0) lease = yield* leases.renew(lease);
      }
    });

    /** What an owner would do that did not learn of its end: same nonce, same revision. */
    const haunt = Effect.fnUntraced(function* ({ fence }: Lease) {
      for (let i = 0; i < zombieAppends; i++) {
        const guard = new Fence(fence.subject, fence.nonce, fence.revision);
        const id = `${fence.nonce}.haunting-${i}`;
        yield* Effect.ignore(append([{ kind: "log", body: body("stale"), id, guard }]));
      }
    });

    const once = Effect.gen(function* () {
      const lease = yield* claim;
      count.claims[verb]++;
      yield* Effect.catchIf(own(lease), isStale, () => Effect.void);
      yield* haunt(lease);
    });
    return yield* once.pipe(
      Effect.catchTag("Unavailable", () => Effect.void),
      Effect.forever,
    );
  },
);

/** What happens to the servers in the meantime, until the contest is over. */
type Disturbance = (client: Client, isOver: () => boolean) => Promise<void>;

const stepDowns: Disturbance = async (client, isOver) => {
  const { nats } = await client.runPromise(Connection);
  const { layout } = await client.runPromise(Log);
  const subject = `$JS.API.STREAM.LEADER.STEPDOWN.${streamName(layout, 0)}`;
  while (!isOver()) {
    await nats.request(subject, "{}").catch(() => undefined);
    await pause(500);
  }
};

const kills = ({ servers, ready }: ScratchCluster): Disturbance => async (_, isOver) => {
  for (let i = 0; !isOver(); i++) {
    const victim = servers[i % servers.length]!;
    await victim.kill();
    await pause(500);
    await victim.restart();
    await ready();
  }
};

/** Lets several processes' worth of contenders at the executions, and looks at what the log says. */
const contest = async (
  servers: ReadonlyArray<string>,
  durability: Durability,
  options: LogOptions,
  title: string,
  disturbance: Disturbance = () => Promise.resolve(),
): Promise<void> => {
  const open = () => openClient({ servers, durability }, options);
  const count = { claims: { revocation: 0, release: 0, expiry: 0 }, stored: 0, stale: 0 };
  // However slow the machine, every execution has had more than one owner in the end.
  const isEnough = () => verbs.every((verb) => count.claims[verb] > 2 * rounds.length);
  const over = Effect.sleep(loadMillis).pipe(
    Effect.andThen(Effect.repeat(Effect.sync(isEnough), { until: (is) => is, schedule: often })),
  );
  const clients = Array.from({ length: contenders }, open);
  const witness = open();
  let isOver = false;
  let trouble: Promise<void> | undefined;
  try {
    await Promise.all(clients.map((client) => client.runPromise(Log)));
    const { layout } = await witness.runPromise(Log);
    const load = clients.map((client, i) =>
      client.runPromise(
        Effect.forEach(executions, ({ verb, name }) =>
          contend(
            `contender-${i}`,
            verb,
            executionAddress(layout, tenant, ExecutionId.make(`order/${name}`)),
            count,
            chance(`${title} ${name} ${i}`),
          ), { concurrency: "unbounded", discard: true }).pipe(Effect.raceFirst(over)),
      )
    );
    trouble = disturbance(witness, () => isOver);
    await Promise.all(load);
    isOver = true;
    await trouble;

    const { lease, owned, strange } = await witness.runPromise(readClaims(ownerKinds));
    assert.deepEqual(strange, []);
    const kinds = new Set(lease.map(({ kind }) => kind));
    for (const kind of ["acquired", "released", "revoked", "expired", "reclaimed"] as const) {
      assert.ok(kinds.has(kind), kind);
    }
    const claims = lease.filter(({ kind }) => kind === "acquired" || kind === "reclaimed").length;
    const summary = `${claims} claims, ${owned.length} records (${count.stored} acknowledged), ` +
      `${count.stale} stale appends refused`;
    console.log(summary);
    assert.ok(count.stale > claims, summary);
    assert.ok(owned.length >= count.stored, summary);
  } finally {
    isOver = true;
    await trouble;
    await Promise.all([...clients, witness].map((client) => client.dispose()));
  }
};

describe(`takeovers under load, ${loadMillis} ms each: no stale record is in the log (${named})`, () => {
  for (const durability of ["bounded", "power-safe"] as const) {
    it(`one replica, ${durability}`, async () => {
      const server = await scratchServer({ durability });
      try {
        await contest([server.url], durability, {}, durability);
      } finally {
        await server.stop();
      }
    });
  }

  const onCluster = (title: string, disturb?: (cluster: ScratchCluster) => Disturbance) =>
    it(`three replicas${title}`, async () => {
      const cluster = await scratchCluster({ durability: "bounded" });
      try {
        await contest(cluster.urls, "bounded", { replicas: 3 }, title, disturb?.(cluster));
      } finally {
        await cluster.stop();
      }
    });
  onCluster("");
  if (isFull) {
    onCluster(", while leaders step down", () => stepDowns);
    onCluster(", while servers are killed", kills);
  }
});

it("attack 2: a lease's history outlives the lease, and the server's absence", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const client = openClient({ servers: server.url, durability: "bounded" });
  try {
    const { execution, lapsesAt } = await client.runPromise(Effect.gen(function* () {
      const leases = yield* Leases;
      const execution = yield* newExecution;
      const worker = WorkerInstanceId.make("worker");
      const first = yield* leases.acquire(execution, { worker, ttl: "1 second" });
      yield* leases.renew(first);
      yield* leases.expireIfDue(execution).pipe(
        Effect.repeat({ until: (verdict) => verdict === "expired", schedule: often }),
      );
      yield* leases.acquire(execution, { worker, ttl: "1 second" });
      const state = Option.getOrThrow(yield* leases.current(execution));
      return { execution, lapsesAt: state.expiresAt };
    }));
    await server.kill();
    await server.restart();
    const records = await client.runPromise(Effect.gen(function* () {
      const log = yield* Log;
      // A marker would come within a second of the end, and go a second later.
      yield* log.tail(0).pipe(
        Effect.repeat({ until: ({ at }) => at > lapsesAt + 2_500, schedule: often }),
      );
      return yield* Effect.forEach(
        yield* stored(executionFilter(execution, "lease")),
        (entry) => leaseRecord.decode(entry.body, entry),
      );
    }));
    assert.deepEqual(records.map(({ kind }) => kind), [
      "acquired",
      "renewed",
      "expired",
      "reclaimed",
    ]);
    assert.ok(records.every(({ workerInstanceId }) => workerInstanceId === "worker"));
  } finally {
    await client.dispose();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
