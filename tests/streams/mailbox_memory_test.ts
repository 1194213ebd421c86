import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as TestClock from "effect/testing/TestClock";
import { Namespace } from "../../schema/ids.ts";
import { layerMemory as layerHandOver } from "../../streams/hand_over.ts";
import { layerMemory as layerLog } from "../../streams/log_memory.ts";
import { ackWaitMs, type Delivery, workingEveryMs } from "../../streams/mailbox.ts";
import { layerMemory } from "../../streams/mailbox/memory.ts";
import * as Sessions from "../../streams/session.ts";
import { handOverSuite } from "../conformance/hand_over_suite.ts";
import {
  attend,
  declines,
  keeps,
  mailboxSuite,
  post,
  uniqueActor,
} from "../conformance/mailbox_suite.ts";
import { sessionSuite } from "../conformance/session_suite.ts";
import type { Run } from "../conformance/subject_matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 2, parts: 4 };
const layer = Layer.mergeAll(layerMemory, Sessions.layer, layerHandOver).pipe(
  Layer.provideMerge(layerLog({ layout })),
);

type Services = Layer.Success<typeof layer>;
const run: Run<Services> = (effect) => Effect.runPromise(Effect.provide(effect, layer));

mailboxSuite("memory", run);
sessionSuite("memory", run);
handOverSuite("memory", run);

/** Under a clock that only the test moves. */
const timed = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
  it(title, () =>
    Effect.runPromise(
      Effect.asVoid(effect).pipe(Effect.provide(layer), Effect.provide(TestClock.layer())),
    ));

timed(
  "memory: a message that its worker is silent about is offered again after the wait, and no other",
  Effect.scoped(Effect.gen(function* () {
    const actor = uniqueActor();
    const worker = yield* attend(actor, keeps);
    const slow = yield* post(actor, "slow");
    yield* post(actor, "silent");
    yield* TestClock.adjust(0);
    const offers = (name: string) =>
      worker.offered.filter(({ execution }) => execution.endsWith(name)).length;
    const say = (delivery: Delivery | undefined) => delivery!.working();
    for (let ms = workingEveryMs; ms < ackWaitMs; ms += workingEveryMs) {
      yield* TestClock.adjust(workingEveryMs);
      say(worker.offered.find(({ address }) => address.label === slow.address.label));
    }
    assert.deepEqual([offers("slow"), offers("silent")], [1, 1]);
    yield* TestClock.adjust(ackWaitMs % workingEveryMs);
    assert.deepEqual([offers("slow"), offers("silent")], [1, 2]);
    yield* TestClock.adjust(ackWaitMs);
    assert.deepEqual([offers("slow"), offers("silent")], [2, 3]);
  })),
);

timed(
  "memory: what everyone has declined is offered again before long",
  Effect.scoped(Effect.gen(function* () {
    const actor = uniqueActor();
    const worker = yield* attend(actor, declines);
    yield* post(actor, "o-1");
    yield* TestClock.adjust(0);
    assert.equal(worker.offered.length, 1);
    yield* TestClock.adjust("2 seconds");
    assert.ok(worker.offered.length > 1);
  })),
);

timed(
  "memory: a message that its worker acknowledges late, after another got it, is not offered again",
  Effect.scoped(Effect.gen(function* () {
    const actor = uniqueActor();
    const worker = yield* attend(actor, keeps);
    yield* post(actor, "o-1");
    yield* TestClock.adjust(ackWaitMs);
    assert.equal(worker.offered.length, 2);
    worker.offered[0]!.ack();
    yield* TestClock.adjust(ackWaitMs * 3);
    assert.equal(worker.offered.length, 2);
  })),
);
