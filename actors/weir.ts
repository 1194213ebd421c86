/**
 * The promise door: one connection to a namespace, opened with `connect` and closed by disposing of
 * it. It runs the same services as the Effect door and adds nothing to what they promise.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { parse, Tenant } from "../schema/ids.ts";
import { Connection } from "../streams/connection.ts";
import { layer, type NamespaceServicesOptions } from "../streams/namespace.ts";
import { type Events, makeEvents } from "./events.ts";

export interface ConnectOptions extends NamespaceServicesOptions {
  /** Whose executions the verbs mean when none is named; `default` if left out. */
  readonly tenant?: string;
}

export interface Weir extends AsyncDisposable {
  /** The tenant that verbs mean when none is named. */
  readonly tenant: Tenant;
  /** The embedded server, if this connection uses one; the URL carries the credentials. */
  readonly server: { readonly url: string } | undefined;
  /** What happened, per execution; durable, ordered and never changed. */
  readonly events: Events;
  /** Closes the connection; the embedded server ends with its last user. */
  close(): Promise<void>;
}

/**
 * Connects to the servers named in the options or in `NATS_URL`, or else to the embedded server,
 * which is started if it does not run yet.
 *
 * **Example** (Appending an event)
 *
 * ```ts no-run
 * import { connect } from "@weir/weir";
 *
 * await using weir = await connect();
 * await weir.events.append("order/o-1", "acme", { type: "custom", eventType: "paid", data: { cents: 4200 } });
 * ```
 */
export const connect = async (options: ConnectOptions = {}): Promise<Weir> => {
  const tenant = await Effect.runPromise(parse(Tenant, "tenant", options.tenant ?? "default"));
  const runtime = ManagedRuntime.make(layer(options));
  const close = () => runtime.dispose();
  try {
    const { server } = Context.get(await runtime.context(), Connection);
    return {
      tenant,
      server,
      events: makeEvents(runtime, tenant),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};
