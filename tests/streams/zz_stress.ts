import process from "node:process";
import { readdirSync, readFileSync } from "node:fs";
import { open, publish, storeProcesses, use } from "../fixtures/embedded_server.ts";
import { leftovers, scratchFolder } from "../fixtures/server.ts";
const store = scratchFolder("store");
const until = Date.now() + Number(process.argv[2] ?? 40) * 1000;
let max = 0, polls = 0;
const servers = () => {
  let n = 0;
  for (const p of readdirSync("/proc")) {
    if (/^\d+$/.test(p)) {
      try {
        const c = readFileSync(`/proc/${p}/cmdline`, "utf8");
        if (c.includes(`-c\0${store}/open.`)) n++;
      } catch { /**/ }
    }
  }
  return n;
};
const timer = setInterval(() => {
  const n = servers();
  polls++;
  if (n > 1) console.log("TWO SERVERS", n);
  max = Math.max(max, n);
}, 15);
let uses = 0, errors = 0, kills = 0, slow = 0;
const nap = (ms: number) => new Promise((r) => setTimeout(r, ms));
const user = async () => {
  while (Date.now() < until) {
    const t = performance.now();
    try {
      const u = await use({ store });
      slow = Math.max(slow, performance.now() - t);
      uses++;
      try {
        await publish(u.server.url);
      } catch {
        errors++;
      }
      await nap(Math.random() * 300);
      await u.release();
    } catch (e) {
      console.log("ACQUIRE FAILED", String(e).slice(0, 500));
      errors++;
    }
    await nap(Math.random() * 1800);
  }
};
const killer = async () => {
  while (Date.now() < until) {
    await nap(Math.random() * 900);
    const { servers, keeper, waiter, guard } = storeProcesses(store);
    const all = [servers[0], keeper, waiter, guard];
    const pid = all[Math.floor(Math.random() * 2)];
    if (pid) {
      try {
        process.kill(pid, "SIGKILL");
        kills++;
      } catch { /**/ }
    }
  }
};
const n = Number(process.argv[3] ?? 3);
await Promise.all([
  ...Array.from({ length: n }, user),
  ...(process.argv[4] === "nokill" ? [] : [killer()]),
]);
clearInterval(timer);
console.log({ uses, errors, kills, max, polls, slow, left: await leftovers() });
console.log(readdirSync(store));
process.exit(0);
