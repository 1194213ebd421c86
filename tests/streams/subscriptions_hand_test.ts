/** What one reader of a subscription has in hand, and what it leaves to others. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import { make } from "../../streams/subscriptions/hand.ts";
import type { Delivery } from "../../streams/subscriptions/outlet.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";

it("what came along waits for no longer than one record may take, however many go before", () =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(
    Effect.gen(function* () {
      const hand = yield* make;
      const back: Array<number> = [];
      const deliveryOf = (sequence: number) =>
        ({ acknowledge: () => {}, working: () => {}, giveBack: () => back.push(sequence) }) as
          & Partial<Delivery>
          & object as Delivery;
      for (const sequence of [1, 2, 3]) hand.take(deliveryOf(sequence));
      for (let handled = 0; handled < 2; handled++) {
        yield* hand.next;
        yield* Effect.sleep(300);
        assert.deepEqual(back, handled === 0 ? [] : [3]);
        yield* hand.finish;
      }
    }).pipe(Effect.scoped),
  ));
