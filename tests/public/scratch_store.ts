import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A new folder for an embedded server. */
export const scratchStore = (): Promise<string> => mkdtemp(join(tmpdir(), "weir-public-"));

/**
 * The server outlives its last user by up to 5 seconds, and writes until then; Deno's `rm` has no
 * retries.
 */
export const removeStore = async (store: string): Promise<void> => {
  for (let attempt = 1;; attempt++) {
    try {
      return await rm(store, { recursive: true, force: true });
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(100);
    }
  }
};
