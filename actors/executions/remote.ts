/**
 * Why an execution waits for a remote worker: what none that is registered has, or who works on it. It
 * is a look at what the log has now, and decides nothing.
 */
import * as Effect from "effect/Effect";
import { errandOfSignal } from "../../schema/errand_record.ts";
import type { ExecutionState as Shown } from "../../schema/execution_state.ts";
import { lacking } from "../../schema/remote_needs.ts";
import type { Errands } from "../../streams/errands.ts";
import type { Turn } from "../../streams/seats.ts";
import type { Reason } from "../core/describe.ts";

/** The errand that it waits for, if that is the first thing that it waits for. */
export const errandAwaited = ({ waitingFor }: Shown): string | undefined => {
  const [first] = waitingFor;
  return first?.kind === "wait" ? errandOfSignal(first.signal) : undefined;
};

export const whyRemote = Effect.fnUntraced(function* (errands: Errands, of: Turn) {
  const said = (reason: Reason, why: string) => ({ reason, why });
  const errand = yield* errands.find(of);
  if (errand === undefined) return undefined;
  if (errand.state === "claimed") {
    return said("remote", `the remote worker ${errand.worker} has it`);
  }
  if (errand.state === "ended") return said("remote", "it is about to hear how that ended");
  const registered = yield* errands.registered(of.tenant);
  const lacks = lacking(errand, registered.map(({ remote }) => remote));
  return lacks === undefined
    ? said("remote", "it waits for a remote worker that is free")
    : said("capability", lacks);
});
