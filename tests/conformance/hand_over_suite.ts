/** The contract of `HandOver`: whom a wake-up reaches, and what its sender learns. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { type Answer, HandOver, type Wake } from "../../streams/hand_over.ts";
import { type Run, uniqueWorker } from "./subject_matter.ts";

export const handOverSuite = (name: string, run: Run<HandOver>): void => {
  const test = (
    title: string,
    effect: (handOver: HandOver["Service"]) => Effect.Effect<unknown, unknown, HandOver>,
  ) => it(title, () => run(Effect.asVoid(Effect.flatMap(HandOver, effect))));
  const wake: Wake = { shard: 1, tail: "0.order.acme.o-1", mail: 7 };

  describe(`${name}: hand-over`, () => {
    for (const answer of ["taken", "unknown"] as const) {
      test(`a worker that answers "${answer}" was reached`, (handOver) =>
        Effect.scoped(Effect.gen(function* () {
          const [worker, other] = [uniqueWorker(), uniqueWorker()];
          const seen: Array<Wake> = [];
          const see = (wake: Wake) =>
            Effect.sync((): Answer => {
              seen.push(wake);
              return answer;
            });
          yield* handOver.serve(worker, see);
          yield* handOver.serve(other, () => assert.fail("it was not for this one"));
          assert.equal(yield* handOver.send(worker, wake), answer);
          assert.deepEqual(seen, [wake]);
        })));
    }

    test("a worker that never was, or has gone, is absent", (handOver) =>
      Effect.gen(function* () {
        const worker = uniqueWorker();
        assert.equal(yield* handOver.send(worker, wake), "absent");
        yield* Effect.scoped(handOver.serve(worker, () => Effect.succeed("taken")));
        assert.equal(yield* handOver.send(worker, wake), "absent");
      }));
  });
};
