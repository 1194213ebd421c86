/** What must not compile. Each line says why; a line that compiles after all is an error. */
import {
  actor,
  type ActorContext,
  connect,
  signal,
  type StandardSchema,
  type Weir,
} from "@weir/weir";

interface Order {
  readonly id: string;
  readonly cents: number;
}

declare const orderSchema: StandardSchema<unknown, Order>;

const approval = signal<{ readonly by: string }>("approval");
const placed = signal("placed", orderSchema);
const order = actor("order", (_ctx, input: Order) => input.cents);
const quiet = actor("quiet", () => {});

export const clients = async (weir: Weir) => {
  // @ts-expect-error an input that lacks a field
  await weir.start(order, { id: "o-1" });
  // @ts-expect-error an input of another type
  await weir.start(order, "o-1");
  // @ts-expect-error no input at all
  await weir.start(order);
  // @ts-expect-error a field that nobody reads
  await weir.start(order, { id: "o-1", cents: 1, more: true });
  // @ts-expect-error an option that is none
  await weir.start(order, { id: "o-1", cents: 1 }, { name: "o-1" });
  // @ts-expect-error a duration that is none
  await weir.start(order, { id: "o-1", cents: 1 }, { delay: "soon" });
  // @ts-expect-error an actor is asked for, not its name
  await weir.start("order", { id: "o-1", cents: 1 });

  const run = weir.get(order, "o-1");
  // @ts-expect-error a payload of another type
  await run.signal(approval, { by: 42 });
  // @ts-expect-error a payload that the schema does not know
  await run.signal(placed, { id: "o-1" });
  // @ts-expect-error a signal is asked for, not its name
  await run.signal("approval", { by: "ana" });
  const result: number = await run.result();
  // @ts-expect-error the result is no string
  const text: string = await run.result();
  return [result, text];
};

export const disposal = async () => {
  // @ts-expect-error it is closed asynchronously: await using
  using weir = await connect();
  // @ts-expect-error it must be awaited first
  await connect().start(quiet, undefined);
  // @ts-expect-error what is opened must be awaited before it is used
  await using promised = connect();
  return [weir, promised];
};

export const contexts = async (ctx: ActorContext) => {
  // @ts-expect-error a step has a name
  await ctx.run(() => 1);
  // @ts-expect-error a step is a function
  await ctx.run("charge", Promise.resolve(1));
  // @ts-expect-error a retry policy counts attempts
  await ctx.run("charge", () => 1, { retry: { times: 3 } });
  // @ts-expect-error a sleep has a name
  await ctx.sleep("1 day");
  // @ts-expect-error a duration that is none
  await ctx.sleep("nap", "a day");
  // @ts-expect-error with a timeout it may be nothing
  const { by } = await ctx.wait(approval, { timeout: "1 day" });
  // @ts-expect-error a signal is asked for, not its name
  await ctx.wait("approval");
  // @ts-expect-error an input of another type
  await ctx.call(order, 42);
  // @ts-expect-error a field that nobody reads
  await ctx.spawn(order, { id: "o-1", cents: 1, more: true });
  // @ts-expect-error a state of another type
  await ctx.state<"on" | "off">("switch").set("dimmed");
  // @ts-expect-error a state is read at once
  ctx.state<string>("phase").get().then();
  // @ts-expect-error a random number is a number
  const random: string = ctx.random();
  return [by, random];
};

// @ts-expect-error an input other than the schema's
export const other = actor("other", { input: orderSchema }, (_ctx, input: number) => input);

// @ts-expect-error a result other than the schema's
export const wrong = actor("wrong", { output: orderSchema }, () => 42);

// @ts-expect-error classes are asked for, not instances
export const instances = actor("instances", { errors: [new Error("no")] }, () => 42);

// @ts-expect-error an actor has a name
export const nameless = actor(() => 42);
