/**
 * What each operation costs in messages, as client and worker exchange them with the server. Each is
 * measured as the difference between executions with it and without it, which is a whole number if
 * nothing is guessed.
 */
import { connect as dial } from "@nats-io/transport-node";
import { type Actor, connect } from "@weir/weir";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import {
  all,
  caller,
  go,
  lateWaiter,
  setter,
  sleeper,
  spawner,
  steps,
  tagger,
  teller,
  unserved,
  waiter,
} from "./actors.ts";
import { type Counter, countTraffic, quiet } from "./traffic.ts";

/** Of one operation, on average: `client append mail` and the like, and records in the stream. */
export type Cost = ReadonlyMap<string, number>;

export interface MessageCost {
  readonly operation: string;
  readonly cost: Cost;
}

const namespace = "bench";
const repetitions = 20;

const combine = (a: Cost, b: Cost, by: (a: number, b: number) => number): Cost =>
  new Map(
    [...new Set([...a.keys(), ...b.keys()])].map((what) =>
      [what, by(a.get(what) ?? 0, b.get(what) ?? 0)] as const
    ),
  );
const minus = (a: Cost, ...others: ReadonlyArray<Cost>): Cost =>
  others.reduce((rest, other) => combine(rest, other, (x, y) => x - y), a);
const per = (count: number, cost: Cost): Cost => combine(cost, new Map(), (x) => x / count);

export const measureMessages = async (): Promise<ReadonlyArray<MessageCost>> => {
  const server = await scratchServer({ durability: "bounded" });
  const atClient = await countTraffic(server.port);
  const atWorker = await countTraffic(server.port);
  const watcher = await dial({ servers: server.url });
  const clientSide = await connect({ servers: atClient.url, namespace });
  const workerSide = await connect({ servers: atWorker.url, namespace });

  const counted = async (): Promise<Cost> => {
    await quiet([atClient, atWorker]);
    const answer = await watcher.request(`$JS.API.STREAM.INFO.KV_${namespace}`);
    const { state } = answer.json<{ readonly state: { readonly last_seq: number } }>();
    const named = (party: string, { counts }: Counter) =>
      [...counts].map(([what, count]) => [`${party} ${what}`, count] as const);
    const sessions = atWorker.sessions();
    return new Map([
      ...named("client", atClient),
      ...named("worker", atWorker),
      ["records", state.last_seq - sessions],
    ]);
  };
  /** What one of several repetitions costs, until nothing moves any more. */
  const costOf = async (work: () => Promise<unknown>): Promise<Cost> => {
    const before = await counted();
    await work();
    return per(repetitions, minus(await counted(), before));
  };
  const many = <A>(one: () => Promise<A>): Promise<ReadonlyArray<A>> =>
    Promise.all(Array.from({ length: repetitions }, one));
  /** Returns when the worker has appended so many more records of a kind. */
  const written = (kind: string, each: number) => {
    const appended = () => atWorker.counts.get(`append ${kind}`) ?? 0;
    const goal = appended() + each * repetitions;
    return () =>
      eventually(`the worker writes ${kind}`, () => appended() >= goal ? true : undefined);
  };

  const whole = <Input, Output>(actor: Actor<Input, Output>, input: NoInfer<Input>) =>
    costOf(() => many(async () => (await clientSide.start(actor, input)).result()));
  const signalled = (kind: string, each: number) =>
    costOf(async () => {
      const parked = written(kind, each);
      const runs = await many(() => clientSide.start(waiter, undefined));
      await parked();
      await Promise.all(runs.map((run) => run.signal(go, 1)));
      await Promise.all(runs.map((run) => run.result()));
    });

  const started = await costOf(() =>
    many(() => clientSide.start(unserved, undefined, { unserved: true }))
  );
  const pending = await many(() => clientSide.start(unserved, undefined, { unserved: true }));
  const signal = await costOf(() => Promise.all(pending.map((run) => run.signal(go, 1))));
  const describe = await costOf(() => Promise.all(pending.map((run) => run.describe())));

  const resident = await workerSide.worker(all, { residentGrace: "30 seconds" });
  await (await clientSide.start(steps, 0)).result();
  const empty = await whole(steps, 0);
  const oneStep = await whole(steps, 1);
  const fourSteps = await whole(steps, 4);
  const slept = await whole(sleeper, 50);
  const waited = await signalled("log", 1);
  const early = await costOf(() =>
    many(async () => {
      const run = await clientSide.start(lateWaiter, 500);
      await run.signal(go, 1);
      await run.result();
    })
  );
  const called = await whole(caller, undefined);
  const spawned = await whole(spawner, undefined);
  const tagged = await whole(tagger, undefined);
  const set = await whole(setter, undefined);
  const told = await whole(teller, undefined);
  await resident.close();

  const hasty = await workerSide.worker(all, { residentGrace: "20 millis" });
  const sleptAway = await whole(sleeper, 1_000);
  const waitedAway = await signalled("lease", 2);
  await hasty.close();

  await workerSide.close();
  await clientSide.close();
  await watcher.close();
  await atClient.stop();
  await atWorker.stop();
  await server.stop();

  const costs: Readonly<Record<string, Cost>> = {
    "start": started,
    "first claim, `done` and result": minus(empty, started),
    "`run`": per(3, minus(fourSteps, oneStep)),
    "`sleep`, resident": minus(slept, empty),
    "`sleep`, suspended": minus(sleptAway, empty),
    "`wait`, resident": minus(waited, empty, signal),
    "`wait`, for a signal that was there": minus(early, oneStep, signal),
    "`wait`, suspended": minus(waitedAway, empty, signal),
    "of that, suspending and coming back": minus(waitedAway, waited),
    "`call`, its child's execution included": minus(called, empty),
    "`spawn` and its result, likewise": minus(spawned, empty),
    "`tag`": minus(tagged, empty),
    "cell": minus(set, empty),
    "`now`": minus(told, empty),
    "`signal`": signal,
    "`describe`": describe,
  };
  return Object.entries(costs).map(([operation, cost]) => ({ operation, cost }));
};
