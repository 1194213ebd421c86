/**
 * Finds the processes that a test file left behind: everything that carries the file's marker in its
 * environment, however far it moved from its parent. They get the time that an embedded server has
 * to notice that nobody uses it; what is still there then is reported and ended.
 */
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

export const markerName = "WEIR_TEST_RUN";
const graceSeconds = 6;

const find = async (marker: string): Promise<ReadonlyArray<number>> => {
  if (process.platform !== "linux") return [];
  const wanted = `${markerName}=${marker}`;
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(ids.map(async (id) => {
    const environment = await readFile(`/proc/${id}/environ`, "latin1").catch(() => "");
    return environment.includes(wanted) ? Number(id) : undefined;
  }));
  return found.filter((id) => id !== undefined);
};

const describe = async (id: number): Promise<string> => {
  const command = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
  return `${id} ${command.replaceAll("\0", " ").trim().slice(0, 200)}`;
};

/** Ends what a test file left behind, and says what it was. */
export const endLeftovers = async (marker: string): Promise<ReadonlyArray<string>> => {
  const deadline = performance.now() + graceSeconds * 1000;
  let left = await find(marker);
  while (left.length > 0 && performance.now() < deadline) {
    await delay(100);
    left = await find(marker);
  }
  const descriptions = await Promise.all(left.map(describe));
  for (const id of left) {
    try {
      process.kill(id, "SIGKILL");
    } catch {
      // It ended by itself in the meantime.
    }
  }
  return descriptions;
};
