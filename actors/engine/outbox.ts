/**
 * Adding events to the outbox as an operation of an actor's code: the event and the record of it are
 * stored in one step, under the lease, or neither is. A replay finds the record and adds nothing.
 * Who publishes the event is not the execution's business.
 */
import * as Effect from "effect/Effect";
import type { InvalidInput, PayloadTooLarge } from "../../schema/errors.ts";
import { checkOptions, type OptionNames } from "../../schema/option_names.ts";
import { outboxRecord } from "../../streams/outbox/record.ts";
import { prepare } from "../../streams/outbox/service.ts";
import { outboxAddress } from "../../streams/subjects.ts";
import type { Host, Perform } from "./host.ts";
import type { OperationError } from "./operations.ts";

export interface AddEventOptions {
  /** The name by which a replay finds it; the event type, if left out. */
  readonly name?: string;
  /** Events of one key are published one after another, in the order in which they were added. */
  readonly key?: string;
}

const optionNames: OptionNames<AddEventOptions> = { name: true, key: true };

/** Adds an event; gives its id. */
export type AddEvent = (
  eventType: string,
  payload: unknown,
  options?: AddEventOptions,
) => Effect.Effect<string, OperationError | InvalidInput | PayloadTooLarge>;

export const eventsOf = (host: Host, perform: Perform): AddEvent =>
  Effect.fnUntraced(function* (eventType, payload, options = {}) {
    yield* checkOptions("outbox.add", options, optionNames);
    const { name = eventType, key: orderingKey } = options;
    const event = yield* prepare(
      {},
      eventType,
      payload,
      undefined,
      orderingKey === undefined ? {} : { key: orderingKey },
    );
    const [, result] = yield* perform(
      `weir.outbox/${name}`,
      "note",
      (key, _, refused) =>
        Effect.map(host.now, (createdAt) => {
          const beside = host.post.addressOf(host.execution, host.tenant);
          host.submit(
            { kind: "noted", key, what: "outbox", value: event.id },
            undefined,
            refused,
            [{
              kind: "outbox",
              of: outboxAddress(beside, host.tenant, event.id),
              body: outboxRecord.encode({ kind: "event", ...event, createdAt }),
            }],
          );
        }),
    );
    return result.type === "value" && typeof result.value === "string" ? result.value : event.id;
  });
