/** What holds in every history of a budget. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { LimitInputs } from "../../../streams/budgets/command.ts";
import { describe as shown } from "../../../streams/budgets/state.ts";
import { acts, ByHand, name, Stage } from "./histories.ts";

const limits: LimitInputs = {
  token: { hard: 300, soft: 200 },
  costCents: 250,
  constructor: { soft: 40 },
};
const hardOf = { token: 300, costCents: 250, constructor: Infinity };
const runs = { numRuns: 60 };

const stateOf = (stage: Stage) => stage.held.state!;

describe("in every history of a budget", () => {
  it("no hard limit is exceeded, where nothing but consumption is asked for", () => {
    fc.assert(
      fc.property(acts({ overage: "refuse", isLimitFixed: true }), (acts) => {
        const stage = new Stage(limits, false);
        for (const act of acts) {
          stage.act(act);
          for (const [dimension, { used }] of Object.entries(stateOf(stage).dimensions)) {
            assert.ok(used >= 0 && used <= hardOf[dimension as keyof typeof hardOf]);
          }
        }
      }),
      runs,
    );
  });

  it("no consumption that was let through brought usage above the limit of its time", () => {
    fc.assert(
      fc.property(acts({ overage: "refuse", isLimitFixed: false }), (acts) => {
        const stage = new Stage(limits, true);
        for (const act of acts) {
          const outcome = stage.act(act)?.outcome;
          if (act.command.type !== "consume" || (outcome !== "ok" && outcome !== "softBreach")) {
            continue;
          }
          for (const [dimension, amount] of Object.entries(act.command.amounts)) {
            const { used = 0, hard = Infinity } = stateOf(stage).dimensions[dimension] ?? {};
            assert.ok(amount === 0 || used <= hard);
          }
        }
      }),
      runs,
    );
  });

  for (const overage of ["refuse", "allow"] as const) {
    it(`usage, releases and keys are those of a book kept by hand: overage ${overage}`, () => {
      let beside = 0;
      fc.assert(
        fc.property(acts({ overage, isLimitFixed: false }), (acts) => {
          const stage = new Stage(limits, false);
          const byHand = new ByHand();
          for (const act of acts) {
            const dimensions = Object.keys(stateOf(stage).dimensions);
            const outcome = stage.act(act);
            if (outcome !== undefined) byHand.take(act.command, outcome, dimensions);
            for (const [dimension, { used }] of Object.entries(stateOf(stage).dimensions)) {
              assert.equal(used, byHand.usedOf(dimension));
            }
          }
          beside += stage.besides;
        }),
        runs,
      );
      assert.ok(beside > 0, "nothing ever left a record");
    });
  }

  it("the numbers follow from the events alone, and so does the time of an interval", () => {
    fc.assert(
      fc.property(acts({ overage: "allow", isLimitFixed: false }), (acts) => {
        const stage = new Stage(limits, true);
        for (const act of acts) stage.act(act);
        const used = new Map<string, number>();
        const add = (amounts: object, sign: number) => {
          for (const [one, amount] of Object.entries(amounts)) {
            used.set(one, (used.get(one) ?? 0) + sign * amount);
          }
        };
        for (const event of stage.events) {
          switch (event.type) {
            case "consumed":
              add(event.amounts, 1);
              break;
            case "released":
              add(event.amounts, -1);
              break;
            case "reset":
              for (const one of event.dimensions) used.set(one, 0);
              break;
            case "replenished":
              for (const one of Object.keys(event.limits)) used.set(one, 0);
              break;
          }
        }
        const { dimensions } = shown(name, stateOf(stage));
        for (const [one, dimension] of Object.entries(dimensions)) {
          assert.equal(dimension.used, used.get(one) ?? 0);
        }
        assert.ok(stateOf(stage).intervalStartedAt <= stage.now);
      }),
      runs,
    );
  });
});
