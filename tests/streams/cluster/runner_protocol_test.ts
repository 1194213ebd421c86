/** The transport between runners, by the suite that Effect's own over sockets passes. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import * as NodeClusterSocket from "@effect/platform-node-shared/NodeClusterSocket";
import { RunnerAddress } from "effect/cluster/RunnerAddress";
import { RpcClientProtocol } from "effect/cluster/Runners";
import * as ShardingConfig from "effect/cluster/ShardingConfig";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Rpc from "effect/rpc/Rpc";
import * as RpcClient from "effect/rpc/RpcClient";
import * as RpcGroup from "effect/rpc/RpcGroup";
import * as RpcSerialization from "effect/rpc/RpcSerialization";
import * as RpcServer from "effect/rpc/RpcServer";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { Namespace } from "../../../schema/ids.ts";
import {
  newReplySubject,
  type RunnerProtocolOptions,
  runnerSubject,
} from "../../../streams/cluster/runner_channel.ts";
import * as RunnerClient from "../../../streams/cluster/runner_client.ts";
import * as RunnerServer from "../../../streams/cluster/runner_server.ts";
import * as Connection from "../../../streams/connection.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import * as ports from "../../../streams/server/port.ts";
import { runnerProtocolSuite, RunnerTransport } from "../../../testing/suites/runner_protocol.ts";
import { type Proxy, startProxy } from "../../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../../fixtures/server.ts";

/** A transport of two layers: one calls, and one serves the address that the configuration has. */
const transport = <E1, E2, R>(
  layerClient: Layer.Layer<RpcClientProtocol, E1, R>,
  layerServer: Layer.Layer<RpcServer.Protocol, E2, R | ShardingConfig.ShardingConfig>,
  newAddress: Effect.Effect<RunnerAddress>,
): Layer.Layer<RunnerTransport, E1, R> =>
  Layer.effect(
    RunnerTransport,
    Effect.gen(function* () {
      const context = yield* Effect.context<R>();
      return RunnerTransport.of({
        client: yield* RpcClientProtocol,
        newAddress,
        serve: (address) =>
          Effect.flatMap(Effect.scope, (scope) =>
            layerServer.pipe(
              Layer.provide(ShardingConfig.layer({ runnerAddress: Option.some(address) })),
              Layer.fresh,
              Layer.buildWithScope(scope),
              Effect.map(Context.get(RpcServer.Protocol)),
              Effect.provideContext(context),
            )),
      });
    }),
  ).pipe(Layer.provide(layerClient));

describe("Effect's own transport, over sockets", () => {
  const newAddress = Effect.map(
    ports.free(),
    (port) => new RunnerAddress({ host: "127.0.0.1", port }),
  );
  runnerProtocolSuite("sockets", () =>
    transport(
      NodeClusterSocket.layerClientProtocol,
      RpcServer.layerProtocolSocketServer.pipe(Layer.provide(NodeClusterSocket.layerSocketServer)),
      newAddress,
    ).pipe(Layer.provide(RpcSerialization.layerNdjson)), { it });
});

