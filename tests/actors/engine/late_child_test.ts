import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, ExecutionId, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");
const execution = ExecutionId.make("child/c-1");

const actors: ReadonlyArray<ActorCode> = [
  { name: child, run: () => Effect.succeed("grown") },
  {
    name: parent,
    run: (weir) =>
      Effect.asVoid(
        weir.spawn("child", {
          actor: child,
          tenant: acme,
          input: undefined,
          execution,
          onParentEnd: "abandon",
        }),
      ),
  },
];

it("an execution does not end before the children that it leaves behind are started", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const log = yield* Log;
      const order: Array<string> = [];
      /** The child's start takes its time. */
      const slow: Log["Service"] = {
        ...log,
        append: (to, message) => {
          if (message.kind === "done" && to.label !== execution) order.push("ends");
          if (to.label !== execution || message.kind !== "mail") return log.append(to, message);
          return Effect.sleep(50).pipe(
            Effect.andThen(log.append(to, message)),
            Effect.tap(() => Effect.sync(() => order.push("started"))),
          );
        },
      };
      yield* makeWorker({ actors, identity: WorkerInstanceId.make("w1") }).pipe(
        Effect.provideService(Log, slow),
      );
      const executions = yield* Executions;
      yield* executions.result(yield* executions.start(parent, acme, undefined));
      assert.deepEqual(order, ["started", "ends"]);
      assert.equal(yield* executions.result({ execution, tenant: acme }), "grown");
    }).pipe(Effect.scoped, Effect.provide(layerMemory())),
  ));
