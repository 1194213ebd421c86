import assert from "node:assert/strict";
import { describe, it } from "node:test";

describe("the package", () => {
  for (const door of ["@weir/weir", "@weir/weir/schema", "@weir/weir/effect", "@weir/weir/http"]) {
    it(`opens by ${door}`, async () => {
      assert.notDeepEqual(Object.keys(await import(door)), []);
    });
  }

  for (const inside of ["internal/x", "schema/errors.js", "streams/log.js", "dist/mod.js"]) {
    it(`keeps ${inside} to itself`, async () => {
      await assert.rejects(import(`@weir/weir/${inside}`), (error: Error) => {
        assert.match(error.message, /not (defined by|exported|in import map)|[Uu]nknown export/);
        return true;
      });
    });
  }
});
