/**
 * Where a runner is called by others: Effect's RPC server, on the subject of the runner's address. The
 * requests of a caller that is gone, or that may not hear the answers, are interrupted as if its
 * connection had broken. Who may process a message is not decided here, but by the shard's lock.
 */
import type { Msg } from "@nats-io/nats-core";
import type { RunnerAddress } from "effect/cluster/RunnerAddress";
import { ShardingConfig } from "effect/cluster/ShardingConfig";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import type { FromClientEncoded } from "effect/rpc/RpcMessage";
import { RpcSerialization } from "effect/rpc/RpcSerialization";
import * as RpcServer from "effect/rpc/RpcServer";
import { InvalidInput } from "../../schema/errors.ts";
import type { Namespace } from "../../schema/ids.ts";
import { Connection } from "../connection.ts";
import { Log } from "../log.ts";
import {
  Channel,
  defaultHeartbeat,
  isFirst,
  isNobodyThere,
  isReplySubject,
  newReplySubject,
  type RunnerProtocolOptions,
  runnerSubject,
} from "./runner_channel.ts";

/** One channel of another runner, which the RPC server knows as a client. */
interface Caller {
  readonly id: number;
  readonly inbox: string;
  readonly channel: Channel;
}

interface Heard {
  readonly caller: Caller;
  readonly message: Uint8Array;
}

/** The number of no caller. */
const nobody = 0;

/** Whoever has the address and says nothing may be frozen for ever. */
const silence = { duration: "2 seconds", orElse: () => Effect.succeed(false) } as const;

const makeProtocol = (
  namespace: Namespace,
  address: RunnerAddress,
  options: RunnerProtocolOptions,
) =>
  RpcServer.Protocol.make(Effect.fnUntraced(function* (writeRequest) {
    const connection = yield* Connection;
    const { nats } = connection;
    const serialization = yield* RpcSerialization;
    const subject = runnerSubject(namespace, address);
    /** Where the server tells that a caller is not there any more. */
    const inbox = newReplySubject(namespace);
    const heard = yield* Queue.unbounded<Heard>();
    const disconnects = yield* Queue.unbounded<number>();
    const byInbox = new Map<string, Caller>();
    const byId = new Map<number, Caller>();
    let count = 0;
    const isTaken = yield* Deferred.make<boolean>();

    const channelTo = (to: string, id: number) =>
      new Channel(nats, serialization, {
        to,
        reply: `${inbox}.${id}`,
        limitBytes: options.maxPayloadBytes,
      });

    const enter = (from: string): Caller => {
      const id = ++count;
      const caller = { id, inbox: from, channel: channelTo(from, id) };
      byInbox.set(from, caller);
      byId.set(id, caller);
      return caller;
    };

    const leave = (caller: Caller) => {
      if (!byId.delete(caller.id)) return;
      byInbox.delete(caller.inbox);
      Queue.offerUnsafe(disconnects, caller.id);
    };

    const allLeave = () => {
      for (const caller of byId.values()) leave(caller);
    };

    const hear = ({ data, reply = "" }: Msg) => {
      if (!isReplySubject(namespace, reply)) return;
      const known = byInbox.get(reply);
      if (known === undefined && !isFirst(data)) {
        return channelTo(reply, nobody).sign("lost");
      }
      const caller = known ?? enter(reply);
      const message = caller.channel.hear(data);
      if (message === "over") leave(caller);
      else if (message !== "nothing") Queue.offerUnsafe(heard, { caller, message });
    };

    const hearInbox = (message: Msg) => {
      const id = Number(message.subject.slice(inbox.length + 1));
      if (id === nobody) Deferred.doneUnsafe(isTaken, Effect.succeed(!isNobodyThere(message)));
      const caller = byId.get(id);
      if (caller !== undefined && isNobodyThere(message)) leave(caller);
    };

    const subscribe = (to: string, hear: (message: Msg) => void) =>
      Effect.acquireRelease(
        Effect.sync(() =>
          nats.subscribe(to, {
            callback: (error, message) => {
              if (error === null) hear(message);
            },
          })
        ),
        (subscription) => Effect.sync(() => nats.isClosed() || subscription.unsubscribe()),
      );
    yield* connection.listen({
      disconnected: allLeave,
      reconnected: () => {},
      closed: allLeave,
    });
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { channel } of byId.values()) channel.sign("lost");
      })
    );
    yield* subscribe(`${inbox}.*`, hearInbox);
    channelTo(subject, nobody).sign("ping");
    if (yield* Effect.timeoutOrElse(Deferred.await(isTaken), silence)) {
      const rule = "another process that runs has it; give each its own, or leave it out";
      const value = `${address.host}:${address.port}`;
      return yield* new InvalidInput({ what: "runner address", value, rule });
    }
    yield* subscribe(subject, hear);
    // Whoever learns the address of this runner from now on finds it.
    yield* Effect.ignore(connection.ask("flush", () => nats.flush()));

    const attend = ({ caller, message }: Heard) =>
      Effect.try(() => caller.channel.parser.decode(message) as ReadonlyArray<FromClientEncoded>)
        .pipe(
          Effect.flatMap((requests) =>
            Effect.forEach(
              requests,
              (request) => byId.has(caller.id) ? writeRequest(caller.id, request) : Effect.void,
              { discard: true },
            )
          ),
          Effect.catchCause(() =>
            Effect.sync(() => {
              caller.channel.sign("lost");
              leave(caller);
            })
          ),
        );
    yield* Queue.take(heard).pipe(Effect.flatMap(attend), Effect.forever, Effect.forkScoped);

    yield* Effect.sync(() => {
      for (const caller of byId.values()) {
        if (!caller.channel.beat()) leave(caller);
      }
    }).pipe(
      Effect.delay(options.heartbeat ?? defaultHeartbeat),
      Effect.forever,
      Effect.forkScoped,
    );

    return {
      disconnects,
      send: (id, response) =>
        Effect.suspend(() => {
          const caller = byId.get(id);
          return caller === undefined || nats.isClosed()
            ? Effect.void
            : caller.channel.send(response);
        }),
      end: () => Effect.void,
      clientIds: Effect.sync(() => new Set(byId.keys())),
      initialMessage: Effect.succeedNone,
      supportsAck: true,
      supportsTransferables: false,
      supportsSpanPropagation: true,
      supportsNotifications: true,
      codecFor: serialization.codecFor,
    };
  }));

/** Calls of the runner whose address `ShardingConfig` has, over the connection of a namespace. */
export const layer = (
  options: RunnerProtocolOptions = {},
): Layer.Layer<
  RpcServer.Protocol,
  InvalidInput,
  Connection | Log | RpcSerialization | ShardingConfig
> =>
  Layer.effect(
    RpcServer.Protocol,
    Effect.gen(function* () {
      const { layout } = yield* Log;
      const { runnerAddress } = yield* ShardingConfig;
      if (Option.isNone(runnerAddress)) {
        const rule = "a process that runs entities has one; use layerClient for one that does not";
        return yield* new InvalidInput({ what: "runner address", value: "none", rule });
      }
      return yield* makeProtocol(layout.namespace, runnerAddress.value, options);
    }),
  );
