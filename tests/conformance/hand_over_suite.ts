/** The contract of `HandOver`: whom a delivery reaches, what its sender learns, and whose it is then. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import { type Answer, HandOver } from "../../streams/hand_over.ts";
import { type Delivery, Mailboxes } from "../../streams/mailbox.ts";
import {
  attend,
  eventually,
  keeps,
  post,
  type Services as MailServices,
  uniqueActor,
} from "./mailbox_suite.ts";
import { type Run, uniqueWorker } from "./subject_matter.ts";

export type Services = MailServices | HandOver;

/** A delivery, as the worker has it that was offered it. */
export const offered = Effect.gen(function* () {
  const actor = uniqueActor();
  const holder = yield* attend(actor, keeps);
  yield* post(actor, "o-1");
  yield* eventually("it is offered", () => holder.offered.length > 0);
  return { holder, delivery: holder.offered[0]! };
});

const whatItIs = ({ address, tenant, execution, actor, route, mail, offers, entry }: Delivery) => ({
  of: address.label,
  tenant,
  execution,
  actor,
  route,
  mail,
  offers,
  sequence: entry.sequence,
});

const fate = ({ entry }: Delivery) => Effect.flatMap(Mailboxes, ({ fate }) => fate(entry));

export const handOverSuite = (name: string, run: Run<Services>): void => {
  const test = (
    title: string,
    effect: (
      handOver: HandOver["Service"],
    ) => Effect.Effect<unknown, unknown, Services | Scope.Scope>,
  ) => it(title, () => run(Effect.asVoid(Effect.scoped(Effect.flatMap(HandOver, effect)))));

  /** Hands it to a worker that answers so, and says what that one has got. */
  const handed = Effect.fnUntraced(function* (delivery: Delivery, answer: Answer) {
    const handOver = yield* HandOver;
    const [worker, other] = [uniqueWorker(), uniqueWorker()];
    const got: Array<Delivery> = [];
    const see = (delivery: Delivery) =>
      Effect.sync((): Answer => {
        got.push(delivery);
        return answer;
      });
    yield* handOver.serve(worker, see);
    yield* handOver.serve(other, () => assert.fail("it was not for this one"));
    assert.equal(yield* handOver.send(worker, delivery), answer);
    assert.equal(got.length, 1);
    return got[0]!;
  });

  describe(`${name}: hand-over`, () => {
    for (const answer of ["taken", "unknown"] as const) {
      test(`a worker that answers "${answer}" has seen whose mail it is`, () =>
        Effect.gen(function* () {
          const { delivery } = yield* offered;
          const got = yield* handed(delivery, answer);
          assert.deepEqual(whatItIs(got), whatItIs(delivery));
        }));
    }

    test("what was taken is its new holder's to acknowledge", () =>
      Effect.gen(function* () {
        const { holder, delivery } = yield* offered;
        const got = yield* handed(delivery, "taken");
        delivery.handedOver();
        // Who had it first gives back what it has when it goes, and nothing else.
        if (delivery.reply !== undefined) yield* holder.leave;
        assert.notEqual(yield* fate(got), "acked");
        got.working();
        got.ack();
        const fateNow = fate(got).pipe(
          Effect.repeat({
            until: (fate) => fate === "acked",
            schedule: Schedule.spaced("20 millis"),
            times: 500,
          }),
        );
        assert.equal(yield* fateNow, "acked");
      }));

    test("what was taken comes again when its new holder asks for that", () =>
      Effect.gen(function* () {
        const { holder, delivery } = yield* offered;
        const got = yield* handed(delivery, "taken");
        delivery.handedOver();
        got.retry(0);
        yield* eventually("it is offered again", () => holder.offered.length > 1);
        assert.equal(holder.offered[1]!.offers, 2);
      }));

    test("a worker that never was, or has gone, is absent", (handOver) =>
      Effect.gen(function* () {
        const { delivery } = yield* offered;
        const worker = uniqueWorker();
        assert.equal(yield* handOver.send(worker, delivery), "absent");
        yield* Effect.scoped(handOver.serve(worker, () => Effect.succeed("taken")));
        assert.equal(yield* handOver.send(worker, delivery), "absent");
      }));
  });
};
