/** The log of a namespace beside the engine that works on it, for one use. */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Connection from "../../streams/connection.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";

export interface Where {
  readonly servers: string;
  readonly namespace: string;
}

export const withLog = <A, E>(
  { servers, namespace }: Where,
  use: Effect.Effect<A, E, Log>,
): Promise<A> =>
  Effect.runPromise(
    use.pipe(Effect.provide(
      layerJetStream({ namespace }).pipe(Layer.provide(Connection.layer({ servers }))),
    )),
  );
