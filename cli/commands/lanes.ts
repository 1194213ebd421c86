/**
 * `weir lanes`: the lanes that workers serve, and what lanes and capabilities executions have
 * asked for where no worker at hand would do; each with the workers that serve it now.
 */
import * as Effect from "effect/Effect";
import * as Command from "effect/cli/Command";
import type { ActorName, WorkerInstanceId } from "../../schema/ids.ts";
import { defaultLane, keptBackBy, routeOf, servesRoute } from "../../schema/route.ts";
import { routesSoFar } from "../../streams/lanes.ts";
import { Log } from "../../streams/log.ts";
import { Sessions } from "../../streams/session.ts";
import { type Column, printList } from "../report.ts";
import { existing } from "../root.ts";

interface LaneInUse {
  readonly actor: ActorName;
  readonly lane: string;
  readonly requires: ReadonlyArray<string>;
  /** The workers that are there and may take up its executions. */
  readonly workers: ReadonlyArray<WorkerInstanceId>;
}

const columns: ReadonlyArray<Column<LaneInUse>> = [
  { title: "ACTOR", of: ({ actor }) => actor },
  { title: "LANE", of: ({ lane }) => lane },
  { title: "REQUIRES", of: ({ requires }) => requires.join(",") || "-" },
  {
    title: "WORKERS",
    of: ({ workers }) => workers.join(",") || "-",
    color: ({ workers }) => workers.length === 0 ? "red" : undefined,
  },
];

export const lanes = Command.make("lanes", {}, () =>
  Effect.gen(function* () {
    const sessions = yield* (yield* Sessions).list;
    // What a worker serves may be all that is known of a lane.
    const served = sessions.flatMap(({ actors = [], lanes = [] }) =>
      actors.flatMap((actor) =>
        (lanes.length === 0 ? [undefined] : lanes).map((lane) => ({ actor, route: routeOf(lane) }))
      )
    );
    const used = yield* routesSoFar(yield* Log);
    const found = new Map<string, LaneInUse>();
    for (const { actor, route } of [...used, ...served]) {
      // What is kept back while something is paused lies on a lane that nobody asked for.
      if (keptBackBy(route) !== undefined) continue;
      const at = route?.indexOf("@") ?? -1;
      found.set(`${actor} ${route ?? ""}`, {
        actor,
        lane: route?.slice(at + 1) || defaultLane,
        requires: at <= 0 ? [] : route!.slice(0, at).split("+"),
        workers: sessions
          .filter(({ actors = [], lanes = [], capabilities = [] }) =>
            actors.includes(actor) && servesRoute(route, { lanes, capabilities })
          )
          .map(({ worker }) => worker),
      });
    }
    const order = (lane: LaneInUse) => `${lane.actor} ${lane.lane} ${lane.requires.join("+")}`;
    const sorted = [...found.values()].sort((a, b) => order(a) < order(b) ? -1 : 1);
    yield* printList(columns, sorted);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List what executions have asked of their workers, and who has it"),
  );
