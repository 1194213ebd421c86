/**
 * What the demo does and claims: orders begin, the owner of one is killed, another goes on, the dead
 * one's write is refused, and a reader goes on from its cursor. Every claim is checked against the
 * log, the server or what the workers did; nothing that is shown is made up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { HistoryEntry, Run, Weir } from "@weir/weir";
import type { Board } from "./board.ts";
import type { openBucket } from "./bucket.ts";
import type { Claims } from "./claims.ts";
import type { Begun, CrewMember } from "./crew.ts";
import { approval, order } from "./order.ts";
import { comeBack, followLeases } from "./reader.ts";
import { until } from "./until.ts";

export interface Scene {
  readonly weir: Weir;
  readonly bucket: Awaited<ReturnType<typeof openBucket>>;
  readonly workers: ReadonlyArray<CrewMember>;
  /** Every step that a worker has begun so far. */
  readonly begun: ReadonlyArray<Begun>;
  readonly board: Board;
  readonly claims: Claims;
  readonly batch: string;
  readonly note: (line: string) => void;
  /** Has the workers finish what they do, and end. */
  readonly dismiss: () => Promise<void>;
}

const goods = { book: 4_200, lamp: 8_900, chair: 12_900, desk: 31_900 };

/** The server refuses a write whose fence has moved on with this. */
const staleFence = 10071;

type Step = HistoryEntry["record"] & { readonly kind: "step" };
const stepsOf = async (run: Run): Promise<ReadonlyArray<Step>> =>
  (await Array.fromAsync(run.history())).map(({ record }) => record)
    .filter((record) => record.kind === "step");

/** Approves an order when it asks for that, and sees it to its end. */
const finish = async (name: string, run: Run, board: Board): Promise<unknown> => {
  await until(
    `${run.id} waits for its approval`,
    async () => (await run.describe()).reason === "signal" || undefined,
  );
  board.waits(name, "ok?");
  await sleep(800);
  await run.signal(approval, { by: "ana" }, { key: "approval" });
  const result = await run.result();
  board.ends(name);
  return result;
};

/** Tells it; returns the order that was taken over, and where the reader had left. */
export const tell = async (
  { weir, bucket, workers, begun, board, claims, batch, note, dismiss }: Scene,
): Promise<{ readonly run: Run; readonly cursor: string }> => {
  const reader = followLeases(weir);
  const orders = new Map<string, { readonly name: string; readonly run: Run }>();
  for (const [good, cents] of Object.entries(goods)) {
    const name = `${good}-${batch}`;
    board.add(name);
    const run = await weir.start(order, { cents }, { id: name, deadline: "2 minutes" });
    orders.set(run.id, { name, run });
  }
  note(`Four orders are started: ${[...orders.values()].map(({ name }) => name).join(", ")}.`);

  const charging = await until(
    "a worker charges (or does another demo use this store?)",
    () => begun.find(({ execution, step }) => step === "charge" && orders.has(execution)),
  );
  const { name, run } = orders.get(charging.execution)!;
  const dead = workers.find(({ name }) => name === charging.worker)!;
  const heir = workers.find(({ name }) => name !== charging.worker)!;
  const cursor = await reader.leaveAfter(run.id);
  note(`A reader of who owns what saves its cursor, ${cursor.slice(0, 8)}…, and leaves.`);
  await sleep(700);

  await dead.kill();
  const orphans = board.ownedBy(dead.name);
  board.dies(dead.name);
  note(`kill -9 ${dead.pid}: ${dead.name} dies while it charges ${run.id}.`);
  note("After 10 s of silence the server offers its orders to the other one.");
  const finishing = Promise.all(
    [...orders].map(async ([id, { name, run }]) => [id, await finish(name, run, board)] as const),
  );
  // Whatever goes wrong before it is awaited is told then.
  finishing.catch(() => undefined);

  const leases = await until(`${heir.name} takes ${run.id} over`, async () => {
    const found = (await bucket.leases(name)).filter(({ kind }) => kind !== "renewed");
    return found.some(({ epoch }) => epoch === 2) ? found : undefined;
  });
  claims.check(
    `${name}: lease epoch 1 -> 2, ${dead.name} -> ${heir.name}`,
    leases.slice(0, 3).map(({ kind, epoch, worker }) => [kind, epoch, worker]),
    [
      ["acquired", 1, dead.identity],
      ["expired", 1, dead.identity],
      ["reclaimed", 2, heir.identity],
    ],
  );

  const stale = leases[0]!;
  const [pick] = await stepsOf(run);
  note(`Had ${dead.name} only been frozen, it would record its charge now, under`);
  note(`the lease revision it knows, ${stale.revision}. That very write goes to the server:`);
  const late = { v: 1, ...pick, key: "charge", result: { type: "value", value: dead.name } };
  const refusal = await bucket.writeUnder(stale, late);
  claims.check(
    `the server refuses the zombie${
      refusal === undefined ? "" : `: ${refusal.errorCode}, ${refusal.message}`
    }`,
    refusal?.errorCode,
    staleFence,
  );

  const results = new Map(await finishing);
  const recorded = await stepsOf(run);
  const timesRecorded = (step: string) => recorded.filter(({ key }) => key === step).length;
  const begunOf = (step: string) =>
    begun.filter((each) => each.execution === run.id && each.step === step);
  const ranOn = (step: string) => begunOf(step).map(({ worker }) => worker);
  claims.check(
    `pick was finished and is not repeated: it ran once, on ${dead.name}`,
    { ranOn: ranOn("pick"), recorded: timesRecorded("pick") },
    { ranOn: [dead.name], recorded: 1 },
  );
  claims.check(
    "charge was cut off and ran again, under the same idempotency key",
    {
      ranOn: ranOn("charge"),
      keys: new Set(begunOf("charge").map(({ idempotencyKey }) => idempotencyKey)).size,
      recorded: timesRecorded("charge"),
    },
    { ranOn: [dead.name, heir.name], keys: 1, recorded: 1 },
  );
  const resultOf = (picker: string) => ({
    pickedBy: picker,
    chargedBy: heir.name,
    approvedBy: "ana",
    shippedBy: heir.name,
  });
  claims.check(
    `the result: picked by ${dead.name}, charged and shipped by ${heir.name}`,
    results.get(run.id),
    resultOf(dead.name),
  );
  const others = [...orders].filter(([, { name }]) => !orphans.includes(name));
  claims.check(
    `nobody else noticed: ${others.map(([, { name }]) => name).join(", ")}`,
    others.map(([id]) => results.get(id)),
    others.map(() => resultOf(heir.name)),
  );

  // From here on nothing is written, so that two readings can be compared.
  await dismiss();
  note("The reader comes back with its cursor, to all that it has missed:");
  const executions = new Set(orders.keys());
  await comeBack(weir, cursor, { executions, takenOver: run.id, name, claims });
  return { run, cursor };
};
