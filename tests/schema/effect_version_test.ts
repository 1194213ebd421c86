import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { effectRange, requireEffect } from "../../schema/effect_version.ts";

describe("the version of effect", () => {
  it("passes within the range that the package asks for", () => {
    for (const version of ["4.1.0", "4.1.12"]) requireEffect(version);
  });

  it("is refused outside it, with what is installed and what to install", () => {
    for (const version of ["3.22.4", "4.0.6", "4.2.0", "4.10.0", "4.1.0-beta.1", "14.1.0"]) {
      assert.throws(() => requireEffect(version), (error: Error) => {
        assert.ok(error.message.includes(`effect ${version} is installed`), error.message);
        assert.ok(error.message.includes(`npm install "effect@${effectRange}"`), error.message);
        return true;
      });
    }
  });
});
