/** What anybody may write into a mailbox, on a real server: it is passed over and holds nothing up. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { headers } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as References from "effect/References";
import { layer } from "../../actors/layer.ts";
import { signal as signalOf } from "../../actors/signal.ts";
import { ExecutionId } from "../../schema/ids.ts";
import { Connection } from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { mailboxSources } from "../../streams/mailbox_consumers.ts";
import { executionAddress, subjectOf } from "../../streams/subjects.ts";
import {
  atOnce,
  resultOf,
  type Services,
  signal,
  Stage,
  until,
  untilStatus,
} from "../conformance/engine/stage.ts";
import { tenant } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const first = signalOf<string>("first");
const second = signalOf<string>("second");

const removed = headers();
removed.set("KV-Operation", "DEL");

const garbage: ReadonlyArray<readonly [string | Uint8Array, ReturnType<typeof headers>?]> = [
  [""],
  ["{"],
  ["null"],
  [new Uint8Array([0xff, 0xfe, 0])],
  [`{"v":1}`],
  [`{"v":1,"kind":"start"}`],
  [`{"v":1,"kind":"signal","life":"x"}`],
  [`{"v":1,"kind":"nonsense","life":1}`],
  [`{"v":1,"kind":"timer","key":"nobody's","due":0}`],
  [`{"v":1,"kind":"cancel","life":1}`],
  ["", removed],
];

describe("a mailbox that anybody writes to", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services | Connection, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      layer({ servers: server.url }).pipe(
        Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Error")),
      ),
    );
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });

  it("garbage before, during and after an execution neither ends nor blocks it, and is settled", () =>
    runtime.runPromise(Effect.scoped(Effect.gen(function* () {
      const { ask, jetStream, manager } = yield* Connection;
      const { layout } = yield* Log;
      const stage = new Stage();
      const order = stage.actor("order", async (ctx) => {
        await ctx.run("charge", () => 1);
        const one = await ctx.wait(first);
        const two = await ctx.wait(second);
        return `${one} ${two}`;
      });
      const address = executionAddress(layout, tenant, ExecutionId.make(`${order.name}/o-1`));
      const litter = Effect.forEach(
        garbage,
        ([body, headers]) =>
          Effect.promise(() =>
            jetStream.publish(
              subjectOf(address, "mail"),
              body,
              headers === undefined ? {} : { headers },
            )
          ),
      );
      yield* stage.work([order], { residentGrace: atOnce });
      yield* litter;
      const started = yield* stage.start(order, undefined, { id: "o-1" });
      assert.equal(started.created, true);
      yield* litter;
      yield* untilStatus(started, "suspended");
      yield* litter;
      yield* signal(started, "first", "one");
      yield* litter;
      yield* signal(started, "second", "two");
      assert.equal(yield* resultOf(started), "one two");
      yield* litter;
      const sources = mailboxSources(layout, order.name as never);
      yield* until(
        "all of it is settled",
        Effect.map(
          Effect.forEach(
            sources,
            ({ stream, consumer }) =>
              ask(`look up ${consumer}`, () => manager.consumers.info(stream, consumer)),
          ),
          (infos) => infos.every((info) => info.num_pending === 0 && info.num_ack_pending === 0),
        ),
      );
    }))));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
