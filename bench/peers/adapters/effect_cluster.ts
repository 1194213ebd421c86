/**
 * Effect's ClusterWorkflowEngine on PostgreSQL, with the runner that it has for a single process and
 * its own defaults. Its workflows are those of `bench/workflow`.
 */
import * as NodeCrypto from "@effect/platform-node-shared/NodeCrypto";
import * as PgClient from "@effect/sql-pg/PgClient";
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine";
import * as SingleRunner from "effect/cluster/SingleRunner";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Logger from "effect/Logger";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { randomUUID } from "node:crypto";
import pg from "pg";
import {
  activitiesPerformed,
  Go,
  layerWorkflows,
  Steps,
  Waiter,
} from "../../workflow/workflows.ts";
import type { Open } from "../peer.ts";

interface Settings {
  readonly connection: { readonly host: string; readonly user: string; readonly database: string };
}

const layerCluster = ({ host, user, database }: Settings["connection"]) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provide(SingleRunner.layer({ runnerStorage: "sql" })),
    Layer.provide(NodeCrypto.layerDigest),
    Layer.provide(PgClient.layer({ host, username: user, database })),
  );

/** An execution without steps that is given something to keep. */
const Keep = Workflow.make("Keep", {
  payload: { id: Schema.String, ballast: Schema.String },
  success: Schema.Int,
  idempotencyKey: ({ id }) => id,
});

const parked = (executionId: string) =>
  Waiter.poll(executionId).pipe(
    Effect.repeat({
      until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
      schedule: Schedule.spaced("20 millis"),
    }),
  );

export const open: Open<Settings> = async ({ connection }) => {
  const layer = Layer.mergeAll(layerWorkflows, Keep.toLayer(() => Effect.succeed(0))).pipe(
    Layer.provideMerge(layerCluster(connection)),
    Layer.provide(Layer.succeed(Logger.LogToStderr, true)),
  );
  const runtime = ManagedRuntime.make(layer);
  await runtime.context();
  const database = new pg.Client(connection);
  await database.connect();
  const run = <A, E>(effect: Effect.Effect<A, E, WorkflowEngine>) => runtime.runPromise(effect);
  return {
    steps: (count, ballast) => {
      const id = randomUUID();
      return run(ballast === "" ? Steps.execute({ id, count }) : Keep.execute({ id, ballast }));
    },
    wait: async (milestones) => {
      const payload = { id: randomUUID(), count: 0 };
      const executionId = await run(Waiter.execute(payload, { discard: true }));
      await run(parked(executionId));
      milestones.parked();
      const send = Effect.gen(function* () {
        const token = yield* DurableDeferred.tokenFromPayload(Go, { workflow: Waiter, payload });
        yield* DurableDeferred.succeed(Go, { token, value: undefined });
      });
      const result = run(Waiter.execute(payload)).then(({ doneAtMs }) => {
        milestones.resumed(doneAtMs);
        return 1;
      });
      return { send: () => run(send), result };
    },
    performed: activitiesPerformed,
    completed: async () => {
      const { rows } = await database.query<{ count: string }>(
        `select count(*) from cluster_messages
         where entity_type like 'Workflow/%' and tag = 'run' and kind = 0 and processed`,
      );
      return Number(rows[0]!.count);
    },
    close: async () => {
      await database.end();
      await runtime.dispose();
    },
  };
};
