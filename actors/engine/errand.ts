/**
 * Sending a remote worker on an errand. That it is awaited is recorded first, so that whatever ends the
 * execution withdraws it; its name follows from the attempt alone, so that whoever takes over enters
 * the same, which does nothing if it is there.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import { ErrandOutcome, errandSignal } from "../../schema/errand_record.ts";
import { StepFailed } from "../../schema/execution_errors.ts";
import type { Host, Perform } from "./host.ts";
import type { ErrandRequest, Operations } from "./operations.ts";

const decodeOutcome = Schema.decodeUnknownEffect(ErrandOutcome);

export const errandFor = (host: Host, perform: Perform): Operations["errand"] =>
  Effect.fnUntraced(function* (request: ErrandRequest) {
    const name = errandSignal(host.errand);
    const enter = host.now.pipe(
      Effect.flatMap((since) => {
        const { tenant, execution, life, route } = host.asParent(name);
        return host.post.enterErrand({
          kind: "errand",
          state: "waiting",
          tenant,
          execution,
          life,
          turn: host.errand,
          attempt: host.attempt,
          ...request,
          priority: host.priority,
          since,
          ...(route === undefined ? {} : { route }),
          fence: 0,
          reclaims: 0,
        });
      }),
      Effect.retry({ while: (error) => error.retryable, schedule: Schedule.spaced("1 second") }),
      Effect.catch((error) => Effect.logError(`${host.execution} finds no remote workers`, error)),
    );
    const [, result] = yield* perform(name, "wait", (key, known) => {
      if (known?.kind === "wait") return host.whileBusy(enter);
      return host.whileBusy(
        Effect.andThen(
          Effect.callback<void>((resume) =>
            host.submit({ kind: "waiting", key, signal: name }, () => resume(Effect.void))
          ),
          enter,
        ),
      );
    });
    const outcome = yield* decodeOutcome(result.type === "value" ? result.value : undefined).pipe(
      Effect.orDie,
    );
    if (outcome.type === "success") return outcome.value;
    return yield* new StepFailed({ step: "remote", failure: outcome.failure });
  });
