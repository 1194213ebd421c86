/**
 * Requests that the server answers with any number of messages, collected. An answer that does not
 * come to its end is none; that nothing matches is an empty one. It may come from a replica that lags.
 */
import type { StoredMsg } from "@nats-io/jetstream";
import { JetStreamStatusError } from "@nats-io/jetstream/internal";

const answerTimeoutMs = 5_000;

/** The messages that a direct request is answered with; the client's iterators leave subscriptions. */
export const collect = (
  send: (
    callback: (done: { readonly err?: Error } | null, message: StoredMsg) => void,
  ) => Promise<unknown>,
): Promise<ReadonlyArray<StoredMsg>> =>
  new Promise((settle, reject) => {
    const messages: Array<StoredMsg> = [];
    const timer = setTimeout(() => reject(new Error("no complete answer")), answerTimeoutMs);
    const fail = (error: unknown) => {
      clearTimeout(timer);
      reject(error);
    };
    send((done, message) => {
      if (done === null) messages.push(message);
      else if (
        done.err === undefined ||
        (done.err instanceof JetStreamStatusError && done.err.code === 404)
      ) {
        clearTimeout(timer);
        settle(messages);
      } else fail(done.err);
    }).catch(fail);
  });
