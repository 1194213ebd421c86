/**
 * What each snippet of the documentation finds when it runs: a store of its own for the embedded
 * server, no address of another, and an answer from the hosts under `.example`, which nobody has.
 * Deno loads it before each snippet (`--preload`); the snippet itself shows nothing of it.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

delete process.env["NATS_URL"];
process.env["XDG_DATA_HOME"] = mkdtempSync(join(tmpdir(), "snippet-"));

const outside = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const { hostname } = new URL(input instanceof Request ? input.url : input);
  return hostname.endsWith(".example") ? Promise.resolve(new Response("ok")) : outside(input, init);
};
