/**
 * A model's loop. Each answer of the model is a step, and each call of a tool another, so that a
 * crash repeats neither; tokens are given out as they come, to whoever reads. The model here is a
 * function of this file: put a real one in its place.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { actor, connect } from "@weir/weir";

interface ToolCall {
  readonly tool: keyof typeof tools;
  readonly input: string;
}
interface Message {
  readonly role: "user" | "model" | "tool";
  readonly text: string;
}
interface Answer {
  readonly text: string;
  readonly calls: ReadonlyArray<ToolCall>;
}

const tools = {
  weather: (city: string) => `it rains in ${city}`,
  calendar: (day: string) => `nothing to do on ${day}`,
};

/** Stands for a model: it asks for two tools, and then answers, token by token. */
async function* model(messages: ReadonlyArray<Message>): AsyncGenerator<string | ToolCall> {
  const told = messages.filter(({ role }) => role === "tool").map(({ text }) => text);
  const text = told.length === 0 ? "Let me look." : `Stay in bed: ${told.join(", and ")}.`;
  for (const token of text.split(/(?<= )/)) {
    await pause(20);
    yield token;
  }
  if (told.length > 0) return;
  yield { tool: "weather", input: "Lisbon" };
  yield { tool: "calendar", input: "Sunday" };
}

const agent = actor("agent", async (ctx, question: string) => {
  const messages: Array<Message> = [{ role: "user", text: question }];
  for (let turn = 1; turn <= 10; turn++) {
    const { text, calls } = await ctx.run("ask the model", async ({ emit }): Promise<Answer> => {
      let text = "";
      const calls: Array<ToolCall> = [];
      for await (const part of model(messages)) {
        if (typeof part === "string") {
          text += part;
          await emit("tokens", part);
        } else calls.push(part);
      }
      return { text, calls };
    }, { timeout: "5 minutes" });
    messages.push({ role: "model", text });
    if (calls.length === 0) return text;
    const told = await Promise.all(
      calls.map(({ tool, input }) => ctx.run(`${tool} ${input}`, () => tools[tool](input))),
    );
    for (const text of told) messages.push({ role: "tool", text });
  }
  throw new Error("it does not come to an end");
});

await using weir = await connect();
await using _worker = await weir.worker([agent]);
const run = await weir.start(agent, "What shall I do on Sunday?", { id: process.argv[2] ?? "a-1" });

// Any process may read, from the beginning or from a cursor; it ends with the execution.
for await (const { frame, index } of run.output("tokens")) {
  if (index === 0) process.stdout.write("\nmodel: ");
  process.stdout.write(String(frame));
}
console.log(`\n\n${await run.result()}`);

// prints: model: Let me look.
// prints: Stay in bed: it rains in Lisbon, and nothing to do on Sunday.
