/**
 * How a runner calls another one: Effect's RPC, over a channel to the subject of the runner's address.
 * A call whose runner is not there, is gone, or may not have heard it fails at once as a broken
 * connection would, and is never repeated here. A channel that nobody uses is closed and costs nothing.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Queue from "effect/Queue";
import { RpcClientProtocol } from "effect/cluster/Runners";
import type { RunnerAddress } from "effect/cluster/RunnerAddress";
import * as RpcClient from "effect/rpc/RpcClient";
import { RpcClientDefect, RpcClientError } from "effect/rpc/RpcClientError";
import type { FromServerEncoded } from "effect/rpc/RpcMessage";
import { RpcSerialization } from "effect/rpc/RpcSerialization";
import type { Namespace } from "../../schema/ids.ts";
import { Connection } from "../connection.ts";
import { Log } from "../log.ts";
import {
  Channel,
  defaultHeartbeat,
  isNobodyThere,
  newReplySubject,
  type RunnerProtocolOptions,
  runnerSubject,
} from "./runner_channel.ts";

const broken = (message: string, cause?: unknown) =>
  new RpcClientError({ reason: new RpcClientDefect({ message, cause }) });

/** A message that was heard, or why none will be heard on that channel any more. */
interface Heard {
  readonly channel: Channel;
  readonly message: Uint8Array | RpcClientError;
}

const makeProtocol = (
  namespace: Namespace,
  address: RunnerAddress,
  options: RunnerProtocolOptions,
) =>
  RpcClient.Protocol.make(Effect.fnUntraced(function* (writeResponse, clientIds) {
    const connection = yield* Connection;
    const { nats } = connection;
    const serialization = yield* RpcSerialization;
    const subject = runnerSubject(namespace, address);
    const inbox = newReplySubject(namespace);
    const heard = yield* Queue.unbounded<Heard>();
    /** The requests under way, and who made them. */
    const requests = new Map<string | number, number>();
    let channels = 0;
    let channel: Channel | undefined;
    let isUsed = false;
    /** Why calls fail until those that were under way have been told. */
    let failing: RpcClientError | undefined;
    let isConnected = true;

    const open = () =>
      new Channel(nats, serialization, {
        to: subject,
        reply: `${inbox}.${++channels}`,
        limitBytes: options.maxPayloadBytes,
      });

    const close = () => {
      channel?.sign("close");
      channel = undefined;
    };

    const giveUp = (message: string, cause?: unknown) => {
      if (channel === undefined) return;
      failing = broken(`${message} (${subject})`, cause);
      Queue.offerUnsafe(heard, { channel, message: failing });
      channel = undefined;
    };

    yield* Effect.acquireRelease(
      Effect.sync(() =>
        nats.subscribe(`${inbox}.*`, {
          callback: (error, message) => {
            if (error !== null || channel === undefined) return;
            if (message.subject !== `${inbox}.${channels}`) return;
            if (isNobodyThere(message)) return giveUp("no runner is there");
            const bytes = channel.hear(message.data);
            if (bytes === "over") giveUp("the runner has lost the channel");
            else if (bytes !== "nothing") Queue.offerUnsafe(heard, { channel, message: bytes });
          },
        })
      ),
      (subscription) =>
        Effect.sync(() => {
          close();
          if (!nats.isClosed()) subscription.unsubscribe();
        }),
    );
    yield* connection.listen({
      disconnected: () => {
        isConnected = false;
        giveUp("the connection to the NATS server broke");
      },
      reconnected: () => isConnected = true,
      closed: () => giveUp("the connection to the NATS server is closed"),
    });

    const toAll = (response: FromServerEncoded) => {
      requests.clear();
      return Effect.forEach([...clientIds], (clientId) => writeResponse(clientId, response), {
        discard: true,
      });
    };

    const deliver = (response: FromServerEncoded): Effect.Effect<void> => {
      if (!("requestId" in response)) {
        return response._tag === "Pong" ? Effect.void : toAll(response);
      }
      const clientId = requests.get(response.requestId);
      if (clientId === undefined) return Effect.void;
      if (response._tag === "Exit") requests.delete(response.requestId);
      return writeResponse(clientId, response);
    };

    const attend = ({ channel: source, message }: Heard): Effect.Effect<void> => {
      if (message instanceof RpcClientError) {
        if (failing === message) failing = undefined;
        return toAll({ _tag: "ClientProtocolError", error: message });
      }
      return Effect.try(() => source.parser.decode(message) as ReadonlyArray<FromServerEncoded>)
        .pipe(
          Effect.flatMap((responses) => Effect.forEach(responses, deliver, { discard: true })),
          Effect.catchCause((cause) =>
            Effect.sync(() => {
              if (source === channel) giveUp("what the runner says makes no sense", cause);
            })
          ),
        );
    };
    yield* Queue.take(heard).pipe(Effect.flatMap(attend), Effect.forever, Effect.forkScoped);

    yield* Effect.sync(() => {
      if (requests.size > 0) {
        if (channel?.beat() === false) giveUp("the runner gives no sign of life");
      } else if (!isUsed) close();
      isUsed = false;
    }).pipe(
      Effect.delay(options.heartbeat ?? defaultHeartbeat),
      Effect.forever,
      Effect.forkScoped,
    );

    return {
      send: (clientId, request) =>
        Effect.suspend(() => {
          if (failing !== undefined) return Effect.fail(failing);
          if (!isConnected || nats.isClosed()) {
            return Effect.fail(broken("there is no connection to the NATS server"));
          }
          isUsed = true;
          if (request._tag === "Request") {
            channel ??= open();
            if (request.isNotification === true) return channel.send(request);
            requests.set(request.id, clientId);
            // One that is interrupted meanwhile may be under way, and its interruption is to be sent.
            return Effect.onError(channel.send(request), (cause) =>
              Effect.sync(() => Cause.hasInterruptsOnly(cause) || requests.delete(request.id)));
          }
          if (!("requestId" in request) || !requests.has(request.requestId)) {
            return Effect.void;
          }
          if (request._tag === "Interrupt") {
            requests.delete(request.requestId);
          }
          return channel?.send(request) ?? Effect.void;
        }),
      supportsAck: true,
      supportsTransferables: false,
      codecFor: serialization.codecFor,
    };
  }));

/** Calls to runners over the connection of a namespace. */
export const layer = (
  options: RunnerProtocolOptions = {},
): Layer.Layer<RpcClientProtocol, never, Connection | Log | RpcSerialization> =>
  Layer.effect(
    RpcClientProtocol,
    Effect.gen(function* () {
      const { layout } = yield* Log;
      const context = yield* Effect.context<Connection | RpcSerialization>();
      const { codecFor } = yield* RpcSerialization;
      return RpcClientProtocol.of({
        codecFor,
        make: (address: RunnerAddress) =>
          makeProtocol(layout.namespace, address, options).pipe(
            Effect.provide(context),
          ),
      });
    }),
  );
