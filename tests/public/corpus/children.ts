/** Programs that start others. */
import { actor, ChildFailed } from "@weir/weir";
import { fails, type Program, succeeds } from "./program.ts";

export class OutOfStock extends Error {
  readonly left: number;
  constructor(left: number) {
    super(`only ${left} left`);
    this.left = left;
  }
}

export const children: ReadonlyArray<Program> = [
  {
    name: "a child and its result",
    cast: (note) => {
      const ship = actor(
        "ship",
        (ctx, to: string) => ctx.run("label", () => (note("label"), `label for ${to}`)),
      );
      const order = actor("order", async (ctx) => {
        const label = await ctx.call(ship, "ana");
        return ctx.run("mail", () => (note("mail"), `sent ${label}`));
      });
      return { actors: [order, ship] };
    },
    end: succeeds("sent label for ana"),
  },
  {
    name: "children of children",
    cast: () => {
      const factorial = actor(
        "factorial",
        async (ctx, n: number): Promise<number> =>
          n <= 1 ? 1 : n * await ctx.call(factorial, n - 1),
      );
      return { actors: [factorial], input: 3 };
    },
    end: succeeds(6),
  },
  {
    name: "children that run beside each other",
    cast: (note) => {
      const pick = actor(
        "pick",
        (ctx, item: string) => ctx.run("pick", () => (note(item), `picked ${item}`)),
      );
      const fanOut = actor("fan-out", async (ctx) => {
        const picks = [];
        for (const item of ["a", "b"]) {
          picks.push(await ctx.spawn(pick, item, { name: `pick ${item}` }));
        }
        await ctx.sleep("nap", "1 minute");
        return Promise.all(picks.map(({ result }) => result()));
      });
      return { actors: [fanOut, pick] };
    },
    end: succeeds(["picked a", "picked b"]),
  },
  {
    name: "a child that fails, and another instead",
    cast: () => {
      const risky = actor("risky", () => {
        throw new Error("no luck");
      });
      const safe = actor("safe", () => "safe");
      const parent = actor("parent", async (ctx) => {
        try {
          return await ctx.call(risky, undefined);
        } catch (error) {
          if (!(error instanceof ChildFailed)) throw error;
          return `${await ctx.call(safe, undefined)} after ${error.failure?.message}`;
        }
      });
      return { actors: [parent, risky, safe] };
    },
    end: succeeds("safe after no luck"),
  },
  {
    name: "a child whose failure nobody handles",
    cast: () => {
      const child = actor("child", () => {
        throw new RangeError("out of range");
      });
      return { actors: [actor("parent", (ctx) => ctx.call(child, undefined)), child] };
    },
    end: fails("RangeError", "out of range"),
  },
  {
    name: "a child's own error, with its class and fields",
    cast: () => {
      const stock = actor("stock", { errors: [OutOfStock] }, () => {
        throw new OutOfStock(3);
      });
      const parent = actor("parent", async (ctx) => {
        try {
          return await ctx.call(stock, undefined);
        } catch (error) {
          if (!(error instanceof OutOfStock)) throw error;
          await ctx.sleep("nap", "1 hour");
          return [error.left, error.message];
        }
      });
      return { actors: [parent, stock] };
    },
    end: succeeds([3, "only 3 left"]),
  },
];
