/**
 * The route table: everything that is served, in one list, with the document that describes the list.
 */
import { openApiOf } from "./openapi.ts";
import { makeRate, type RequestRate } from "./rate.ts";
import { type Route, route, type ServedWeir } from "./route.ts";
import { budgetRoutes } from "./routes/budgets.ts";
import { engineRoutes } from "./routes/engine.ts";
import { namespaceRoutes } from "./routes/namespace.ts";
import { operationRoutes } from "./routes/operation.ts";
import { outputRoutes } from "./routes/outputs.ts";
import { platformRoutes } from "./routes/platform.ts";
import { runRoutes } from "./routes/runs.ts";
import { scheduleRoutes } from "./routes/schedules.ts";
import { steeringRoutes } from "./routes/steering.ts";
import { streamRoutes } from "./routes/streams.ts";
import { type AnySignal, signalsAmong } from "./signals.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { actorsAmong, type AnyActor, taskRoutes } from "./routes/tasks.ts";
import { triggerRoutes } from "./routes/triggers.ts";

/** Of the API, not of the package. */
const version = "1";

export interface TableOptions {
  readonly weir: ServedWeir;
  readonly base: string;
  readonly actors?: ReadonlyArray<AnyActor>;
  readonly signals?: ReadonlyArray<AnySignal>;
  readonly maxWaits?: number;
  readonly heartbeatMs?: number;
  readonly tokenRate?: RequestRate;
}

export const tableOf = (
  { weir, base, actors, signals, maxWaits = 1_000, heartbeatMs, tokenRate }: TableOptions,
): ReadonlyArray<Route> => {
  let document: unknown;
  const actorOf = actorsAmong(actors);
  const signalOf = signalsAmong(signals);
  const routes: ReadonlyArray<Route> = [
    ...operationRoutes(weir),
    route({
      method: "GET",
      path: "/openapi.json",
      verb: "openapi",
      access: "read",
      summary: "This document",
      answers: { 200: { description: "OpenAPI 3.1", mediaType: "application/json" } },
      handle: () => ({ status: 200, body: document ??= openApiOf(routes, base, version) }),
    }),
    ...taskRoutes(actorOf, base),
    ...runRoutes({ most: maxWaits, count: 0 }),
    ...steeringRoutes(signalOf),
    ...tokenRoutes(makeRate("tokenRate", tokenRate ?? { perSecond: 50 })),
    ...scheduleRoutes,
    ...triggerRoutes(actorOf, signalOf),
    ...outputRoutes(heartbeatMs),
    ...engineRoutes,
    ...namespaceRoutes,
    ...budgetRoutes,
    ...platformRoutes,
    ...streamRoutes(base, heartbeatMs),
  ];
  return routes;
};
