/** Serves a handler at an address until it is closed. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Handler, makeNodeListener } from "../../actors/http/node_listener.ts";

export interface Listening {
  readonly url: string;
  readonly close: () => Promise<void>;
}

export const listen = async (
  handler: Handler,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Listening> => {
  const server = createServer(makeNodeListener(handler));
  server.listen(port, host);
  await once(server, "listening");
  const { address, family, port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${chosen}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
