/** A worker of the demo, as a process that can be killed: `worker.ts <url> <namespace>`. */
import process from "node:process";
import { connect } from "@weir/weir";
import { order } from "./order.ts";

const [servers, namespace] = process.argv.slice(2);
const weir = await connect({ servers: servers!, namespace: namespace! });
const worker = await weir.worker([order], { identity: `worker-${process.pid}` });
console.log(`      worker ${process.pid}: ready`);
process.once("SIGTERM", async () => {
  await worker.close();
  await weir.close();
});
