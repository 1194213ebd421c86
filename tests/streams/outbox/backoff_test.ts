import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import { type Backoff, parseBackoff, pauseAfter } from "../../../streams/outbox/backoff.ts";

it("a pause doubles with each failure up to a limit, and chance takes up to half of it off", () => {
  const pauses = (backoff: Backoff) => Effect.runSync(parseBackoff(backoff));
  const backoff = pauses({ first: "1 second", max: "10 seconds" });
  assert.deepEqual(
    [1, 2, 3, 4, 5, 1_000].map((failures) => pauseAfter(backoff, failures, 0)),
    [1_000, 2_000, 4_000, 8_000, 10_000, 10_000],
  );
  assert.equal(pauseAfter(backoff, 3, 0.5), 3_000);
  assert.equal(pauseAfter(pauses({}), 1, 0), 1_000);
  assert.equal(pauseAfter(pauses({}), 1_000, 0), 300_000);
  assert.equal(pauseAfter(pauses({ first: 0 }), 2_000, 0), 0);
});
