/** A single Restate server with its default settings, but for where it listens and whether it syncs. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as ports from "../../streams/server/port.ts";
import { scratchFolder } from "../../tests/fixtures/server.ts";
import { type BackingServer, startBackingServer } from "./backing_server.ts";

export interface RestateServer extends BackingServer {
  readonly admin: string;
  readonly ingress: string;
}

const settings = (
  folder: string,
  node: number,
  admin: number,
  ingress: number,
  syncs: boolean,
): string => `
node-name = "bench"
base-dir = "${folder}"
bind-address = "127.0.0.1:${node}"
advertised-address = "http://127.0.0.1:${node}"
listen-mode = "tcp"
disable-telemetry = true
log-filter = "warn"

[admin]
bind-address = "127.0.0.1:${admin}"
advertised-admin-endpoint = "http://127.0.0.1:${admin}"

[ingress]
bind-address = "127.0.0.1:${ingress}"

[log-server]
rocksdb-disable-wal-fsync = ${!syncs}
`;

const answers = async (url: string): Promise<boolean> => {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.ok;
};

export const startRestate = async (program: string, syncs: boolean): Promise<RestateServer> => {
  const folder = scratchFolder("restate");
  const port = () => Effect.runPromise(ports.free());
  const [node, admin, ingress] = [await port(), await port(), await port()];
  const file = join(folder, "restate.toml");
  writeFileSync(file, settings(folder, node, admin, ingress, syncs));
  const urls = { admin: `http://127.0.0.1:${admin}`, ingress: `http://127.0.0.1:${ingress}` };
  const server = await startBackingServer({
    folder,
    program,
    args: ["--config-file", file, "--no-logo"],
    isReady: async () =>
      await answers(`${urls.admin}/health`) && await answers(`${urls.ingress}/restate/health`),
  });
  return { ...server, ...urls };
};
