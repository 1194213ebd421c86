/** Programs that are asked to stop. */
import { actor, Cancelled, signal } from "@weir/weir";
import { type Program, succeeds } from "./program.ts";

const go = signal("go");

export const cancelling: ReadonlyArray<Program> = [
  {
    name: "a wait that is cancelled",
    cast: () => ({ actors: [actor("waits", (ctx) => ctx.wait(go))] }),
    drive: async ({ run, waitsFor }) => {
      await waitsFor("go");
      await run.cancel({ reason: "rain" });
    },
    end: { type: "cancelled" },
  },
  {
    name: "a trip that is cancelled, and paid back",
    cast: (note) => ({
      actors: [actor("trip", async (ctx) => {
        await ctx.run("book", () => note("book"));
        try {
          await ctx.sleep("fly", "30 days");
        } catch (error) {
          if (error instanceof Cancelled) await ctx.run("pay back", () => note("pay back"));
          throw error;
        }
      })],
    }),
    drive: async ({ run, waitsFor }) => {
      await waitsFor("fly");
      await run.cancel();
    },
    end: { type: "cancelled" },
  },
  {
    name: "a request to stop that it answers with a result",
    cast: () => ({
      actors: [actor("counts", async (ctx) => {
        let days = 0;
        try {
          await Promise.all([ctx.sleep("a", "100 days"), ctx.sleep("b", "200 days")]);
        } catch {
          days++;
        }
        return { days, isCancelled: ctx.cancelled.aborted };
      })],
    }),
    drive: async ({ run, waitsFor }) => {
      await waitsFor("b");
      await run.cancel();
    },
    end: succeeds({ days: 1, isCancelled: true }),
  },
  {
    name: "a child that is cancelled with its parent",
    cast: (note) => {
      const child = actor("child", async (ctx) => {
        try {
          await ctx.run("begin", () => note("begin"));
          await ctx.run("go on", () => note("go on"));
          await ctx.wait(go);
        } finally {
          await ctx.run("tidy", () => note("tidy"));
        }
      });
      return { actors: [actor("parent", (ctx) => ctx.call(child, undefined)), child] };
    },
    drive: async ({ run, notes }) => {
      await notes("go on");
      await run.cancel();
    },
    end: { type: "cancelled" },
  },
];
