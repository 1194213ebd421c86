/** What is asked of a transport between the runners of `effect/cluster`, whoever implements it. */
import assert from "node:assert/strict";
import type { RunnerAddress } from "effect/cluster/RunnerAddress";
import type { RpcClientProtocol } from "effect/cluster/Runners";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import type * as Layer from "effect/Layer";
import * as Rpc from "effect/rpc/Rpc";
import * as RpcClient from "effect/rpc/RpcClient";
import * as RpcGroup from "effect/rpc/RpcGroup";
import * as RpcServer from "effect/rpc/RpcServer";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { cases, type SuiteOptions } from "./suite.ts";

/** A transport as the suite tries it, with runners that it starts and stops. */
export class RunnerTransport extends Context.Service<RunnerTransport, {
  readonly client: RpcClientProtocol["Service"];
  /** An address at which nobody is. */
  readonly newAddress: Effect.Effect<RunnerAddress, unknown>;
  /** Hears at an address while the scope is open. */
  readonly serve: (
    address: RunnerAddress,
  ) => Effect.Effect<RpcServer.Protocol["Service"], unknown, Scope.Scope>;
}>()("@weir/weir/testing/RunnerTransport") {}

class Declined extends Schema.TaggedError<Declined>()("Declined", { code: Schema.Int }) {}

class Calls extends RpcGroup.make(
  Rpc.make("Echo", { payload: { text: Schema.String }, success: Schema.String }),
  Rpc.make("Decline", { payload: { code: Schema.Int }, error: Declined }),
  Rpc.make("Break"),
  Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true }),
  Rpc.make("Wait"),
) {}

type CallsClient = RpcClient.FromGroup<typeof Calls, unknown>;

/** What a runner did. */
class Deeds {
  counted = 0;
  waiting = 0;
  interrupted = 0;
}

const deadline = "30 seconds";

const until = (what: string, holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOrElse({ duration: deadline, orElse: () => Effect.die(new Error(what)) }),
  );

const handlers = (deeds: Deeds) =>
  Calls.toLayer({
    Echo: ({ text }) => Effect.succeed(text),
    Decline: ({ code }) => Effect.fail(new Declined({ code })),
    Break: () => Effect.die(new Error("broken")),
    Count: ({ to }) =>
      Stream.range(1, to).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => void deeds.counted++)),
      ),
    Wait: () =>
      Effect.sync(() => void deeds.waiting++).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Effect.sync(() => void deeds.interrupted++)),
      ),
  });

/** A runner that is at the address until the scope ends, and then is gone without a word. */
const runner = Effect.fnUntraced(function* (address: RunnerAddress, deeds = new Deeds()) {
  const { serve } = yield* RunnerTransport;
  const scope = yield* Scope.fork(yield* Effect.scope);
  const protocol = yield* Effect.orDie(Scope.provide(serve(address), scope));
  yield* RpcServer.make(Calls, { disableTracing: true, disableFatalDefects: true }).pipe(
    Effect.provide(handlers(deeds)),
    Effect.provideService(RpcServer.Protocol, protocol),
    Effect.forkScoped,
  );
  return { deeds, stop: Scope.close(scope, Exit.void) };
});

const caller = Effect.fnUntraced(function* (address: RunnerAddress) {
  const { client } = yield* RunnerTransport;
  const protocol = yield* client.make(address);
  const calls: CallsClient = yield* RpcClient.make(Calls, { disableTracing: true }).pipe(
    Effect.provideService(RpcClient.Protocol, protocol),
  );
  return calls;
});

const pair = Effect.gen(function* () {
  const { newAddress } = yield* RunnerTransport;
  const address = yield* newAddress;
  const running = yield* runner(address);
  return { address, ...running, calls: yield* caller(address) };
});

const isClientError = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) &&
  (Cause.squash(exit.cause) as { readonly _tag?: string })._tag === "RpcClientError";

