/**
 * A delivery on its way from one worker to another, which settles it then: what it is for, and where
 * the server wants to be told what becomes of it. What the message says is not sent along.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { mailRecord } from "../../schema/mail_record.ts";
import { Route } from "../../schema/route.ts";
import { readReply } from "../consumer_reply.ts";
import type { Delivery } from "../mailbox.ts";
import { type Layout, streamName } from "../subjects.ts";
import { type Offer, offerFor } from "./offer.ts";

export const Handed = Schema.Struct({
  shard: Schema.Natural,
  /** Of the message: a mailbox, or a lane. */
  subject: Schema.String,
  route: Schema.optionalKey(Route),
  /** The mailbox sequence up to which the owner must read. */
  mail: Schema.Natural,
  begins: Schema.optionalKey(Schema.Boolean),
  /** Where the server wants to be told what becomes of it. */
  reply: Schema.String,
});
export type Handed = typeof Handed.Type;

/** Whether it is known that its mail is a start. */
export const isForStart = ({ begins, route, spilled, entry }: Delivery): boolean =>
  begins ||
  (route === undefined && !spilled && Option.exists(
    Effect.runSync(Effect.option(mailRecord.decode(entry.body, entry))),
    ({ kind }) => kind === "start",
  ));

export const handedOf = (delivery: Delivery): Handed => {
  const { entry: { shard, subject }, route, mail, reply } = delivery;
  return {
    shard,
    subject,
    ...(route === undefined ? {} : { route }),
    mail,
    ...(isForStart(delivery) ? { begins: true } : {}),
    reply: reply ?? "",
  };
};

const nothing = new Uint8Array();

/** What of a delivery is known that was handed over. */
export type OfferHanded = Offer & Pick<Delivery, "offers" | "spilled"> & {
  readonly consumer: string;
};

/** What was handed over, with how often it had been offered; nothing, if it is no delivery of ours. */
export const offerOfHanded = (
  layout: Layout,
  { shard, subject, route, mail, begins = false, reply }: Handed,
): OfferHanded | undefined => {
  const told = readReply(reply);
  // Nothing else is told what becomes of it.
  if (told?.stream !== streamName(layout, shard) || !Number.isSafeInteger(told.sequence)) {
    return undefined;
  }
  const { consumer, sequence, at, offers } = told;
  const entry = { shard, subject, sequence, at, id: undefined, removed: false, body: nothing };
  const offer = offerFor(layout, entry, route, { mail, begins });
  return offer && { ...offer, consumer, offers, spilled: true };
};