describe("the transport over NATS", () => {
  const namespace = Namespace.make("protocol");
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const newAddress = Effect.sync(() => new RunnerAddress({ host: randomUUID(), port: 1 }));

  const layerNats = (url: string) =>
    Layer.mergeAll(
      Connection.layer({ servers: url }),
      layerMemory({ layout: { namespace: namespace, shards: 1, parts: 1 } }),
      RpcSerialization.layerJson,
    );

  runnerProtocolSuite(
    "NATS",
    () =>
      transport(RunnerClient.layer(), RunnerServer.layer(), newAddress).pipe(
        Layer.provide(layerNats(server.url)),
      ),
    { it },
  );

  /** Calls that wait for ever, in a process that says when, and others that are answered. */
  class Calls extends RpcGroup.make(
    Rpc.make("Echo", { payload: { text: Schema.String }, success: Schema.String }),
    Rpc.make("Wait"),
    Rpc.make("Endless", { success: Schema.Int, stream: true }),
  ) {}

  const runner = Effect.fnUntraced(function* (address: RunnerAddress) {
    const { serve } = yield* RunnerTransport;
    const protocol = yield* serve(address);
    const deeds = {
      waiting: 0,
      interrupted: 0,
      callers: () => Effect.runSync(protocol.clientIds).size,
    };
    const interrupted = () => Effect.sync(() => void deeds.interrupted++);
    yield* RpcServer.make(Calls, { disableTracing: true }).pipe(
      Effect.provide(Calls.toLayer({
        Echo: ({ text }) => Effect.succeed(text),
        Wait: () =>
          Effect.sync(() => void deeds.waiting++).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(interrupted),
          ),
        Endless: () => Stream.onExit(Stream.forever(Stream.succeed(1)), interrupted),
      })),
      Effect.provideService(RpcServer.Protocol, protocol),
      Effect.forkScoped,
    );
    return deeds;
  });

  const caller = Effect.fnUntraced(function* (address: RunnerAddress) {
    const { client } = yield* RunnerTransport;
    const calls = RpcClient.make(Calls, { disableTracing: true });
    return yield* Effect.provideService(calls, RpcClient.Protocol, yield* client.make(address));
  });

  const until = (what: string, holds: () => boolean) =>
    Effect.promise(() => eventually(what, () => holds() || undefined, 30_000));

  /** Runners with a connection of the test's own beside them. */
  const test = (
    title: string,
    run: (raw: NatsConnection) => Effect.Effect<
      unknown,
      unknown,
      RunnerTransport | Scope.Scope
    >,
    { url = () => server.url, options }: {
      readonly url?: () => string;
      readonly options?: RunnerProtocolOptions;
    } = {},
  ) =>
    it(title, async () => {
      const raw = await connect({ servers: server.url });
      try {
        await Effect.runPromise(
          Effect.scoped(run(raw)).pipe(
            Effect.provide(
              transport(RunnerClient.layer(options), RunnerServer.layer(options), newAddress).pipe(
                Layer.provide(layerNats(url())),
              ),
            ),
          ),
        );
      } finally {
        await raw.close();
      }
    });

  const subjectOf = (address: RunnerAddress) => runnerSubject(namespace, address);

  const quick: RunnerProtocolOptions = { heartbeat: "500 millis" };

  /** A message in one frame of that number. */
  const frame = (number: number, message: unknown) =>
    Uint8Array.of(0, 0, 0, 0, number, ...new TextEncoder().encode(JSON.stringify(message)));

  const request = (tag: string) => ({ _tag: "Request", id: "1", tag, payload: null, headers: [] });

  const failure = (exit: Exit.Exit<unknown, unknown>) =>
    Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "no failure";

  test("an address at which there is a runner is refused to another, until it is free", () =>
    Effect.gen(function* () {
      const { newAddress, serve } = yield* RunnerTransport;
      const address = yield* newAddress;
      yield* Effect.scoped(Effect.gen(function* () {
        yield* serve(address);
        const exit = yield* Effect.exit(Effect.scoped(serve(address)));
        assert.match(failure(exit), /another process .* has it; give each its own/);
      }));
      yield* serve(address);
    }));

  test("a frame that is missing ends what both sides have under way, and nothing else", (raw) =>
    Effect.gen(function* () {
      const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
      const deeds = yield* runner(address);
      const calls = yield* caller(address);
      let inbox = "";
      raw.subscribe(subjectOf(address), { callback: (_, { reply = "" }) => void (inbox = reply) });
      yield* Effect.promise(() => raw.flush());
      const call = yield* Effect.forkScoped(calls.Wait());
      yield* until("it waits", () => deeds.waiting === 1 && inbox !== "");
      raw.publish(inbox, frame(7, []));
      const exit = yield* Effect.timeout(Fiber.await(call), "30 seconds");
      assert.match(failure(exit), /RpcClientError/);
      yield* until("it is interrupted", () => deeds.interrupted === 1);
      assert.equal(yield* calls.Echo({ text: "after" }), "after");
    }));

  test("what speaks of nothing that a runner knows is told so, and does no harm", (raw) =>
    Effect.gen(function* () {
      const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
      const deeds = yield* runner(address);
      const answers: Array<number | undefined> = [];
      const stranger = newReplySubject(namespace);
      raw.subscribe(stranger, { callback: (_, { data }) => void answers.push(data[0]) });
      const say = (data: Uint8Array, reply?: string) =>
        raw.publish(subjectOf(address), data, reply === undefined ? {} : { reply });
      say(new Uint8Array());
      say(Uint8Array.of(99));
      say(frame(1, request("Wait")));
      say(frame(1, request("Wait")), "elsewhere");
      say(frame(2, request("Wait")), stranger);
      say(Uint8Array.of(99), stranger);
      say(frame(1, null), stranger);
      const lost = 4;
      yield* until("it is told", () => answers.length === 3);
      assert.deepEqual([answers, deeds.waiting], [[lost, lost, lost], 0]);
      assert.equal(yield* (yield* caller(address)).Echo({ text: "after" }), "after");
    }));

  test(
    "who has died is noticed when he is sent something, and not only by his silence",
    (raw) =>
      Effect.gen(function* () {
        const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
        const deeds = yield* runner(address);
        raw.publish(subjectOf(address), frame(1, request("Endless")), {
          reply: newReplySubject(namespace),
        });
        yield* until("it is interrupted", () => deeds.interrupted === 1);
      }),
    { options: { heartbeat: "1 hour" } },
  );

  test(
    "the calls of a process that died, or that is silent, are interrupted",
    (raw) =>
      Effect.gen(function* () {
        const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
        const deeds = yield* runner(address);
        for (const [i, isThere] of [true, false].entries()) {
          const inbox = newReplySubject(namespace);
          if (isThere) raw.subscribe(inbox, { callback: () => {} });
          raw.publish(subjectOf(address), frame(1, request("Wait")), { reply: inbox });
          yield* until("it is interrupted", () => deeds.interrupted === i + 1);
        }
        assert.equal(deeds.waiting, 2);
      }),
    { options: quick },
  );

  test(
    "a call to a runner that is silent fails, and one to a runner that takes its time does not",
    (raw) =>
      Effect.gen(function* () {
        const { newAddress } = yield* RunnerTransport;
        const [silent, slow] = [yield* newAddress, yield* newAddress];
        const deeds = yield* runner(slow);
        let signs = 0;
        raw.subscribe(subjectOf(slow), {
          callback: (_, { data }) => {
            if (data[0] === 2 || data[0] === 3) signs++;
          },
        });
        raw.subscribe(subjectOf(silent), { callback: () => {} });
        yield* Effect.promise(() => raw.flush());
        const call = yield* Effect.forkScoped((yield* caller(slow)).Wait());
        const exit = yield* Effect.exit((yield* caller(silent)).Wait());
        assert.match(failure(exit), /no sign of life/);
        yield* until("it gives signs for longer than a silent one is waited for", () => signs > 3);
        assert.equal(call.pollUnsafe(), undefined);
        assert.equal(deeds.interrupted, 0);
      }),
    { options: quick },
  );

  test(
    "a channel that nobody uses is closed on both sides, and another is opened for the next call",
    (raw) =>
      Effect.gen(function* () {
        const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
        const deeds = yield* runner(address);
        const calls = yield* caller(address);
        const kinds: Array<number | undefined> = [];
        raw.subscribe(subjectOf(address), { callback: (_, { data }) => void kinds.push(data[0]) });
        yield* Effect.promise(() => raw.flush());
        const [message, close] = [0, 5];
        for (let i = 1; i <= 2; i++) {
          assert.equal(yield* calls.Echo({ text: "hello" }), "hello");
          const closed = () => kinds.filter((kind) => kind === close).length === i;
          yield* until("it is closed", () => closed() && deeds.callers() === 0);
        }
        assert.deepEqual(
          kinds.filter((kind) => kind === message || kind === close),
          [message, close, message, close],
        );
      }),
    { options: quick },
  );

  test(
    "what is too large is refused with an error that says what to do, and nothing else fails",
    () =>
      Effect.gen(function* () {
        const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
        yield* runner(address);
        const calls = yield* caller(address);
        const exit = yield* Effect.exit(calls.Echo({ text: "x".repeat(2_000) }));
        assert.match(failure(exit), /PayloadTooLarge.*limit of 2000.*raise maxPayloadBytes/);
        assert.equal(yield* calls.Echo({ text: "after" }), "after");
      }),
    { options: { maxPayloadBytes: 2_000 } },
  );

  describe("behind a proxy", () => {
    let proxy: Proxy;
    before(async () => {
      proxy = await startProxy(server.port);
    });
    after(() => proxy.stop());

    test(
      "calls that are under way when the connection breaks fail, and later ones are answered",
      () =>
        Effect.gen(function* () {
          const address = yield* Effect.flatMap(RunnerTransport, ({ newAddress }) => newAddress);
          const deeds = yield* runner(address);
          const calls = yield* caller(address);
          const call = yield* Effect.forkScoped(calls.Wait());
          yield* until("it waits", () => deeds.waiting === 1);
          proxy.isShut = true;
          proxy.cut();
          assert.match(failure(yield* Fiber.await(call)), /RpcClientError/);
          yield* until("it is interrupted", () => deeds.interrupted === 1);
          assert.match(failure(yield* Effect.exit(calls.Wait())), /no connection/);
          proxy.isShut = false;
          const answer = yield* calls.Echo({ text: "after" }).pipe(
            Effect.retry({ schedule: Schedule.spaced("20 millis") }),
            Effect.timeout("30 seconds"),
          );
          assert.equal(answer, "after");
        }),
      { url: () => proxy.url },
    );
  });

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
