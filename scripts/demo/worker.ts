/**
 * A worker of the demo, as a process that can be killed: `worker.ts <namespace> <identity>`, on the
 * server that `NATS_URL` names. It ends with its parent, however that ends.
 */
import process from "node:process";
import { connect } from "@weir/weir";
import { order } from "./order.ts";

const [namespace, identity] = process.argv.slice(2);
const weir = await connect({ namespace: namespace! });
// Two at a time, so that each of two workers has its share; what waits for longer makes room.
await weir.worker([order], { identity: identity!, concurrency: 2, residentGrace: "1 second" });
console.log(JSON.stringify({ ready: true }));
process.stdin.resume().once("end", () => weir.close());
