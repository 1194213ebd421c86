/** Schedules whose clock a test turns. */
import { actor, type Schedule, signal } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

export const go = signal<number>("go");

export const hourly = { type: "repeat", count: 5, interval: "1 hour" } as const;
export const daily = { type: "cron", expression: "0 6 * * *" } as const;
export const startsAt = new Date("2026-03-01T00:00:00Z");

/** An engine with a worker, and what says when each of its runs ran, by the clock of the engine. */
export const setUp = async (from = startsAt) => {
  const at: Array<string> = [];
  const weir = await inMemory({ startsAt: from });
  const report = actor("report", (ctx) =>
    ctx.run("note", async () => {
      at.push(weir.now.toISOString());
      await Promise.resolve();
    }));
  const worker = await weir.worker([report]);
  return { weir, at, report, worker };
};

export const minute = (text: string) => text.slice(0, 16);
export const day = (text: string) => new Date(`${text}T00:00:00Z`);

export const countsOf = async (schedule: Schedule) => {
  const { created, completed, skipped } = (await schedule.describe()).schedule!;
  return { created, completed, skipped };
};
