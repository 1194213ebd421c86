import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { unlocked, unpinned } from "../../scripts/gate/dependencies.ts";

describe("what others wrote", () => {
  it("is refused that may change, or comes from elsewhere", () => {
    const pinned = { a: "npm:a@1.2.3", "@b/c": "npm:@b/c@1.2.3", own: "./mod.ts" };
    assert.deepEqual(unpinned(pinned), []);
    for (const target of ["npm:a@^1.2.3", "npm:a", "jsr:@a/a@1.2.3", "https://a.example/mod.ts"]) {
      assert.equal(unpinned({ ...pinned, a: target }).length, 1, target);
    }
  });

  it("is refused without a checksum, with scripts, or of another registry", () => {
    const integrity = "sha512-AAAA";
    const lock = { specifiers: {}, npm: { "a@1.2.3": { integrity } } };
    assert.deepEqual(unlocked(lock), []);
    assert.equal(unlocked({ ...lock, npm: { "a@1.2.3": {} } }).length, 1);
    const weak = { integrity: "sha1-AAAA" };
    assert.equal(unlocked({ ...lock, npm: { "a@1.2.3": weak } }).length, 1);
    const noisy = { integrity, scripts: true };
    assert.equal(unlocked({ ...lock, npm: { "a@1.2.3": noisy } }).length, 1);
    assert.equal(unlocked({ ...lock, jsr: {} }).length, 1);
    assert.equal(unlocked({ ...lock, remote: {} }).length, 1);
  });
});
