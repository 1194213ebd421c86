/**
 * `deno task check`: format, lint, layers and types, without a test. It ends with 1 when one of them
 * fails and prints what that one said. It fixes nothing; `deno fmt` and `deno lint --fix` do.
 */
import process from "node:process";
import { checks } from "./gate/checks.ts";

for (const { name, check } of checks) {
  const { exitCode, output, seconds } = await check();
  console.log(`${exitCode === 0 ? "ok  " : "FAIL"}  ${name}  ${seconds.toFixed(1)} s`);
  if (exitCode === 0) continue;
  console.log(output);
  process.exitCode = 1;
}
