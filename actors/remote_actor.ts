/**
 * An actor whose work is done by somebody else's program: its code asks for a remote worker and waits,
 * out of memory, for what that gives. Everything else is as with other actors: it is started, called,
 * queued, scheduled, cancelled and awaited like them.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { InvalidInput } from "../schema/errors.ts";
import { parse } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import { Department, RemoteCapabilities } from "../schema/remote_needs.ts";
import { type Actor, actorOptionNames, type ActorOptions } from "./actor.ts";
import { sendOut } from "./actor_context.ts";
import type { ErrorClass, Raised } from "./raise.ts";

const longestLeaseMs = 86_400_000;

export interface RemoteActorOptions<Input, Output, Class extends ErrorClass = ErrorClass>
  extends ActorOptions<Input, Output, Class> {
  /** What a worker must be able to do; its own name, if left out. */
  readonly capabilities?: ReadonlyArray<string>;
  /** The department whose workers alone may have it. */
  readonly department?: string;
  /** How long a worker has a step without a sign of life; 30 seconds, if left out. */
  readonly leaseTtl?: Duration.Input;
  /** How many workers may lose it before it is given up; 10, if left out. */
  readonly maxReclaims?: number;
}

const optionNames: OptionNames<RemoteActorOptions<unknown, unknown>> = {
  ...actorOptionNames,
  capabilities: true,
  department: true,
  leaseTtl: true,
  maxReclaims: true,
};

const leaseOf = (input: Duration.Input) => {
  const duration = Option.map(Duration.fromInput(input), Duration.toMillis);
  return Option.isSome(duration) && duration.value >= 1_000 && duration.value <= longestLeaseMs
    ? Effect.succeed(Math.ceil(duration.value))
    : Effect.fail(
      new InvalidInput({
        what: "leaseTtl",
        value: String(input),
        rule: "expected a duration from 1 second to 1 day",
      }),
    );
};

/** An actor that remote workers do the work of. */
export interface RemoteActor<Input, Output, Raised = unknown> extends Actor<Input, Output, Raised> {
  readonly isRemote: true;
}

/**
 * Names work that programs in any language do: they register with what they can do, claim a step, and
 * finish it, in JSON over NATS. See `docs/remote-actors.md`.
 *
 * **Example** (Pictures that are made smaller elsewhere)
 *
 * ```ts
 * import { remoteActor } from "@weir/weir";
 *
 * export const resize = remoteActor<{ url: string; width: number }, { url: string }>("resize", {
 *   capabilities: ["image"],
 *   retry: { attempts: 3 },
 * });
 * ```
 */
export const remoteActor = <Input, Output, Class extends ErrorClass = never>(
  name: string,
  options: RemoteActorOptions<Input, Output, Class> = {},
): RemoteActor<Input, Output, Raised<Class>> => {
  const { capabilities = [name], department, leaseTtl = "30 seconds", maxReclaims = 10, ...rest } =
    options;
  const request = Effect.runSync(Effect.gen(function* () {
    yield* checkOptions("a remote actor", options, optionNames);
    if (!Number.isSafeInteger(maxReclaims) || maxReclaims < 0) {
      return yield* new InvalidInput({
        what: "maxReclaims",
        value: String(maxReclaims),
        rule: "expected a whole number from 0 on",
      });
    }
    return {
      capabilities: yield* parse(RemoteCapabilities, "capabilities", [...new Set(capabilities)]),
      ...(department === undefined
        ? {}
        : { department: yield* parse(Department, "department", department) }),
      leaseMs: yield* leaseOf(leaseTtl),
      maxReclaims,
    };
  }));
  const made: RemoteActor<Input, Output> = {
    ...rest,
    name,
    isRemote: true,
    run: (context) => sendOut(context, request) as Promise<Output>,
  };
  return made as RemoteActor<Input, Output, Raised<Class>>;
};
