/**
 * Following the outputs of an execution. It is open until the execution has ended, however often it
 * is suspended or taken over before; an end that was taken back by a later run counts no more.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { OutputName } from "../../schema/frame_record.ts";
import { parse } from "../../schema/ids.ts";
import type { Connection } from "../../streams/connection.ts";
import { readOutput } from "../../streams/output.ts";
import type { Executions } from "../executions.ts";
import type { Means, Presence } from "./present.ts";

/** Fails when the connection is lost, if the log is at the end of one. */
const listen = (
  connection: Option.Option<Connection["Service"]>,
): Effect.Effect<Effect.Effect<never, string>, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (Option.isNone(connection)) return Effect.never;
    const lost = Deferred.makeUnsafe<never, string>();
    yield* connection.value.listen({
      disconnected: () => Deferred.doneUnsafe(lost, Exit.fail("the connection was lost")),
      reconnected: () => undefined,
      closed: () => Deferred.doneUnsafe(lost, Exit.fail("the connection was closed")),
    });
    return Deferred.await(lost);
  });

export const makeOutput = (
  { log, completions }: Means,
  { present }: Presence,
  connection: Option.Option<Connection["Service"]>,
): Executions["Service"]["output"] =>
(of, output, { after, behind = 0 } = {}) =>
  Stream.unwrap(Effect.gen(function* () {
    const name = yield* parse(OutputName, "output name", output);
    const { address, life } = yield* present(of);
    const since = Math.max(life, behind);
    return readOutput(log, {
      address,
      name,
      life,
      ended: Effect.map(completions.ended(address, since), (found) => found?.sequence),
      end: Effect.map(completions.wait(address, since), ({ sequence }) => sequence),
      listen: listen(connection),
    }, after === undefined ? {} : { after });
  }));