export const runnerProtocolSuite = (
  name: string,
  makeLayer: () => Layer.Layer<RunnerTransport, unknown>,
  options: SuiteOptions,
): void => {
  const testCase = cases<RunnerTransport>(name, makeLayer, options);
  const test = (
    title: string,
    effect: Effect.Effect<unknown, unknown, RunnerTransport | Scope.Scope>,
  ) => testCase(title, Effect.timeout(Effect.scoped(effect), deadline));

  test(
    "a call is answered with the result, the typed error, or the defect of its handler",
    Effect.gen(function* () {
      const { calls } = yield* pair;
      for (const text of ["one", "", "zwei 🎉", "\n"]) {
        assert.equal(yield* calls.Echo({ text }), text);
      }
      const declined = yield* Effect.flip(calls.Decline({ code: 7 }));
      assert.deepEqual(declined, new Declined({ code: 7 }));
      const broken = yield* Effect.exit(calls.Break());
      assert.match(String(Exit.isFailure(broken) && Cause.squash(broken.cause)), /broken/);
      assert.equal(yield* calls.Echo({ text: "after" }), "after");
    }),
  );

  test(
    "calls that are made at once are each given their own answer",
    Effect.gen(function* () {
      const { calls, address } = yield* pair;
      const other = yield* caller(address);
      const texts = Array.from({ length: 500 }, (_, i) => `text ${i}`);
      const answers = yield* Effect.forEach(
        texts,
        (text, i) => (i % 2 === 0 ? calls : other).Echo({ text }),
        { concurrency: "unbounded" },
      );
      assert.deepEqual(answers, texts);
    }),
  );

  test(
    "a stream arrives whole and in order",
    Effect.gen(function* () {
      const { calls } = yield* pair;
      const streams = yield* Effect.forEach(
        [0, 1, 100, 257],
        (to) => Stream.runCollect(calls.Count({ to })),
        { concurrency: "unbounded" },
      );
      assert.deepEqual(
        streams,
        [0, 1, 100, 257].map((to) => Array.from({ length: to }, (_, i) => i + 1)),
      );
    }),
  );

  test(
    "a stream runs no further ahead of its reader than their buffers",
    Effect.gen(function* () {
      const { calls, deeds, address } = yield* pair;
      const other = yield* caller(address);
      const taken = yield* Deferred.make<void>();
      const goOn = yield* Deferred.make<void>();
      const reader = yield* calls.Count({ to: 1_000 }).pipe(
        Stream.tap((n) =>
          n === 1
            ? Effect.andThen(Deferred.succeed(taken, undefined), Deferred.await(goOn))
            : Effect.void
        ),
        Stream.runCount,
        Effect.forkScoped,
      );
      yield* Deferred.await(taken);
      // Other calls are answered meanwhile, and have the time that the stream would need.
      for (let i = 0; i < 50; i++) yield* other.Echo({ text: "x".repeat(1_000) });
      assert.ok(deeds.counted < 100, `${deeds.counted}`);
      yield* Deferred.succeed(goOn, undefined);
      assert.equal(yield* Fiber.join(reader), 1_000);
    }),
  );

  test(
    "a message of several megabytes arrives, there and back, and in between small ones",
    Effect.gen(function* () {
      const { calls } = yield* pair;
      const texts = ["ö".repeat(2_000_000), "small", "x".repeat(1_048_576), "y".repeat(3_000_000)];
      const answers = yield* Effect.forEach(texts, (text) => calls.Echo({ text }), {
        concurrency: "unbounded",
      });
      assert.ok(answers.every((answer, i) => answer === texts[i]));
    }),
  );

  test(
    "a call that is interrupted is interrupted where it runs",
    Effect.gen(function* () {
      const { calls, deeds } = yield* pair;
      const call = yield* Effect.forkScoped(calls.Wait());
      yield* until("it waits", () => deeds.waiting === 1);
      yield* Fiber.interrupt(call);
      yield* until("it is interrupted", () => deeds.interrupted === 1);
      assert.equal(yield* calls.Echo({ text: "after" }), "after");
    }),
  );

  test(
    "the calls of a caller that goes are interrupted, and no others",
    Effect.gen(function* () {
      const { calls, deeds, address } = yield* pair;
      yield* Effect.forkScoped(calls.Wait());
      yield* until("one waits", () => deeds.waiting === 1);
      yield* Effect.scoped(Effect.gen(function* () {
        const other = yield* caller(address);
        yield* Effect.forkScoped(other.Wait());
        yield* Effect.forkScoped(Stream.runDrain(other.Count({ to: 3 })));
        yield* until("both wait", () => deeds.waiting === 2);
      }));
      yield* until("the other is interrupted", () => deeds.interrupted === 1);
      assert.equal(yield* calls.Echo({ text: "after" }), "after");
      assert.equal(deeds.interrupted, 1);
    }),
  );

  test(
    "a call to nobody fails, and so does each that is under way when its runner goes",
    Effect.gen(function* () {
      const { newAddress } = yield* RunnerTransport;
      const nobody = yield* caller(yield* newAddress);
      assert.ok(isClientError(yield* Effect.exit(nobody.Echo({ text: "hello?" }))));

      const { calls, deeds, stop } = yield* pair;
      const call = yield* Effect.forkScoped(calls.Wait());
      const stream = yield* Effect.forkScoped(
        Stream.runDrain(Stream.concat(calls.Count({ to: 3 }), Stream.fromEffect(calls.Wait()))),
      );
      yield* until("both wait", () => deeds.waiting === 2);
      yield* stop;
      assert.ok(isClientError(yield* Fiber.await(call)));
      assert.ok(isClientError(yield* Fiber.await(stream)));
      assert.ok(isClientError(yield* Effect.exit(calls.Echo({ text: "hello?" }))));
    }),
  );

  test(
    "a runner that is back at its address is called again by who called it before",
    Effect.gen(function* () {
      const { calls, address, stop } = yield* pair;
      assert.equal(yield* calls.Echo({ text: "before" }), "before");
      yield* stop;
      assert.ok(isClientError(yield* Effect.exit(calls.Echo({ text: "hello?" }))));
      yield* runner(address);
      const answer = yield* calls.Echo({ text: "after" }).pipe(
        Effect.retry({ schedule: Schedule.spaced("50 millis") }),
        Effect.timeout(deadline),
      );
      assert.equal(answer, "after");
    }),
  );
};
