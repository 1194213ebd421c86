/**
 * The receiver's side of the outbox: remembers which events were dealt with, so that one which comes
 * again after the stream's duplicate window changes nothing. An event is remembered behind what is
 * done for it; who dies in between does it again, so that what must happen exactly once is written
 * together with the event's id where it happens.
 */
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import type { InvalidInput } from "../../schema/errors.ts";
import { parseTtl, StateStore, type StateStoreError } from "../state_store.ts";

export interface InboxOptions {
  /** Different receivers of the same events each deal with them. */
  readonly name: string;
  /** For how long an event is remembered, or `Infinity`. Default 7 days. */
  readonly remember?: Duration.Input;
}

export class Inbox extends Context.Service<Inbox, {
  /** Does something for an event unless it was done; says whether it was done now. */
  readonly once: <A, E, R>(
    eventId: string,
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<boolean, E | StateStoreError, R>;
}>()("@weir/weir/streams/Inbox") {}

const nothing = new Uint8Array();

const isForever = (remember: Duration.Input): boolean =>
  Option.exists(Duration.fromInput(remember), (length) => Duration.toMillis(length) === Infinity);

export const layer = (
  { name, remember = "7 days" }: InboxOptions,
): Layer.Layer<Inbox, InvalidInput, StateStore> =>
  Layer.effect(
    Inbox,
    Effect.gen(function* () {
      const values = yield* StateStore;
      const ttl = isForever(remember)
        ? undefined
        : Duration.seconds(yield* parseTtl("remember", remember));
      return Inbox.of({
        once: Effect.fnUntraced(function* (eventId, effect) {
          const key = `inbox/${name}/${eventId}`;
          if (yield* values.exists(key)) return false;
          yield* effect;
          yield* values.set(key, nothing, ttl);
          return true;
        }),
      });
    }),
  );
