/** Programs that do several things at once. */
import { actor, signal } from "@weir/weir";
import { fails, type Program, succeeds } from "./program.ts";

const stop = signal<string>("stop");

export const together: ReadonlyArray<Program> = [
  {
    name: "all of three steps",
    cast: (note) => ({
      actors: [
        actor(
          "all",
          (ctx) =>
            Promise.all(["a", "b", "c"].map((item) =>
              ctx.run(`pick ${item}`, () => {
                note(item);
                return item.toUpperCase();
              })
            )),
        ),
      ],
    }),
    end: succeeds(["A", "B", "C"]),
  },
  {
    name: "a race that a step wins of a day",
    cast: (note) => ({
      actors: [actor("race", async (ctx) => {
        const first = await Promise.race([
          ctx.run("work", () => (note("work"), "worked")),
          ctx.sleep("too long", "1 day").then(() => "too late"),
        ]);
        return ctx.run("tell", () => (note("tell"), `it ${first}`));
      })],
    }),
    end: succeeds("it worked"),
  },
  {
    name: "a race that a signal wins of a day",
    cast: (note) => ({
      actors: [actor("watch", async (ctx) => {
        const first = await Promise.race([
          ctx.wait(stop),
          ctx.sleep("day", "1 day").then(() => "nobody"),
        ]);
        return ctx.run("tell", () => (note("tell"), `stopped by ${first}`));
      })],
      options: { signals: [{ signal: stop, payload: "ana" }] },
    }),
    end: succeeds("stopped by ana"),
  },
  {
    name: "a race that the shorter sleep wins",
    cast: () => ({
      actors: [actor("alarms", async (ctx) => {
        const first = await Promise.race([
          ctx.sleep("late", "3 days").then(() => "late"),
          ctx.sleep("early", "1 day").then(() => "early"),
        ]);
        await ctx.sleep("on", "1 day");
        return first;
      })],
    }),
    end: succeeds("early"),
  },
  {
    name: "sleeps end in the order of their ends",
    cast: () => ({
      actors: [actor("order", async (ctx) => {
        const ended: Array<number> = [];
        await Promise.all(
          [3, 1, 2].map((days) =>
            ctx.sleep(`${days}`, `${days} days`).then(() => ended.push(days))
          ),
        );
        return ended;
      })],
    }),
    end: succeeds([1, 2, 3]),
  },
  {
    name: "any of three, of which two fail",
    cast: (note) => ({
      actors: [actor("any", (ctx) => {
        const ask = (mirror: string) =>
          ctx.run(`ask ${mirror}`, () => {
            note(mirror);
            if (mirror !== "c") throw new Error(`${mirror} is down`);
            return mirror;
          }, { retry: { attempts: 1 } });
        return Promise.any([ask("a"), ask("b"), ask("c")]);
      })],
    }),
    end: succeeds("c"),
  },
  {
    name: "all settled, some of them badly",
    cast: () => ({
      actors: [actor("settled", async (ctx) => {
        const settled = await Promise.allSettled([1, 2, 3].map((n) =>
          ctx.run(`try ${n}`, () => {
            if (n === 2) throw new RangeError("two is too many");
            return n;
          }, { retry: { attempts: 1 } })
        ));
        return settled.map((each) => each.status === "fulfilled" ? each.value : "failed");
      })],
    }),
    end: succeeds([1, "failed", 3]),
  },
  {
    name: "two lanes that share five items",
    cast: (note) => ({
      actors: [actor("lanes", async (ctx) => {
        const todo = [1, 2, 3, 4, 5];
        const done: Array<number> = [];
        const lane = async () => {
          for (let item = todo.shift(); item !== undefined; item = todo.shift()) {
            const n = item;
            done.push(await ctx.run(`item ${n}`, () => (note(`item ${n}`), n * 10)));
          }
        };
        await Promise.all([lane(), lane()]);
        return done.sort((a, b) => a - b);
      })],
    }),
    end: succeeds([10, 20, 30, 40, 50]),
  },
  {
    name: "a race whose loser fails later",
    cast: () => ({
      actors: [actor("losers", async (ctx) => {
        const failing = async () => {
          await ctx.sleep("hour", "1 hour");
          throw new Error("nobody hears of this");
        };
        const first = await Promise.race([failing(), ctx.run("fast", () => "fast")]);
        await ctx.sleep("day", "1 day");
        return first;
      })],
    }),
    end: succeeds("fast"),
  },
  {
    name: "one name for two things at once",
    cast: (note) => ({
      actors: [actor("twins", async (ctx) => {
        try {
          return await Promise.all([ctx.sleep("same", "1 hour"), ctx.sleep("same", "1 hour")]);
        } catch (error) {
          await ctx.run("tell", () => note("told"));
          throw new Error((error as { readonly code: string }).code);
        }
      })],
    }),
    end: fails("Error", "WEIR_NAME_IN_USE"),
  },
];
