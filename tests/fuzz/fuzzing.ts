/**
 * What is asked of whatever reads what others wrote: a value or a refusal of ours, soon, and of a size
 * that is in proportion. An input with which that once failed is kept in `corpus/`, for good.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Chance, mutated } from "./mutator.ts";

export interface Target {
  readonly name: string;
  /** What it reads gladly. */
  readonly seeds: ReadonlyArray<Uint8Array>;
  /** Reads an input: gives what it is, or throws why it is refused. */
  readonly read: (input: Uint8Array) => unknown;
  /** How many inputs the gate has for it. */
  readonly cases?: number;
}

const corpus = join(dirname(fileURLToPath(import.meta.url)), "corpus");

/** Inputs that were once read badly. */
export const kept = ({ name }: Target): ReadonlyArray<Uint8Array> => {
  const folder = join(corpus, name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).sort().map((file) => new Uint8Array(readFileSync(join(folder, file))));
};

/** Keeps an input, and says where. */
export const keep = ({ name }: Target, input: Uint8Array): string => {
  const folder = join(corpus, name);
  mkdirSync(folder, { recursive: true });
  const file = `${createHash("sha256").update(input).digest("hex").slice(0, 16)}.bin`;
  writeFileSync(join(folder, file), input);
  return join(folder, file);
};

const isTyped = (error: unknown): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" &&
  error.code.startsWith("WEIR_");

/** How many things a value holds, as far as that is worth counting. */
const sizeOf = (value: unknown, most: number): number => {
  let size = 0;
  const left = [value];
  const seen = new Set<unknown>();
  while (left.length > 0 && size <= most) {
    const next = left.pop();
    size++;
    if (typeof next === "string") size += next.length;
    if (typeof next !== "object" || next === null || seen.has(next)) continue;
    seen.add(next);
    for (const each of Object.values(next)) left.push(each);
  }
  return size;
};

/** Of this process, however busy the machine is; some kilobytes take a small part of it. */
const mostCpuMs = 5_000;
/** When nothing will come any more. */
const lateMs = 60_000;

/** Fails if an input is not read as it should be. */
export const check = async (target: Target, input: Uint8Array): Promise<void> => {
  const began = process.cpuUsage();
  let value: unknown;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it gives no answer")), lateMs);
  });
  try {
    value = await Promise.race([target.read(input), late]);
  } catch (error) {
    if (error instanceof assert.AssertionError || !isTyped(error)) throw error;
    value = (error as Error).message;
  } finally {
    clearTimeout(timer);
  }
  const { user, system } = process.cpuUsage(began);
  const tookMs = (user + system) / 1_000;
  assert.ok(tookMs < mostCpuMs, `it takes ${Math.round(tookMs)} ms`);
  const most = 100_000 + 100 * input.length;
  assert.ok(sizeOf(value, most) <= most, "it is out of proportion");
  assert.equal(({} as { polluted?: unknown }).polluted, undefined, "it changes other objects");
};

/** Inputs of a target, for ever. */
export function* inputs(target: Target, seed: number): Generator<Uint8Array> {
  const chance = new Chance(seed);
  const all = [...target.seeds, ...kept(target)];
  yield* all;
  for (;;) yield mutated(chance, all);
}

/** An input as an error shows it. */
export const shown = (input: Uint8Array): string =>
  JSON.stringify(new TextDecoder().decode(input.subarray(0, 300)));
