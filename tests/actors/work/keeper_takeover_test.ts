/** Who keeps a queue is taken over as often as its workers die. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { Executions } from "../../../actors/executions.ts";
import { ActorName, Tenant } from "../../../schema/ids.ts";
import { onMortals } from "../../fixtures/mortals.ts";

const acme = Tenant.make("acme");
const job = ActorName.make("job");
const actors: ReadonlyArray<ActorCode> = [{ name: job, run: () => Effect.succeed("ran") }];
const queue = { name: "q" };

it("a queue is kept on, however many workers in a row died that kept it", async () => {
  const maxReclaims = 2;
  const { result, stuck } = await onMortals((hire) =>
    Effect.gen(function* () {
      const executions = yield* Executions;
      const ran: Array<unknown> = [];
      for (let i = 0; i < 3 * maxReclaims; i++) {
        const worker = yield* hire(`w-${i}`, { actors, queues: true, maxReclaims });
        yield* Effect.sleep("10 minutes");
        const of = yield* executions.start(job, acme, undefined, { id: `j-${i}`, queue });
        ran.push(yield* Effect.timeout(executions.result(of), "30 minutes"));
        if (i + 1 < 3 * maxReclaims) worker.kill();
      }
      return ran;
    })
  );
  assert.deepEqual(result, Array.from({ length: 3 * maxReclaims }, () => "ran"));
  assert.deepEqual(stuck, []);
});
