import assert from "node:assert/strict";
import { it } from "node:test";
import { pauseAfter } from "../../../streams/outbox/backoff.ts";

it("a pause doubles with each failure up to a limit, and chance takes up to half of it off", () => {
  const backoff = { first: "1 second", max: "10 seconds" } as const;
  assert.deepEqual(
    [1, 2, 3, 4, 5, 1_000].map((failures) => pauseAfter(backoff, failures, 0)),
    [1_000, 2_000, 4_000, 8_000, 10_000, 10_000],
  );
  assert.equal(pauseAfter(backoff, 3, 0.5), 3_000);
  assert.equal(pauseAfter({}, 1, 0), 1_000);
  assert.equal(pauseAfter({}, 1_000, 0), 300_000);
});
