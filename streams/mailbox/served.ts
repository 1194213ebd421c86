/**
 * Whether any worker has ever served an actor: the first one creates the consumers of its mailbox,
 * and they stay. That it was is remembered; that it was not is asked anew each time. It says nothing
 * of who serves it now.
 */
import * as Cache from "effect/Cache";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type { ActorName } from "../../schema/ids.ts";
import { Connection } from "../connection.ts";
import { isRefusal } from "../drift.ts";
import { mailboxConsumer } from "../mailbox_consumers.ts";
import { type Layout, streamName } from "../subjects.ts";

const rememberedActors = 4_096;

const isNoConsumer = isRefusal(10014);

export const make = Effect.fnUntraced(function* (layout: Layout) {
  const { ask, manager } = yield* Connection;
  const stream = streamName(layout, 0);
  const served = yield* Cache.makeWith(
    (actor: ActorName) => {
      const consumer = mailboxConsumer(actor, 0);
      return ask(`look up ${consumer}`, () => manager.consumers.info(stream, consumer)).pipe(
        Effect.as(true),
        Effect.catchIf(isNoConsumer, () => Effect.succeed(false)),
      );
    },
    {
      capacity: rememberedActors,
      timeToLive: (exit) => Exit.isSuccess(exit) && exit.value ? Duration.infinity : Duration.zero,
    },
  );
  return {
    isServed: (actor: ActorName) => Cache.get(served, actor),
    /** Remembers actors whose consumers are there. */
    remember: (actors: ReadonlyArray<ActorName>) =>
      Effect.forEach(actors, (actor) => Cache.set(served, actor, true), { discard: true }),
  };
});
