/** Programs that give and take values of all kinds. */
import { actor } from "@weir/weir";
import { fails, type Program, succeeds } from "./program.ts";

class Money {
  readonly cents = 42;
}

const values = {
  none: null,
  truth: true,
  numbers: [0, -1.5, Number.MAX_SAFE_INTEGER],
  texts: ["", "ü", "😀", "\u0000", "a\nb"],
  nested: { empty: {}, list: [[[]]] },
};

const huge = "x".repeat(1_500_000);

/** What JSON would make something else of. */
const refused: Readonly<Record<string, () => unknown>> = {
  "a number that is none": () => NaN,
  "an endless number": () => ({ at: [1, Infinity] }),
  "a big integer": () => 10n,
  "a function": () => ({ run: () => 1 }),
  "a symbol": () => Symbol("s"),
  "a date": () => ({ at: new Date(0) }),
  "a map": () => new Map([["a", 1]]),
  "a set": () => new Set([1]),
  "bytes": () => new Uint8Array(4),
  "an error": () => new Error("returned"),
  "a promise within": () => ({ later: Promise.resolve(1) }),
  "an instance": () => new Money(),
  "itself": () => {
    const self: Record<string, unknown> = {};
    return self["self"] = self;
  },
};

export const valuesOfAllKinds: ReadonlyArray<Program> = [
  {
    name: "values as they are",
    cast: () => {
      const child = actor("echo", (_ctx, input: unknown) => input);
      return {
        actors: [
          actor("values", async (ctx, input: typeof values) => {
            const kept = await ctx.run("keep", () => input);
            return ctx.call(child, kept);
          }),
          child,
        ],
        input: values,
      };
    },
    end: succeeds(values),
  },
  {
    name: "values that are huge",
    cast: () => {
      const child = actor("measure", (_ctx, text: string) => text + text.length);
      return {
        actors: [
          actor("huge", async (ctx) => {
            const text = await ctx.run("make", () => huge);
            return ctx.call(child, text);
          }),
          child,
        ],
      };
    },
    end: succeeds(huge + huge.length),
  },
  {
    name: "values that nobody could read again",
    cast: () => ({
      actors: [actor("refused", async (ctx) => {
        const codes: Array<string> = [];
        const code = (error: { readonly failure?: { readonly name: string } }) => {
          codes.push(error.failure?.name ?? "none");
        };
        for (const [name, make] of Object.entries(refused)) {
          await ctx.run(name, make, { retry: { attempts: 3 } }).catch(code);
        }
        return [...new Set(codes), codes.length];
      })],
    }),
    end: succeeds(["InvalidInput", Object.keys(refused).length]),
  },
  {
    name: "a result that is an instance of a class",
    cast: () => ({ actors: [actor("money", () => new Money())] }),
    end: fails(
      "InvalidInput",
      'the result "an instance of Money" is refused: expected a JSON value; ' +
        "store a plain object, like { ...it }, and make an instance of it where it is read.",
    ),
  },
  {
    name: "a result that the code goes on to change",
    cast: () => ({
      actors: [actor("changes", async (ctx) => {
        const list = await ctx.run("list", () => [3, 1, 2]);
        list.sort();
        await ctx.sleep("nap", "1 hour");
        const again = await ctx.run("copy", () => list);
        again.push(4);
        return { list, again };
      })],
    }),
    end: succeeds({ list: [1, 2, 3], again: [1, 2, 3, 4] }),
  },
  {
    name: "tags, events and frames along the way",
    cast: () => ({
      actors: [actor("tells", async (ctx) => {
        await ctx.tag("team.name", "checkout");
        const event = await ctx.outbox.add("order.placed", { cents: 42 });
        await ctx.emit("progress", 50);
        await ctx.untag("team.name");
        return event.length > 0;
      })],
    }),
    end: succeeds(true),
  },
];
