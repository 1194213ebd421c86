/**
 * What keeps an execution waiting for a worker: what none of those that are alive has. It is a look at
 * who is there now, and decides nothing.
 */
import type { ActorName } from "../../schema/ids.ts";
import { type Route, servesRoute } from "../../schema/route.ts";
import type { Session } from "../../streams/session.ts";
import type { Reason } from "../core/describe.ts";

/** Why no worker takes it up, if one thing can be named. */
export const missingWorker = (
  actor: ActorName,
  route: Route | undefined,
  sessions: ReadonlyArray<Session>,
): { readonly reason: Reason; readonly why: string } | undefined => {
  const serving = sessions.filter(({ actors = [] }) => actors.includes(actor));
  if (serving.length === 0) {
    return { reason: "worker", why: `no worker that is alive serves ${actor}` };
  }
  const routes = serving.map(({ lanes = [], capabilities = [] }) => ({ lanes, capabilities }));
  if (route === undefined || routes.some((each) => servesRoute(route, each))) return undefined;
  const at = route.indexOf("@");
  const required = at <= 0 ? [] : route.slice(0, at).split("+");
  const inLane = routes.filter((each) => servesRoute(route, { ...each, capabilities: required }));
  if (inLane.length === 0) {
    const lane = route.slice(at + 1);
    return {
      reason: "capability",
      why: `no worker that is alive and serves ${actor} is bound to the lane ${lane}`,
    };
  }
  const missing = required.filter((each) =>
    !inLane.some(({ capabilities }) => capabilities.includes(each))
  );
  return {
    reason: "capability",
    why: missing.length > 0
      ? `no worker that is alive has the capability ${missing.join(" or ")}`
      : `no worker that is alive has all of the capabilities ${required.join(", ")}`,
  };
};
