/**
 * The handles that a path means: of an execution or a schedule by its id, which names its actor. An
 * id that names none is of nothing that could be steered.
 */
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

/** The schedule of that id, if what has it is one. */
export const scheduleOf = async (meant: Meant): Promise<Schedule> => {
  const { weir, tenant, path: { id } } = meant;
  for await (const { record } of runOf(meant).history()) {
    if (record.kind === "start" && record.task?.schedule !== undefined) break;
    throw notFound(
      `${shown(id)} is an execution without a schedule. Look at it under /api/v1/runs.`,
    );
  }
  const { actor, name } = partsOf(id);
  return weir.getSchedule(actor, name, { tenant });
};
