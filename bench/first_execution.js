/**
 * One execution in a process that has just begun, on the embedded server of the folder that is named:
 * how long the import took and how many milliseconds each part after it.
 */
import process from "node:process";

const parts = {};
let last = performance.now();
const lap = (part) => {
  const now = performance.now();
  parts[part] = now - last;
  last = now;
};

const { actor, connect } = await import("@weir/weir");
lap("import");
const weir = await connect({ embedded: { store: process.argv[2] } });
lap("connect");
const greeter = actor("greeter", (ctx, name) => ctx.run("greet", () => `hello ${name}`));
await weir.worker([greeter]);
lap("worker");
const run = await weir.start(greeter, "you");
if (await run.result() !== "hello you") throw new Error("it gave something else");
lap("execution");
console.log(JSON.stringify(parts));
await weir.close();
