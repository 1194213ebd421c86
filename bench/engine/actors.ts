/** What the executions of these benchmarks do: as little as possible beside what is measured. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { actor, signal } from "@weir/weir";
import { wallMs } from "../clock.ts";

export const go = signal<number>("go");

/** No worker of these benchmarks has its code. */
export const unserved = actor("unserved", () => undefined);

/** So many steps, one after another. */
export const steps = actor("steps", async (context, count: number) => {
  for (let i = 1; i <= count; i++) await context.run(`step-${i}`, () => i);
  return count;
});

/** So many steps; what each of the steps named took, in milliseconds. */
export const timedSteps = actor(
  "timed-steps",
  async (context, { count, report }: { count: number; report: ReadonlyArray<number> }) => {
    const tookMs = new Float64Array(count + 1);
    for (let i = 1; i <= count; i++) {
      const begun = performance.now();
      await context.run(`step-${i}`, () => i);
      tookMs[i] = performance.now() - begun;
    }
    return report.map((i) => tookMs[i]!);
  },
);

export const sleeper = actor("sleeper", async (context, milliseconds: number) => {
  await context.sleep("nap", milliseconds);
});

export const waiter = actor("waiter", async (context) => await context.wait(go));

/** Has a step behind which an early signal is certain to be there. */
export const lateWaiter = actor("late-waiter", async (context, delayMs: number) => {
  await context.run("linger", () => new Promise((resolve) => setTimeout(resolve, delayMs)));
  return await context.wait(go);
});

/** When the code of an execution was begun, and when it went on behind a wait; see `clock.ts`. */
export interface Return {
  readonly begunAt: number;
  readonly wentOnAt: number;
}

/** So many steps, and then two waits; tells of the return behind each. */
export const returner = actor("returner", async (context, count: number) => {
  const begunAt = wallMs();
  for (let i = 1; i <= count; i++) await context.run(`step-${i}`, () => i);
  const returns: Array<Return> = [];
  for (let time = 1; time <= 2; time++) {
    await context.wait(go, { name: `go-${time}` });
    const wentOnAt = wallMs();
    returns.push(await context.run(`return-${time}`, () => ({ begunAt, wentOnAt })));
  }
  return returns;
});

export const child = actor("child", () => 1);

export const caller = actor("caller", async (context) => await context.call(child, undefined));

export const spawner = actor("spawner", async (context) => {
  const { result } = await context.spawn(child, undefined);
  return await result();
});

export const tagger = actor("tagger", (context) => context.tag("bench.tag", "1"));

export const setter = actor("setter", (context) => context.state<number>("count").set(1));

export const teller = actor("teller", async (context) => (await context.now()).getTime());

/** Holds the event loop of the worker that has it first; says which attempt got through. */
export const blocker = actor("blocker", (context, milliseconds: number) => {
  const until = performance.now() + milliseconds;
  while (context.attempt === 0 && performance.now() < until);
  return context.attempt;
});

/** Hangs where it is first run; says who has run it elsewhere, and since when. */
export const mover = actor("mover", async (context) => {
  const first = await context.run("first", () => process.pid);
  return await context.run(
    "hang",
    () =>
      process.pid === first
        ? new Promise<never>(() => {})
        : { pid: process.pid, begunAt: wallMs() },
  );
});

export const all = [
  steps,
  timedSteps,
  sleeper,
  waiter,
  lateWaiter,
  returner,
  child,
  caller,
  spawner,
  tagger,
  setter,
  teller,
  blocker,
  mover,
];
