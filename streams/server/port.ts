/**
 * A port of this machine's loopback interface that nobody listens on. It lies below the range from
 * which Linux and macOS take the ports of outgoing connections, so that nobody takes it by chance
 * while a server that comes back needs it. It reserves nothing.
 */
import { randomInt } from "node:crypto";
import { connect, createServer } from "node:net";
import * as Effect from "effect/Effect";

const lowest = 20_000;
const highest = 32_000;

/** Asks by connecting: to listen would take the port from others who ask, or from their server. */
const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resume(Effect.succeed(false));
    });
    socket.once("error", () => resume(Effect.succeed(true)));
    return Effect.sync(() => socket.destroy());
  });

/** Whether a server could listen on it; what is bound without listening is met by nobody who asks. */
export const canBeListenedOn = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = createServer();
    server.once("error", () => resume(Effect.succeed(false)));
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))));
  });

/** A free port: `preferred` if it is free. */
export const free = Effect.fnUntraced(function* (preferred?: number) {
  let port = preferred ?? randomInt(lowest, highest);
  while (!(yield* isFree(port))) port = randomInt(lowest, highest);
  return port;
});
