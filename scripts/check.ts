/**
 * `deno task check`: format, lint, layers and types, without a test. It ends with 1 when one of them
 * fails and prints what that one said. It fixes nothing; `deno fmt` and `deno lint --fix` do.
 */
import process from "node:process";
import { runChecks } from "./gate/checks.ts";
import { conclude } from "./gate/report.ts";

await runChecks();
process.exit(conclude() ? 0 : 1);
