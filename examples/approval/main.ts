/**
 * An expense that waits for a person: it reminds, goes to the next one when nobody answers, and is
 * withdrawn when its owner cancels it. Waiting costs nothing, for seconds or for weeks.
 */
import { actor, Cancelled, connect, ExecutionCancelled, signal } from "@weir/weir";

interface Expense {
  readonly by: string;
  readonly cents: number;
  readonly approvers: ReadonlyArray<string>;
}

const decision = signal<{ by: string; approved: boolean }>("decision");
const patience = "500 millis"; // or "3 days"

const write = (to: string, text: string) => console.log(`  to ${to}: ${text}`);

const expense = actor("expense", async (ctx, { by, cents, approvers }: Expense) => {
  const asked = ctx.state<string>("asked");
  try {
    for (const approver of approvers) {
      await asked.set(approver);
      await ctx.run(`ask ${approver}`, () => write(approver, `approve ${cents} of ${by}?`));
      const answer = await ctx.wait(decision, { name: `answer of ${approver}`, timeout: patience });
      if (answer !== undefined) {
        return `${answer.approved ? "approved" : "declined"} by ${answer.by}`;
      }
    }
    return "nobody answered";
  } catch (error) {
    // What is done from here on runs to its end; then the expense is cancelled.
    if (error instanceof Cancelled) await ctx.run("withdraw", () => write(by, "withdrawn"));
    throw error;
  }
});

await using weir = await connect();
await using _worker = await weir.worker([expense]);
const ask = (id: string) =>
  weir.start(expense, { by: "cy", cents: 900, approvers: ["ana", "bo"] }, { id });

const answered = await ask("e-1");
await answered.signal(decision, { by: "ana", approved: true }, { key: "form-17" });
await answered.signal(decision, { by: "ana", approved: true }, { key: "form-17" }); // once
const forgotten = await ask("e-2");
const regretted = await ask("e-3");
await regretted.cancel({ reason: "paid it myself" });

console.log(`${answered.id}: ${await answered.result()}`);
console.log(`${forgotten.id}: ${await forgotten.result()}`);
try {
  await regretted.result();
} catch (error) {
  if (!(error instanceof ExecutionCancelled)) throw error;
  console.log(`${regretted.id}: cancelled, ${error.reason}`);
}
console.log("all three are decided");

// prints: expense/e-1: approved by ana
// prints: expense/e-2: nobody answered
// prints: expense/e-3: cancelled, paid it myself
// prints: all three are decided
