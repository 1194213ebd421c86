/**
 * Keeping back what must not be taken up now: each wake-up is put on a lane that opens when the scope
 * does which is paused, so that it comes back by itself and costs nothing until then. Whoever is in
 * the middle of his code is not stopped here, and queues are kept whatever is paused.
 */
import * as Effect from "effect/Effect";
import { accepts, takesUp } from "../../schema/control_record.ts";
import { isForeign } from "../../schema/ids.ts";
import type { MailRecord, StartRecord } from "../../schema/mail_record.ts";
import { heldRoute, keptBackBy, laneOfRoute, type Route } from "../../schema/route.ts";
import {
  type EngineControl,
  holding,
  refusing,
  type Standing,
} from "../../streams/engine_control.ts";
import { keptName } from "../../streams/engine_control/scope.ts";
import type { AppendError, ReadError } from "../../streams/log.ts";
import type { Delivery, Mailboxes } from "../../streams/mailbox.ts";
import { acked, askAgainMs, later, type Settlement } from "./claims.ts";

/** The route that an execution asks for, whatever keeps its wake-up back. */
const askedFor = (route: Route | undefined): Route | undefined => {
  const kept = keptBackBy(route);
  return kept === undefined ? route : kept.route;
};

/** A schedule is where starts come from: it does not go on where none is accepted. */
const isSchedule = (start: Partial<Pick<StartRecord, "task">>): boolean =>
  start.task?.schedule !== undefined;

/** Nobody is there to be told that it is refused. */
const isTriggered = (start: Partial<Pick<StartRecord, "cause">>): boolean =>
  start.cause !== undefined;

/** What keeps an execution back, and whether that is only because it starts others. */
export interface Held {
  readonly by: Standing;
  readonly what: "work" | "starts";
}

const held = (by: Standing | undefined, what: Held["what"]): Held | undefined =>
  by === undefined ? undefined : { by, what };

export const makeHolds = (control: EngineControl["Service"]) => ({
  /** What keeps the execution of a message back, as far as the message tells. */
  of: (
    { tenant, execution, route }: Pick<Delivery, "tenant" | "execution"> & Partial<Delivery>,
    mail: MailRecord | undefined,
    isBegun = false,
  ): Effect.Effect<Held | undefined, ReadError> => {
    if (!isForeign(execution)) return Effect.undefined;
    const isStarting = mail?.kind === "start" &&
      (isSchedule(mail) || (!isBegun && isTriggered(mail)));
    const lane = route === undefined && mail === undefined
      ? undefined
      : laneOfRoute(askedFor(route ?? mail?.route));
    return Effect.flatMap(
      control.holds(tenant, lane),
      (by) =>
        by === undefined && isStarting && lane !== undefined
          ? Effect.map(control.refuses(tenant, lane), (by) => held(by, "starts"))
          : Effect.succeed(held(by, "work")),
    );
  },
  /** Whether an execution is to go on no more once it waits; unknown while nobody listens. */
  known: (
    { tenant, execution }: Pick<Delivery, "tenant" | "execution">,
    start: Pick<StartRecord, "route" | "task">,
  ): boolean | undefined => {
    const closed = control.known();
    if (closed === undefined) return undefined;
    if (!isForeign(execution)) return false;
    const lane = laneOfRoute(start.route);
    return holding(closed, tenant, lane) !== undefined ||
      (isSchedule(start) && refusing(closed, tenant, lane) !== undefined);
  },
  /** Whether what lies on a lane may be taken now. */
  isOpen: (route: Route): boolean => {
    const kept = keptBackBy(route);
    if (kept === undefined) return true;
    const closed = control.known();
    if (closed === undefined) return false;
    for (const standing of closed.values()) {
      const { state } = standing;
      if (!takesUp(state) && keptName(standing, "work") === kept.by) return false;
      if (!accepts(state) && keptName(standing, "starts") === kept.by) return false;
    }
    return true;
  },
});

/** Has a message come back when that is open again, and says what becomes of the delivery. */
export const keepFor = (
  mailboxes: Mailboxes["Service"],
  delivery: Delivery,
  { by, what }: Held,
  route: Route | undefined,
): Effect.Effect<Settlement, AppendError | ReadError> => {
  const name = keptName(by, what);
  // It lies there already: it came before the worker had heard, and once more would be a repetition.
  if (keptBackBy(delivery.route)?.by === name) return Effect.succeed(later(askAgainMs));
  const kept = mailboxes.forward(
    delivery,
    heldRoute(name, askedFor(delivery.route ?? route)),
    // What an earlier change kept back has come back since.
    `${by.revision}`,
  );
  return Effect.as(kept, acked(delivery));
};
