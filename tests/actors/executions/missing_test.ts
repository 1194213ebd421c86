import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { missingWorker } from "../../../actors/executions/missing.ts";
import { ActorName, Lane, WorkerInstanceId } from "../../../schema/ids.ts";
import { routeOf } from "../../../schema/route.ts";
import type { Session } from "../../../streams/session.ts";

const render = ActorName.make("render");

const session = (
  lanes: ReadonlyArray<string>,
  capabilities: ReadonlyArray<string>,
  actor = "render",
): Session => ({
  kind: "session",
  worker: WorkerInstanceId.make("w"),
  ttlMs: 10_000,
  at: 0,
  actors: [ActorName.make(actor)],
  lanes: lanes.map((lane) => Lane.make(lane)),
  capabilities,
});

const why = (
  [lane, requires]: readonly [lane: string | undefined, requires: ReadonlyArray<string>],
  ...sessions: ReadonlyArray<Session>
) =>
  missingWorker(
    render,
    routeOf(lane === undefined ? undefined : Lane.make(lane), requires),
    sessions,
  )?.why;

describe("what keeps an execution waiting for a worker", () => {
  it("is that nobody serves its actor", () => {
    assert.match(why([undefined, []])!, /serves render/);
    assert.match(why([undefined, []], session([], [], "other"))!, /serves render/);
  });

  it("is nothing, if somebody may take it up", () => {
    assert.equal(why([undefined, []], session([], [])), undefined);
    assert.equal(why(["eu", ["gpu"]], session(["eu"], ["gpu", "disk"])), undefined);
  });

  it("is the capability that none of its lane has", () => {
    assert.match(
      why([undefined, ["gpu", "disk"]], session([], ["disk"]), session(["eu"], ["gpu"]))!,
      /the capability gpu$/,
    );
    assert.match(
      why([undefined, ["gpu", "disk"]], session([], ["disk"]), session([], ["gpu"]))!,
      /all of the capabilities disk, gpu/,
    );
  });

  it("is the lane to which none is bound", () => {
    assert.match(why(["eu", ["gpu"]], session([], ["gpu"]))!, /the lane eu/);
  });
});
