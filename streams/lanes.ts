/**
 * Lanes: where wake-ups for executions wait that not every worker may serve. Whoever is offered mail
 * of such an execution forwards it, and the first to use a route leaves a record of that for ever, by
 * which workers find the routes that they can serve. Pulling from lanes is not done here.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { ActorName } from "../schema/ids.ts";
import { Route } from "../schema/route.ts";
import { decodeToken } from "../schema/token.ts";
import { isForStart } from "./mailbox/handed.ts";
import { wakeRecord } from "../schema/wake_record.ts";
import type { Entry, Log } from "./log.ts";
import type { Delivery, Mailboxes } from "./mailbox.ts";
import { clientMessageId } from "./message_id.ts";
import { skippedRecords } from "./metrics.ts";
import { type Address, type Filter, type Layout, shardRoot, subjectOf } from "./subjects.ts";

const isActorName = Schema.is(ActorName);
const isRoute = Schema.is(Route);

/** Where it stands which routes an actor's executions have had: an address of fewer tokens. */
const routesAddress = (layout: Layout, actor: ActorName): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail: actor,
  label: `the routes of ${actor}`,
});

/** Forwards deliveries; it announces each route once. */
export const forwarder = (log: Log["Service"]): Mailboxes["Service"]["forward"] => {
  const announced = new Set<string>();

  const announce = (actor: ActorName, route: Route) => {
    const name = `${actor} ${route}`;
    return Effect.suspend(() =>
      announced.has(name) ? Effect.void : log.append(routesAddress(log.layout, actor), {
        kind: "lane",
        key: route,
        guard: { after: 0 },
        body: wakeRecord.encode({ kind: "route", route }),
      }).pipe(
        Effect.catchTag("AlreadyExists", () => Effect.void),
        Effect.andThen(Effect.sync(() => announced.add(name))),
      )
    );
  };

  return Effect.fn("Mailboxes.forward")(function* (
    delivery: Delivery,
    route: Route,
    occasion?: string,
  ) {
    const { address, actor, mail } = delivery;
    yield* announce(actor, route);
    yield* log.append(address, {
      kind: "lane",
      key: route,
      id: clientMessageId(
        { subject: subjectOf(address, "lane", route), verb: "wake" },
        occasion === undefined ? `${mail}` : `${mail} ${occasion}`,
      ),
      body: wakeRecord.encode({
        kind: "wake",
        mail,
        ...(isForStart(delivery) ? { begins: true } : {}),
      }),
    });
  });
};

/** A route that executions of an actor have had. */
export interface RouteInUse {
  readonly actor: ActorName;
  readonly route: Route;
}

const routesFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: `${shardRoot(layout, 0)}.lane.*.*`,
});

const routeOfEntry = ({ subject }: Entry) => {
  const [, , actor, token] = subject.split(".");
  const route = decodeToken(token ?? "");
  const found: ReadonlyArray<RouteInUse> = isActorName(actor) && isRoute(route)
    ? [{ actor, route }]
    : [];
  return Effect.as(found.length === 0 ? Metric.update(skippedRecords, 1) : Effect.void, found);
};

/** The routes in use, and those that come into use; ends only with an error. */
export const routesInUse = (log: Log["Service"]) =>
  log.follow(routesFilter(log.layout)).pipe(
    Stream.mapEffect(routeOfEntry),
    Stream.flatMap(Stream.fromIterable),
  );

/** The routes that have come into use so far. */
export const routesSoFar = (log: Log["Service"]) =>
  log.read(routesFilter(log.layout)).pipe(
    Stream.mapEffect(routeOfEntry),
    Stream.flatMap(Stream.fromIterable),
    Stream.runCollect,
  );
