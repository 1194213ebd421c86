/**
 * The handles that a path means: of an execution or a schedule by its id, which names its actor. An
 * id that names none is of nothing that could be steered.
 */
import { InvalidInput } from "../../schema/errors.ts";
import { ExecutionNotFound } from "../../schema/execution_errors.ts";
import { type ExecutionId, executionIdentity } from "../../schema/ids.ts";
import { type Actor, actor as define } from "../actor.ts";
import type { Run } from "../run.ts";
import type { Schedule } from "../schedule.ts";
import { notFound, shown } from "./refusal.ts";
import type { Call } from "./route.ts";

type Meant = Pick<Call<"id">, "weir" | "tenant" | "path">;

/** An actor whose code runs elsewhere. */
export const actorNamed = (name: string): Actor<unknown, unknown> =>
  define(name, () => {
    throw new Error(`${name} is not run here`);
  });

const partsOf = (id: string) => {
  const { actor, name } = executionIdentity(id as ExecutionId);
  if (actor === undefined) throw new ExecutionNotFound({ execution: id });
  return { actor: actorNamed(actor), name };
};

export const runOf = ({ weir, tenant, path: { id } }: Meant): Run => {
  const { actor, name } = partsOf(id);
  return weir.get(actor, name, { tenant });
};

/** Asks something of a schedule, which says itself whether it is one. */
export const askSchedule = async <A>(
  { weir, tenant, path: { id } }: Meant,
  ask: (schedule: Schedule) => Promise<A>,
): Promise<A> => {
  const { actor, name } = partsOf(id);
  try {
    return await ask(weir.getSchedule(actor, name, { tenant }));
  } catch (error) {
    if (!(error instanceof InvalidInput) || error.what !== "schedule") throw error;
    throw notFound(
      `${shown(id)} is an execution without a schedule. Look at it under /api/v1/runs.`,
    );
  }
};
