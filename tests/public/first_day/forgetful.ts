/** A process that serves, and ends without having closed anything. */
import { writeSync } from "node:fs";
import process from "node:process";
import { actor, connect } from "@weir/weir";

const servers = process.argv[2]!;
const weir = await connect({ servers });
const worker = await weir.worker([actor("forgotten", () => {})], { identity: "forgetful" });
if (process.argv[3] === "closes") await worker.close();
writeSync(1, "served\n");
process.exit(0);
