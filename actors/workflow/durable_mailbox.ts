/**
 * A mailbox of a workflow: messages from anywhere, in the order in which they came, each taken once
 * however often the body runs. What is offered is durable, and an id makes a repetition harmless.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import type { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
import { jsonOf } from "./json_of.ts";
import { isWithin, type Limit } from "./limited.ts";
import { currentBody } from "./workflow_body.ts";
import { type OfferError, type Target, WorkflowExtras } from "./workflow_extras.ts";

export interface DurableMailbox<S extends Schema.Top> {
  readonly name: string;
  readonly schema: S;
}

export interface OfferOptions<S extends Schema.Top> extends Target {
  readonly value: S["Type"];
  /** Makes a repeated offer harmless; left out, each is another message. */
  readonly id?: string;
}

export type { Limit };

type Taking<S extends Schema.Top> =
  | WorkflowEngine
  | WorkflowExtras
  | WorkflowInstance
  | S["DecodingServices"];

export const make = <S extends Schema.Top>(
  name: string,
  { schema }: { readonly schema: S },
): DurableMailbox<S> => ({ name, schema });

const channelOf = ({ name }: DurableMailbox<Schema.Top>): string => `mailbox ${name}`;

/** Puts a message into the mailbox of an execution; it is durable when this returns. */
export const offer: <S extends Schema.Top>(
  mailbox: DurableMailbox<S>,
  options: OfferOptions<S>,
) => Effect.Effect<void, OfferError, WorkflowExtras | S["EncodingServices"]> = Effect.fn(
  "DurableMailbox.offer",
)(function* <S extends Schema.Top>(
  mailbox: DurableMailbox<S>,
  { value, id = randomUUID(), ...to }: OfferOptions<S>,
) {
  const message = yield* Effect.orDie(Schema.encodeEffect(jsonOf(mailbox.schema))(value));
  yield* (yield* WorkflowExtras).send(to, channelOf(mailbox), id, message);
});

/** The next message, as soon as there is one; in the body of a workflow. */
export const take = <S extends Schema.Top>(
  mailbox: DurableMailbox<S>,
): Effect.Effect<S["Type"], never, Taking<S>> =>
  Effect.map(takeFrom(mailbox, "DurableMailbox.take"), Option.getOrThrow);

/** The next message, or nothing if none comes within a time, or before a deferred is done. */
export const takeOption = <S extends Schema.Top>(
  mailbox: DurableMailbox<S>,
  limit: Limit,
): Effect.Effect<Option.Option<S["Type"]>, never, Taking<S>> =>
  takeFrom(mailbox, "DurableMailbox.takeOption", limit);

const takeFrom = <S extends Schema.Top>(
  mailbox: DurableMailbox<S>,
  verb: string,
  limit?: Limit,
) =>
  Effect.gen(function* () {
    const name = channelOf(mailbox);
    const channel = (yield* currentBody(verb)).channel(name);
    const { receive } = yield* WorkflowExtras;
    const message = yield* channel.turn.withPermit(Effect.gen(function* () {
      if (limit !== undefined && !(yield* isWithin(name, channel, limit))) return undefined;
      const message = yield* receive(name, channel.taken);
      channel.taken++;
      return { message };
    }));
    if (message === undefined) return Option.none();
    const value = Schema.decodeEffect(jsonOf(mailbox.schema))(message.message);
    return Option.some(yield* Effect.orDie(value));
  });
