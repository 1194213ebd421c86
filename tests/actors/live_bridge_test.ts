/** What the live bridge leaves at the server, and what its clients hear when that goes away. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventStreams } from "../../http.ts";
import { actor, connect, type Weir } from "../../mod.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
import { readersOf } from "../fixtures/readers.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const order = actor("order", (_, n: number) => n);
const deadlineMs = 60_000;

describe("the live bridge on a server", () => {
  let server: ScratchServer;
  let proxy: Proxy;
  let weir: Weir;
  let bridged: Weir;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    proxy = await startProxy(server.port);
    weir = await connect({ servers: server.url });
    bridged = await connect({ servers: proxy.url });
    await weir.worker([order]);
  });
  after(async () => {
    await weir.close();
    await bridged.close();
    await proxy.stop();
    await server.stop();
  });

  const readers = () => readersOf(server.url, ".done.");
  const untilReaders = (count: number) =>
    eventually(
      `${count} read at the server`,
      async () => await readers() === count || undefined,
      deadlineMs,
    );

  const ask = (lastEventId?: string, signal?: AbortSignal) =>
    eventStreams({ weir: bridged })(
      new Request("http://weir.test/v1/streams/completions?cursor=earliest", {
        headers: lastEventId === undefined ? {} : { "last-event-id": lastEventId },
        ...(signal === undefined ? {} : { signal }),
      }),
    );

  /** The text of what a client is sent, up to one of its messages. */
  const readerOf = (response: Response) => {
    const chunks = response.body!.getReader();
    const decoder = new TextDecoder();
    return {
      until: async (awaited: RegExp): Promise<RegExpMatchArray> => {
        for (let text = "";;) {
          const found = text.match(awaited);
          if (found !== null) return found;
          const { value, done } = await chunks.read();
          assert.ok(done !== true, text);
          text += decoder.decode(value);
        }
      },
      read: () => chunks.read(),
      cancel: () => chunks.cancel(),
    };
  };

  it("a client that goes away leaves no consumer, however it goes", async () => {
    const { id } = await weir.start(order, 1);
    const before = await readers();
    const cancelled = readerOf(await ask());
    const controller = new AbortController();
    const aborted = readerOf(await ask(undefined, controller.signal));
    for (const client of [cancelled, aborted]) await client.until(new RegExp(id));
    // What waits for the next event reads at the server.
    const [first, second] = [cancelled.read(), aborted.read()];
    await untilReaders(before + 2);
    await cancelled.cancel();
    await untilReaders(before + 1);
    controller.abort();
    await untilReaders(before);
    assert.equal((await first).done, true);
    assert.equal((await second).done, true);
  });

  it("one whose server goes away is told, and goes on behind the last message", async () => {
    const client = readerOf(await ask());
    const [, seen] = await client.until(/id: (\S+)\nevent: success/);
    const next = client.until(/event: error\ndata: (.*)\n\n/);
    proxy.cut();
    const { code, cursor, retryable } = JSON.parse((await next)[1]!);
    assert.deepEqual([code, cursor, retryable], ["WEIR_STREAM_DISCONNECTED", seen, true]);
    const { id } = await weir.start(order, 2);
    const again = readerOf(
      await eventually("it is served again", async () => {
        const response = await ask(seen);
        if (response.status === 200) return response;
        assert.equal(response.status, 503);
        await response.body?.cancel();
        return undefined;
      }, deadlineMs),
    );
    const [data] = await again.until(/data: .*\n/);
    assert.ok(data.includes(id), data);
    await again.cancel();
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
