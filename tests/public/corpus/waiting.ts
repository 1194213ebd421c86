/** Programs that wait for what comes from outside. */
import { actor, signal, type StandardSchema } from "@weir/weir";
import { type Program, succeeds } from "./program.ts";

/** Nobody's schema library. */
const positive: StandardSchema<unknown, number> = {
  "~standard": {
    version: 1,
    vendor: "corpus",
    validate: (value) =>
      typeof value === "number" && value > 0
        ? { value }
        : { issues: [{ message: "expected a positive number" }] },
  },
};

const go = signal("go");
const approval = signal<{ readonly by: string; readonly ok: boolean }>("approval");
const item = signal("item", positive);

export const waiting: ReadonlyArray<Program> = [
  {
    name: "a signal that comes while it waits",
    cast: (note) => ({
      actors: [actor("waits", async (ctx) => {
        await ctx.wait(go);
        return ctx.run("go", () => (note("go"), "gone"));
      })],
    }),
    drive: async ({ run, waitsFor }) => {
      await waitsFor("go");
      await run.signal(go, undefined);
    },
    end: succeeds("gone"),
  },
  {
    name: "a signal that never comes",
    cast: () => ({
      actors: [actor("patient", async (ctx) => {
        const ok = await ctx.wait(approval, { timeout: "7 days" });
        return ok?.by ?? "nobody";
      })],
    }),
    end: succeeds("nobody"),
  },
  {
    name: "three signals that were there before it asked",
    cast: () => ({
      actors: [actor("sum", async (ctx) => {
        let sum = 0;
        for (let i = 0; i < 3; i++) sum = sum * 10 + await ctx.wait(item);
        return sum;
      })],
      options: { signals: [1, 2, 3].map((payload) => ({ signal: item, payload })) },
    }),
    end: succeeds(123),
  },
  {
    name: "one signal for two waits by name",
    cast: () => ({
      actors: [
        actor(
          "both",
          (ctx) =>
            Promise.all([ctx.wait(item, { name: "first" }), ctx.wait(item, { name: "second" })]),
        ),
      ],
      options: { signals: [7, 8].map((payload) => ({ signal: item, payload })) },
    }),
    end: succeeds([7, 8]),
  },
  {
    name: "an approval that is asked for until it is given",
    cast: (note) => ({
      actors: [actor("approvals", async (ctx) => {
        for (let asked = 1;; asked++) {
          await ctx.run("ask", () => note(`ask ${asked}`));
          const { by, ok } = await ctx.wait(approval);
          if (ok) return { by, asked };
        }
      })],
    }),
    drive: async ({ run, waitsFor }) => {
      await waitsFor("approval");
      await run.signal(approval, { by: "bo", ok: false });
      await waitsFor("approval#2");
      await run.signal(approval, { by: "ana", ok: true });
    },
    end: succeeds({ by: "ana", asked: 2 }),
  },
  {
    name: "a deadline before its end",
    cast: (note) => ({
      actors: [actor("late", async (ctx) => {
        await ctx.run("begin", () => note("begin"));
        await ctx.sleep("too long", "30 days");
        await ctx.run("never", () => note("never"));
      })],
      options: { deadline: "10 days" },
    }),
    end: { type: "expired" },
  },
];
