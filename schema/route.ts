/**
 * Which workers may take an execution up: a lane, and the capabilities that it requires, in one
 * canonical text, so that equal demands have one name. An execution without a route goes to any
 * worker that has its actor and is not bound to lanes.
 */
import * as Schema from "effect/Schema";
import type { Lane } from "./ids.ts";

export const Route = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e]{1,430}$/, { expected: "1 to 430 printable ASCII characters" }),
).pipe(Schema.brand("Route"));
export type Route = typeof Route.Type;

/** Names something that a worker has and another may lack: `gpu`, `region:eu`. */
export const Capability = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._:-]{1,64}$/, {
    expected: "a capability: 1 to 64 letters, digits, . _ : or -",
  }),
);

/** The capabilities that an execution requires of its worker. */
export const Requires = Schema.Array(Capability).check(
  Schema.makeFilter<ReadonlyArray<string>>(
    (capabilities) => capabilities.join().length <= 320,
    { expected: "capabilities of at most 320 characters together" },
  ),
);

/** The lane of executions that name none; a worker bound to lanes serves it if it lists it. */
export const defaultLane = "default";

/** The route of an execution, if not every worker will do; both parts have been checked. */
export const routeOf = (
  lane?: Lane,
  requires: ReadonlyArray<string> = [],
): Route | undefined => {
  const named = lane === undefined || lane === defaultLane ? "" : lane;
  const capabilities = [...new Set(requires)].sort();
  return named === "" && capabilities.length === 0
    ? undefined
    : Route.make(`${capabilities.join("+")}@${named}`);
};

/**
 * The route by which a wake-up is kept back for as long as something holds, with the route that it
 * had; no capability begins like this, and no lane stands first.
 */
const heldPattern = /^!([A-Za-z0-9_-]{22})!(.*)$/;

export const heldRoute = (by: string, route: Route | undefined): Route =>
  Route.make(`!${by}!${route ?? ""}`);

/** What keeps a wake-up back, and the route that it had; nothing for a route that keeps nothing back. */
export const keptBackBy = (
  route: Route | undefined,
): { readonly by: string; readonly route: Route | undefined } | undefined => {
  const [, by, inner] = (route === undefined ? null : heldPattern.exec(route)) ?? [];
  return by === undefined ? undefined : { by, route: inner === "" ? undefined : inner as Route };
};

/** The lane that a route names. */
export const laneOfRoute = (route: Route | undefined): Lane =>
  (route?.slice(route.indexOf("@") + 1) || defaultLane) as Lane;

/** What decides which routes a worker serves. */
export interface ServedRoutes {
  /** The lanes that it is bound to; none means the default lane. */
  readonly lanes: ReadonlyArray<Lane>;
  readonly capabilities: ReadonlyArray<string>;
}

/** Whether a worker may take up what has this route, or none. */
export const servesRoute = (
  asked: Route | undefined,
  { lanes, capabilities }: ServedRoutes,
): boolean => {
  const kept = keptBackBy(asked);
  const route = kept === undefined ? asked : kept.route;
  const at = route?.indexOf("@") ?? -1;
  const lane = route?.slice(at + 1) ?? "";
  const required = at <= 0 ? [] : route!.slice(0, at).split("+");
  const bound = lanes as ReadonlyArray<string>;
  const servesLane = lane === ""
    ? bound.length === 0 || bound.includes(defaultLane)
    : bound.includes(lane);
  return servesLane && required.every((capability) => capabilities.includes(capability));
};
