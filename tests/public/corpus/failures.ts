/** Programs in which something goes wrong. */
import { actor, NonRetryable, StepFailed } from "@weir/weir";
import { fails, type Program, succeeds } from "./program.ts";

const at = { delay: "1 minute", backoff: "fixed", jitter: false } as const;

class CardDeclined extends Error {
  readonly cents: number;
  constructor(cents: number) {
    super(`no funds for ${cents}`);
    this.cents = cents;
  }
}

export const failures: ReadonlyArray<Program> = [
  {
    name: "a step that succeeds at its third try",
    cast: (note) => ({
      actors: [actor("flaky", (ctx) =>
        ctx.run("call", (step) => {
          note(`try ${step.try}`);
          if (step.try < 3) throw new Error("not yet");
          return "at last";
        }, { retry: { ...at, attempts: 3 } }))],
    }),
    end: succeeds("at last"),
  },
  {
    name: "a step that never succeeds",
    cast: () => ({
      actors: [actor("broken", (ctx) =>
        ctx.run("call", (step) => {
          throw new TypeError(`broken at try ${step.try}`);
        }, { retry: { ...at, attempts: 2 } }))],
    }),
    end: fails("TypeError", "broken at try 2"),
  },
  {
    name: "an error that is not worth another try",
    cast: () => ({
      actors: [actor("stolen", async (ctx) => {
        let tries = 0;
        try {
          await ctx.run("charge", (step) => {
            tries = step.try;
            throw new NonRetryable({ reason: "the card is stolen" });
          }, { retry: { ...at, attempts: 5 } });
        } catch (error) {
          if (error instanceof StepFailed) return error.failure.name;
        }
        return tries;
      })],
    }),
    end: succeeds("NonRetryable"),
  },
  {
    name: "what is thrown and is no error",
    cast: () => ({
      actors: [actor("throws", async (ctx) => {
        const thrown: ReadonlyArray<() => unknown> = [
          () => "text",
          () => undefined,
          () => 42n,
          () => ({ message: "like an error" }),
          () => {
            const self: Record<string, unknown> = { some: 1 };
            return self["self"] = self;
          },
        ];
        const seen: Array<string> = [];
        for (const [i, make] of thrown.entries()) {
          try {
            await ctx.run(`throw ${i}`, () => {
              throw make();
            }, { retry: { attempts: 1 } });
          } catch (error) {
            if (error instanceof StepFailed) seen.push(error.failure.message);
          }
        }
        return seen;
      })],
    }),
    end: succeeds(["text", "undefined", "42", "like an error", '{"some":1}']),
  },
  {
    name: "an own error of a step, with its class and fields",
    cast: () => ({
      actors: [actor("declined", { errors: [CardDeclined] }, async (ctx) => {
        try {
          return await ctx.run("charge", () => {
            throw new CardDeclined(4_200);
          }, { retry: { attempts: 1 } });
        } catch (error) {
          if (!(error instanceof CardDeclined)) throw error;
          await ctx.sleep("think", "1 hour");
          return [error.cents, error.message, error.name];
        }
      })],
    }),
    end: succeeds([4_200, "no funds for 4200", "CardDeclined"]),
  },
  {
    name: "an error of the code between the steps",
    cast: (note) => ({
      actors: [actor("sloppy", async (ctx) => {
        const found = await ctx.run("look", () => (note("look"), null as { name: string } | null));
        if (found === null) throw new ReferenceError("nothing found");
        return found.name;
      })],
    }),
    end: fails("ReferenceError", "nothing found"),
  },
  {
    name: "a finally that gives back what was taken, once",
    cast: (note) => ({
      actors: [actor("room", async (ctx) => {
        const room = await ctx.run("book", () => (note("book"), "room 7"));
        try {
          await ctx.sleep("stay", "2 days");
          return await ctx.run("pay", () => {
            throw new Error("no money");
          }, { retry: { attempts: 1 } });
        } finally {
          await ctx.run("leave", () => note(`leave ${room}`));
        }
      })],
    }),
    end: fails("Error", "no money"),
  },
  {
    name: "an actor that is tried again as a whole",
    cast: (note) => ({
      actors: [actor("stubborn", { retry: { ...at, attempts: 3 } }, async (ctx) => {
        const once = await ctx.run("once", () => (note("once"), "kept"));
        if (ctx.attempt < 2) throw new Error("not this time");
        return once;
      })],
    }),
    end: succeeds("kept"),
  },
  {
    name: "a step that takes too long",
    cast: () => ({
      actors: [
        actor(
          "slow",
          (ctx) =>
            ctx.run(
              "wait",
              ({ signal }) =>
                new Promise((_, reject) =>
                  signal.addEventListener("abort", () => reject(signal.reason))
                ),
              {
                timeout: "1 minute",
                retry: { attempts: 1 },
              },
            ),
        ),
      ],
    }),
    end: fails("StepTimeout", "no result within 60000 ms"),
  },
];
