/** Durable subscriptions on a real JetStream; see `service.ts` for the verbs and `consumer.ts`. */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type { Connection } from "../connection.ts";
import { Log } from "../log.ts";
import { Subscriptions } from "../subscriptions.ts";
import * as Consumer from "./consumer.ts";
import * as Service from "./service.ts";

export const layerJetStream: Layer.Layer<Subscriptions, never, Connection | Log> = Layer.effect(
  Subscriptions,
  Effect.gen(function* () {
    const log = yield* Log;
    return Service.make(log, yield* Consumer.make(log.layout));
  }),
);
