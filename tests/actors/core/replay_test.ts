import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Equal from "effect/Equal";
import fc from "fast-check";
import { receive } from "../../../actors/core/evolve.ts";
import { contentOf, stateOf } from "../../../actors/core/snapshot.ts";
import type { ExecutionState } from "../../../actors/core/state.ts";
import { takeUpRest } from "../../../actors/core/take_up.ts";
import { stateRecord } from "../../../schema/state_record.ts";
import { actions, anyStart, plain, replay, Stage } from "./histories.ts";

describe("replay", () => {
  it("of any prefix and then of the rest equals replay of the whole", () => {
    fc.assert(
      fc.property(anyStart, actions, fc.nat(), (start, actions, cut) => {
        const stage = new Stage(start);
        for (const action of actions) stage.act(action);
        const { entries } = stage;
        const at = cut % (entries.length + 1);
        const whole = replay(entries);
        const resumed = replay(entries.slice(at), replay(entries.slice(0, at)));
        assert.deepEqual(plain(resumed), plain(whole));
        assert.ok(Equal.equals(resumed, whole));
      }),
      { numRuns: 300 },
    );
  });

  it("comes to where the owner was, however late that one read and took up its mail", () => {
    fc.assert(
      fc.property(anyStart, actions, (start, actions) => {
        const stage = new Stage(start);
        for (const action of actions) {
          stage.act(action);
          const caughtUp = stage.unread.reduce(receive, stage.state);
          assert.deepEqual(plain(takeUpRest(caughtUp)), plain(takeUpRest(replay(stage.entries))));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("of what follows a snapshot, on what the snapshot says, equals replay of the whole", () => {
    fc.assert(
      fc.property(anyStart, actions, fc.nat(), (start, actions, cut) => {
        const stage = new Stage(start);
        for (const action of actions.slice(0, cut % (actions.length + 1))) stage.act(action);
        const left = stage.state;
        // Who is to end at once, and who has ended, leaves none.
        if (left.start === undefined || left.done !== undefined || left.expired) return;
        const sequence = stage.entries.length;
        // An owner that is not told of the snapshot may take up differently what no record speaks of.
        const rest = actions.slice(cut % (actions.length + 1)).filter(({ type }) =>
          type !== "claim"
        );
        for (const action of rest) stage.act(action);

        const body = stateRecord.encode({ ...contentOf(left, sequence, undefined), checksum: "" });
        const location = { subject: "snap", sequence };
        const { checksum: _, ...content } = Effect.runSync(stateRecord.decode(body, location));
        const later = stage.entries.filter((entry, i) =>
          entry.type === "mail" ? entry.mail.sequence > content.mail : i >= sequence
        );
        const resumed = replay(later, stateOf(content, left.start));
        const known = (state: ExecutionState) => ({ ...plain(takeUpRest(state)), progress: true });
        assert.deepEqual(known(resumed), known(replay(stage.entries)));
      }),
      { numRuns: 300 },
    );
  });

  it("is not changed by messages that are read twice, or that are for another life", () => {
    fc.assert(
      fc.property(anyStart, actions, fc.nat(), (start, actions, which) => {
        const stage = new Stage(start);
        for (const action of actions) stage.act(action);
        const { entries } = stage;
        const repeated = entries[which % entries.length]!;
        if (repeated.type !== "mail") return;
        const twice = replay([...entries, repeated]);
        assert.deepEqual(plain(twice), plain(replay(entries)));
        const foreign = { ...repeated.mail, sequence: 10_000 };
        const withForeign = receive(twice, {
          ...foreign,
          record: { kind: "pause", life: twice.life + 1 },
        });
        assert.deepEqual(plain(withForeign), plain(twice));
      }),
      { numRuns: 200 },
    );
  });
});
