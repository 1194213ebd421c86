import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Schema from "effect/Schema";
import fc from "fast-check";
import { Lane } from "../../schema/ids.ts";
import { Capability, Requires, Route, routeOf, servesRoute } from "../../schema/route.ts";

const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i));
const letters = printable.filter((character) => /[A-Za-z0-9._:-]/.test(character));
const lane = fc.string({ unit: fc.constantFrom(...printable), minLength: 1, maxLength: 64 }).map(
  (text) => Lane.make(text),
);
const capability = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 20 });
const capabilities = fc.array(capability, { maxLength: 8 });

const [gpu, batch] = [Lane.make("gpu"), Lane.make("batch")];
const isRoute = Schema.is(Route);

describe("a route", () => {
  it("is none for the default lane without requirements", () => {
    assert.equal(routeOf(), undefined);
    assert.equal(routeOf(undefined, []), undefined);
    assert.equal(routeOf(Lane.make("default")), undefined);
    assert.notEqual(routeOf(undefined, ["cuda"]), undefined);
  });

  it("names equal demands equally, and others otherwise", () => {
    fc.assert(fc.property(lane, capabilities, lane, capabilities, (lane, some, other, more) => {
      const route = routeOf(lane, some);
      assert.equal(routeOf(lane, [...some, ...some].reverse()), route);
      assert.ok(route === undefined || isRoute(route));
      const isSame = lane === other &&
        JSON.stringify([...new Set(some)].sort()) === JSON.stringify([...new Set(more)].sort());
      if (!isSame) assert.notEqual(routeOf(other, more) ?? "", route);
    }));
  });

  it("is legal however much is required within the bounds", () => {
    const many = Array.from({ length: 40 }, (_, i) => `capability${i % 10}`).slice(0, 27);
    const longest = Array.from({ length: 5 }, (_, i) => `${i}`.repeat(63));
    assert.ok(Schema.is(Requires)(longest));
    assert.ok(isRoute(routeOf(Lane.make("x".repeat(64)), longest)));
    assert.ok(isRoute(routeOf(gpu, many)));
    assert.ok(!Schema.is(Requires)([...longest, "more"]));
  });

  it("is served by a worker of its lane that has all that it requires", () => {
    fc.assert(fc.property(lane, capabilities, capabilities, (lane, required, more) => {
      const route = routeOf(lane, required);
      const served = { lanes: [lane], capabilities: [...more, ...required] };
      assert.ok(servesRoute(route, served));
      const lacks = required.filter((capability) => !more.includes(capability)).length > 0;
      assert.equal(servesRoute(route, { lanes: [lane], capabilities: more }), !lacks);
    }));
  });

  it("on the default lane is served by workers that are bound to none, or to that one", () => {
    const cuda = routeOf(undefined, ["cuda"]);
    for (const route of [undefined, cuda]) {
      const capabilities = ["cuda"];
      assert.ok(servesRoute(route, { lanes: [], capabilities }));
      assert.ok(servesRoute(route, { lanes: [gpu, Lane.make("default")], capabilities }));
      assert.ok(!servesRoute(route, { lanes: [gpu], capabilities }));
    }
    assert.ok(!servesRoute(cuda, { lanes: [], capabilities: [] }));
    assert.ok(!servesRoute(routeOf(gpu), { lanes: [], capabilities: [] }));
    assert.ok(!servesRoute(routeOf(gpu), { lanes: [batch], capabilities: [] }));
  });
});

describe("a capability", () => {
  it("is refused with a character that a route is made of, or too long", () => {
    const isCapability = Schema.is(Capability);
    for (const text of ["", "a b", "a+b", "a@b", "é", "x".repeat(65)]) {
      assert.ok(!isCapability(text), text);
    }
    for (const text of ["gpu", "region:eu", "v1.2_3-4", "x".repeat(64)]) {
      assert.ok(isCapability(text), text);
    }
  });
});
