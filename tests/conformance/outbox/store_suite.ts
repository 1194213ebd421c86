/**
 * The contract of `OutboxStore` on whatever keeps the events. It takes a way to run an effect on an
 * empty store; locks of half a second are let lapse, and nothing else depends on time.
 */
import { describe } from "node:test";
import { claiming } from "./claiming.ts";
import { dying } from "./dying.ts";
import { inserting } from "./inserting.ts";
import { marking } from "./marking.ts";
import type { RunOnEmptyStore } from "./matter.ts";
import { ordering } from "./ordering.ts";

export const outboxStoreSuite = (name: string, run: RunOnEmptyStore): void => {
  describe(`${name}: outbox store`, () => {
    inserting(run);
    claiming(run);
    marking(run);
    dying(run);
    ordering(run);
  });
};
