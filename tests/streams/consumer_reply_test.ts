/** What the server says of a message, taken to the millisecond that all other answers give, too. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { millisOf, readReply } from "../../streams/consumer_reply.ts";

it("the time of a message is cut to whole milliseconds, never rounded to the next one", () => {
  // As a number this is 1795271324456000000.
  const nanoseconds = 1795271324455999999n;
  assert.equal(millisOf(nanoseconds), 1795271324455);
  const told = {
    stream: "stream",
    consumer: "consumer",
    offers: 2,
    sequence: 42,
    delivery: 7,
    at: 1795271324455,
  };
  assert.deepEqual(readReply(`$JS.ACK.stream.consumer.2.42.7.${nanoseconds}.0`), told);
  assert.deepEqual(readReply(`$JS.ACK._.account.stream.consumer.2.42.7.${nanoseconds}.0`), told);
});

it("what is no reply of a consumer says nothing", () => {
  assert.equal(readReply("_INBOX.abc.1"), undefined);
});
