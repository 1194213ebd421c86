/** Redis as BullMQ's guide for production asks for it: with its append-only file, and never evicting. */
import { once } from "node:events";
import { connect } from "node:net";
import * as Effect from "effect/Effect";
import { redis } from "../../scripts/redis.ts";
import * as ports from "../../streams/server/port.ts";
import { scratchFolder } from "../../tests/fixtures/server.ts";
import { type BackingServer, startBackingServer } from "./backing_server.ts";

export interface RedisServer extends BackingServer {
  readonly host: string;
  readonly port: number;
}

const host = "127.0.0.1";

const answersPing = async (port: number): Promise<boolean> => {
  const socket = connect({ host, port });
  try {
    socket.write("PING\r\n");
    const [answer] = await once(socket, "data");
    return String(answer).startsWith("+PONG");
  } finally {
    socket.destroy();
  }
};

export const startRedis = async (appendfsync: "always" | "everysec"): Promise<RedisServer> => {
  const { program, env } = await redis();
  const folder = scratchFolder("redis");
  const port = await Effect.runPromise(ports.free());
  const settings = {
    bind: host,
    port: String(port),
    dir: folder,
    appendonly: "yes",
    appendfsync,
    "maxmemory-policy": "noeviction",
  };
  const server = await startBackingServer({
    folder,
    program,
    env,
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    isReady: () => answersPing(port),
  });
  return { ...server, host, port };
};
