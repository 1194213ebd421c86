/**
 * Where the event store put a record: the message id names the record of its subject that it was
 * appended behind, and its place in its batch. The server checks the first when it stores the record,
 * so a number that stands where its id says is right, and a record that other hands put there, or a
 * copy of one, does not stand so. It keeps out accidents, not forgery.
 */
import type { Entry } from "../log.ts";
import { randomMessageId } from "../message_id.ts";

export interface Placement {
  /** The sequence of the record before the batch, 0 for none. */
  readonly after: number;
  readonly place: number;
}

/** An id for a record that is appended there; no two are alike. */
export const placementId = ({ after, place }: Placement): string =>
  `${after}:${place}:${randomMessageId()}`;

/** Where a record says that it was put, or nothing if it was not put there by the event store. */
export const placementOf = ({ id = "" }: Entry): Placement | undefined => {
  const [, after, place] = /^(\d+):(\d+):/.exec(id) ?? [];
  return after === undefined ? undefined : { after: Number(after), place: Number(place) };
};
