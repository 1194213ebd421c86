/** What is inferred without a word from the author: inputs, results, errors and signals. */
import * as Schema from "effect/Schema";
import {
  type Actor,
  actor,
  type Cancelled,
  type ExecutionCancelled,
  type ExecutionExpired,
  type ExecutionFailed,
  type RunOutcome,
  type SentSignal,
  signal,
  type SignalDefinition,
  type SpawnedChild,
  type StandardSchema,
  type Weir,
} from "@weir/weir";
import { isExactly } from "./equal.ts";

interface Order {
  readonly id: string;
  readonly cents: number;
}

/** As any schema library that implements Standard Schema. */
declare const orderSchema: StandardSchema<unknown, Order>;
declare const receiptSchema: StandardSchema<unknown, { readonly receipt: string }>;

class CardDeclined extends Error {
  declare readonly cents: number;
}
class OutOfStock extends Error {
  declare readonly left: number;
}

export const approval = signal<{ readonly by: string }>("approval");
export const go = signal("go");
export const placed = signal("placed", orderSchema);
export const counted = signal("counted", Schema.Number);

isExactly<SignalDefinition<{ readonly by: string }>>()(approval);
isExactly<SignalDefinition<undefined>>()(go);
isExactly<SignalDefinition<Order>>()(placed);
isExactly<SignalDefinition<number>>()(counted);

export const ship = actor(
  "ship",
  (ctx, to: string) => ctx.run("label", () => ({ label: `for ${to}` })),
);

isExactly<Actor<string, { label: string }, never>>()(ship);

export const order = actor("order", async (ctx, { id, cents }: Order) => {
  isExactly<string>()(id);
  const receipt = await ctx.run("charge", async ({ signal, try: number, idempotencyKey }) => {
    isExactly<AbortSignal>()(signal);
    isExactly<number>()(number);
    isExactly<string>()(idempotencyKey);
    return await Promise.resolve({ cents });
  });
  isExactly<{ cents: number }>()(receipt);
  isExactly<{ readonly by: string }>()(await ctx.wait(approval));
  isExactly<{ readonly by: string } | undefined>()(
    await ctx.wait(approval, { name: "again", timeout: "7 days" }),
  );
  isExactly<number>()(await ctx.wait(counted));
  isExactly<{ label: string }>()(await ctx.call(ship, "ana"));
  const spawned = await ctx.spawn(ship, "bo");
  isExactly<SpawnedChild<{ label: string }>>()(spawned);
  isExactly<{ label: string }>()(await spawned.result());
  isExactly<void>()(await ctx.sleep("nap", "1 day"));
  isExactly<Date>()(await ctx.now());
  const phase = ctx.state<"packing" | "sent">("phase");
  isExactly<"packing" | "sent" | undefined>()(phase.get());
  const both = await Promise.all([ctx.run("a", () => 1), ctx.run("b", () => "b")]);
  isExactly<[number, string]>()(both);
  const first = await Promise.race([ctx.run("c", () => 1), ctx.sleep("d", 1).then(() => "late")]);
  isExactly<string | number>()(first);
  return { receipt, first };
});

/** Without a word about the input, from its schema. */
export const checked = actor(
  "checked",
  { input: orderSchema, output: receiptSchema },
  (_ctx, input) => {
    isExactly<Order>()(input);
    return { receipt: input.id };
  },
);
isExactly<Actor<Order, { readonly receipt: string }, never>>()(checked);

export const counts = actor("counts", { input: Schema.Number }, (_ctx, input) => {
  isExactly<number>()(input);
  return String(input);
});
isExactly<Actor<number, string, never>>()(counts);

export const fragile = actor("fragile", { errors: [CardDeclined, OutOfStock] }, () => 42);
isExactly<Actor<unknown, number, CardDeclined | OutOfStock>>()(fragile);

export const client = async (weir: Weir) => {
  const run = await weir.start(order, { id: "o-1", cents: 42 });
  isExactly<{ receipt: { cents: number }; first: string | number }>()(await run.result());
  isExactly<boolean>()(run.created);
  isExactly<SentSignal>()(await run.signal(approval, { by: "ana" }));
  await run.signal(go, undefined);

  const same = weir.get(order, "o-1");
  isExactly<RunOutcome<{ receipt: { cents: number }; first: string | number }, never>>()(
    await same.outcome(),
  );
  const outcome = await (await weir.start(fragile, undefined)).outcome();
  switch (outcome.type) {
    case "success":
      return isExactly<number>()(outcome.value);
    case "failure":
      return isExactly<CardDeclined | OutOfStock | ExecutionFailed>()(outcome.error);
    case "cancelled":
      return isExactly<ExecutionCancelled>()(outcome.error);
    case "expired":
      return isExactly<ExecutionExpired>()(outcome.error);
  }
};

export const events = async (weir: Weir, error: Cancelled) => {
  const code: "WEIR_CANCELLED" = error.code;
  isExactly<string | undefined>()(error.reason);
  for await (const event of weir.completions()) {
    isExactly<string>()(event.executionId as string);
    return code;
  }
};
