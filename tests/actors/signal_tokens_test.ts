import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Executions, layer as layerExecutions } from "../../actors/executions.ts";
import { layerMemory } from "../../actors/layer.ts";
import { SignalTokens, TokenKeys, type TokenScope } from "../../actors/signal_tokens.ts";
import { ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";

const keyOf = (id: string) => ({ id, secret: id.padEnd(40, "x") });
const space = Namespace.make("memory");
const scope: TokenScope = {
  tenant: Tenant.make("acme"),
  execution: ExecutionId.make("order/o-1"),
  life: 1,
  signal: "approval",
  key: "weir.token/approval",
  expires: 1,
};

const run = Effect.runSync;

describe("tokens of signals", () => {
  it("stay what they were when the keys rotate, until theirs is dropped", () => {
    const before = new SignalTokens([keyOf("k1")], space);
    const token = run(before.make(scope, run(before.current)));
    const rotated = new SignalTokens([keyOf("k2"), keyOf("k1")], space);
    assert.equal(run(rotated.make(scope, "k1")), token);
    assert.equal(run(rotated.open(token)).execution, scope.execution);
    const dropped = new SignalTokens([keyOf("k2")], space);
    const anew = run(dropped.make(scope, "k1"));
    assert.match(anew, /^k2\./);
    assert.equal(run(Effect.flip(dropped.open(token)))._tag, "InvalidToken");
    assert.equal(run(dropped.open(anew)).id, run(rotated.open(token)).id);
  });

  it("of the longest names there can be are taken", () => {
    const tokens = new SignalTokens([keyOf("k")], space);
    const longest = {
      ...scope,
      tenant: Tenant.make("\u{1}".repeat(64)),
      execution: ExecutionId.make(`order/${"\u{1}".repeat(194)}`),
      signal: "\u{1}".repeat(128),
    };
    longest.key = `weir.token/${longest.signal}#1000`;
    const opened = run(tokens.open(run(tokens.make(longest, "k"))));
    assert.equal(opened.signal, longest.signal);
  });

  it("that are none are refused before the log is asked for anything", async () => {
    const asked: Array<string> = [];
    const test = Effect.gen(function* () {
      const log = yield* Log;
      const watched = new Proxy(log, {
        get: (target, name: keyof typeof log) => {
          const value = target[name];
          if (typeof value !== "function") return value;
          return (...args: ReadonlyArray<never>) => {
            asked.push(name);
            return (value as (...args: ReadonlyArray<never>) => unknown)(...args);
          };
        },
      });
      const { complete } = yield* Effect.provide(Executions, Layer.fresh(layerExecutions)).pipe(
        Effect.provideService(Log, watched),
        Effect.provideService(TokenKeys, [keyOf("k")]),
      );
      const other = new SignalTokens([keyOf("k")], Namespace.make("other"));
      asked.length = 0;
      for (const token of ["", "nonsense", run(other.make(scope, "k"))]) {
        const error = yield* Effect.flip(complete(token, { by: "eve" }));
        assert.equal(error._tag, "InvalidToken");
      }
      assert.deepEqual(asked, []);
      const own = new SignalTokens([keyOf("k")], space);
      const error = yield* Effect.flip(
        complete(run(own.make({ ...scope, expires: 9e15 }, "k")), 1),
      );
      assert.equal(error._tag, "InvalidToken");
      assert.ok(asked.length > 0, "of one that is, the log is asked");
    });
    await Effect.runPromise(test.pipe(Effect.scoped, Effect.provide(layerMemory())));
  });
});
