import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { decodeToken, encodeToken } from "../../schema/token.ts";
import { text } from "./arbitraries.ts";

describe("subject tokens", () => {
  it("keep readable text as it is", () => {
    assert.equal(encodeToken("o-1_A"), "o-1_A");
  });

  it("escape every byte that a subject or a reader could mistake", () => {
    assert.equal(encodeToken("a.b*c>d e=f"), "a=2Eb=2Ac=3Ed=20e=3Df");
    assert.equal(encodeToken("!~'()%/$"), "=21=7E=27=28=29=25=2F=24");
    assert.equal(encodeToken("\u0000\n\u007f"), "=00=0A=7F");
    assert.equal(encodeToken("é🙂"), "=C3=A9=F0=9F=99=82");
  });

  it("hold only characters that a KV key allows, and give the text back", () => {
    fc.assert(fc.property(text(200), (original) => {
      const token = encodeToken(original);
      assert.match(token, /^[A-Za-z0-9_=-]+$/);
      assert.equal(decodeToken(token), original);
    }));
  });

  it("differ for different texts", () => {
    fc.assert(fc.property(text(200), text(200), (one, two) => {
      assert.equal(encodeToken(one) === encodeToken(two), one === two);
    }));
  });

  it("that were not written by the encoding are refused", () => {
    const refused = [
      "", // no text is empty
      "a.b",
      "a b",
      "*",
      ">",
      "é",
      "=2e", // lower case
      "=41", // A, which is readable
      "=5F", // _
      "=2D", // -
      "=",
      "=2",
      "a=",
      "=GG",
      "=FF", // not UTF-8
      "=C3", // cut off
      "=C0=AE", // an overlong dot
      "=ED=A0=80", // a lone surrogate
      "%2E",
      "a\n",
    ];
    for (const token of refused) assert.equal(decodeToken(token), undefined, JSON.stringify(token));
  });

  it("are the only ones of their text", () => {
    const candidate = fc.string({
      unit: fc.oneof(
        fc.constantFrom(..."aZ0_-=.", "=2E", "=C3=A9", "=C3", "=41", "=2e"),
        fc.nat(255).map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`),
      ),
      maxLength: 12,
    });
    fc.assert(fc.property(candidate, (token) => {
      const decoded = decodeToken(token);
      if (decoded !== undefined) assert.equal(encodeToken(decoded), token);
    }));
  });

  it("are never made from text that is not well-formed", () => {
    assert.throws(() => encodeToken("a\ud800"), URIError);
  });
});
