/** Programs that do one thing after the other. */
import { actor, type ActorContext } from "@weir/weir";
import { type Program, succeeds } from "./program.ts";

const day = 24 * 60 * 60 * 1000;

export const sequences: ReadonlyArray<Program> = [
  {
    name: "steps in sequence",
    cast: (note) => ({
      actors: [actor("order", async (ctx, cents: number) => {
        const receipt = await ctx.run("charge", () => {
          note("charge");
          return `receipt over ${cents}`;
        });
        const label = await ctx.run("ship", () => {
          note("ship");
          return "label 7";
        });
        return { receipt, label };
      })],
      input: 42,
    }),
    end: succeeds({ receipt: "receipt over 42", label: "label 7" }),
  },
  {
    name: "steps that give nothing",
    cast: (note) => ({
      actors: [actor("tidy", async (ctx) => {
        const nothing = await ctx.run("sweep", () => note("sweep"));
        const none = await ctx.run("look", () => null);
        return [nothing === undefined, none];
      })],
    }),
    end: succeeds([true, null]),
  },
  {
    name: "one name in every round of a loop",
    cast: (note) => ({
      actors: [actor("rounds", async (ctx) => {
        const rounds: Array<number> = [];
        for (let i = 1; i <= 4; i++) {
          rounds.push(
            await ctx.run("round", () => {
              note(`round ${i}`);
              return i * i;
            }),
          );
        }
        return rounds;
      })],
    }),
    end: succeeds([1, 4, 9, 16]),
  },
  {
    name: "a branch on what a step gave",
    cast: (note) => ({
      actors: [actor("branch", async (ctx, stock: number) => {
        const left = await ctx.run("count", () => stock);
        if (left > 0) return ctx.run("sell", () => (note("sell"), "sold"));
        return ctx.run("order", () => (note("order"), "ordered"));
      })],
      input: 0,
    }),
    end: succeeds("ordered"),
  },
  {
    name: "a week between two steps",
    cast: (note) => ({
      actors: [actor("naps", async (ctx) => {
        const before = await ctx.now();
        await ctx.run("begin", () => note("begin"));
        await ctx.sleep("week", "7 days");
        const after = await ctx.now();
        await ctx.run("end", () => note("end"));
        return Math.floor((after.getTime() - before.getTime()) / day);
      })],
    }),
    end: succeeds(7),
  },
  {
    name: "names and numbers drawn before and behind a sleep",
    cast: () => ({
      actors: [actor("draws", async (ctx) => {
        const [id, number] = [ctx.uuid(), ctx.random()];
        const kept = await ctx.run("keep", () => ({ id, number }));
        await ctx.sleep("nap", "1 hour");
        const other = await ctx.run("keep again", () => ({ id, number: ctx.attempt >= 0 }));
        return [kept.id === id, kept.number === number, other.id === id, ctx.uuid() === id];
      })],
    }),
    end: succeeds([true, true, true, false]),
  },
  {
    name: "a state that is set, read and cleared",
    cast: () => ({
      actors: [actor("phases", async (ctx) => {
        const phase = ctx.state<string>("phase");
        const seen = [phase.get() ?? "none"];
        await phase.set("packing");
        seen.push(phase.get() ?? "none");
        await ctx.sleep("nap", "1 hour");
        seen.push(phase.get() ?? "none");
        await phase.set(undefined);
        return [...seen, phase.get() ?? "none"];
      })],
    }),
    end: succeeds(["none", "packing", "packing", "none"]),
  },
  {
    name: "a helper that two places use",
    cast: (note) => {
      const twice = async (ctx: ActorContext, of: string) => {
        const first = await ctx.run(`${of} first`, () => (note(`${of} first`), of.length));
        return await ctx.run(`${of} second`, () => (note(`${of} second`), first * 2));
      };
      return {
        actors: [actor("helped", async (ctx) => [await twice(ctx, "ab"), await twice(ctx, "abc")])],
      };
    },
    end: succeeds([4, 6]),
  },
];
