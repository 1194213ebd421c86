import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { concerns, concernsOf, type Seen, type Wanted } from "../../streams/concerns.ts";
import { Connection } from "../../streams/connection.ts";
import { weir } from "../cli/command_line.ts";
import { openClient } from "../fixtures/log_client.ts";
import {
  eventually,
  leftovers,
  scratchCluster,
  scratchFolder,
  scratchServer,
} from "../fixtures/server.ts";

type Stream = Seen["streams"][number];

const peer = (name: string, more: object = {}) => ({
  name,
  current: true,
  offline: false,
  active: 0,
  lag: 0,
  ...more,
});

const stream = (num_replicas: number, cluster?: object): Stream =>
  ({ config: { name: "KV_weir", num_replicas }, cluster }) as unknown as Stream;

const account = (storage: number, max_storage: number) => ({ storage, limits: { max_storage } });

const seen = (more: object = {}): Seen =>
  ({
    durability: "power-safe",
    cluster: undefined,
    streams: [stream(1)],
    account: account(90, -1),
    disk: undefined,
    ...more,
  }) as unknown as Seen;

const three = { leader: "a", replicas: [peer("b"), peer("c")] };
const giB = 1024 ** 3;

describe("what an operator should look after", () => {
  const cases: Readonly<Record<string, readonly [Seen, Wanted, ReadonlyArray<RegExp>]>> = {
    "nothing, where all is well": [seen(), { durability: "power-safe", replicas: 1 }, []],
    "nothing of a cluster that is whole": [
      seen({ cluster: "c", streams: [stream(3, three)] }),
      { replicas: 3 },
      [],
    ],
    "less durability than was asked for": [
      seen({ durability: "bounded" }),
      { durability: "power-safe" },
      [/^! power-safe was asked for, and bounded is given: .* sync_interval: always$/],
    ],
    "more durability than was asked for": [seen(), { durability: "bounded" }, []],
    "a server that does not tell what it gives": [
      seen({ durability: "unknown" }),
      { durability: "bounded" },
      [/^bounded was asked for, and a server of one's own does not tell .* sync_interval/],
    ],
    "fewer replicas than were asked for": [
      seen({ cluster: "c" }),
      { replicas: 3 },
      [/^! KV_weir has 1 of the 3 replicas/],
    ],
    "one copy in a cluster": [seen({ cluster: "c" }), {}, [/^KV_weir is on one server/]],
    "no leader": [
      seen({ cluster: "c", streams: [stream(3, { replicas: [peer("b"), peer("c")] })] }),
      {},
      [/^KV_weir has no leader/],
    ],
    "copies that are missing or behind": [
      seen({
        cluster: "c",
        streams: [
          stream(3, {
            ...three,
            replicas: [peer("b", { offline: true }), peer("c", { current: false, lag: 7 })],
          }),
        ],
      }),
      {},
      [
        /^b is down, or 0 operations behind with its copy of KV_weir/,
        /^c is down, or 7 operations/,
      ],
    ],
    "an account that is almost full": [
      seen({ account: account(81 * giB, 100 * giB) }),
      {},
      [/^81 % of the account is used: raise/],
    ],
    "an account that is full": [
      seen({ account: account(100 * giB - 1_024, 100 * giB) }),
      {},
      [/^! 99 % of the account is used, and appends are refused/],
    ],
    "a store of one's own that is almost full": [
      seen({ account: account(90 * giB, -1), maxStorageBytes: 100 * giB }),
      {},
      [/^90 % of the store's maxStorageBytes is used/],
    ],
    "a tier that is almost full": [
      seen({
        account: {
          ...account(0, 0),
          tiers: { R1: account(1, 100), R3: account(99 * giB, 100 * giB) },
        },
      }),
      {},
      [/^99 % of the account's tier R3/],
    ],
    "a disk that is almost full": [
      seen({ disk: { freeBytes: 4 * giB, bytes: 100 * giB } }),
      {},
      [/^the disk of the store has 4096 MiB left, 4 %/],
    ],
    "a small disk with room": [seen({ disk: { freeBytes: giB, bytes: 2 * giB } }), {}, []],
    "what was asked for before what may come": [
      seen({ durability: "bounded", account: account(81 * giB, 100 * giB) }),
      { durability: "power-safe" },
      [/^! power-safe/, /^81 %/],
    ],
  };
  for (const [what, [given, wanted, expected]] of Object.entries(cases)) {
    it(what, () => {
      const found = concernsOf(given, wanted).map(({ isBroken, what }) =>
        isBroken ? `! ${what}` : what
      );
      assert.equal(found.length, expected.length, found.join("\n"));
      expected.forEach((each, i) => assert.match(found[i]!, each));
    });
  }
});

it("a server of one's own gives no concern", async () => {
  const server = await scratchServer();
  const client = openClient({ servers: server.url, durability: "power-safe" });
  try {
    const found = await client.runPromise(concerns({ durability: "power-safe", replicas: 1 }));
    assert.deepEqual(found, []);
  } finally {
    await client.dispose();
    await server.stop();
  }
});

it("the embedded server names its limit before it is reached", async () => {
  const embedded = { store: scratchFolder("store"), maxStorageBytes: 1024 ** 2 };
  const client = openClient({ embedded });
  try {
    const told = () =>
      client.runPromise(Effect.map(concerns(), (all) => all.map(({ what }) => what).join("\n")));
    assert.doesNotMatch(await told(), /maxStorageBytes/);
    const { manager, jetStream } = await client.runPromise(Connection);
    await manager.streams.add({ name: "filler", subjects: ["filler"] });
    await jetStream.publish("filler", new Uint8Array(900 * 1024));
    assert.match(
      await told(),
      /^8\d % of the store's maxStorageBytes is used, and appends are refused/m,
    );
  } finally {
    await client.dispose();
  }
});

it("a cluster names the servers that are down, and without a majority what got no answer", async () => {
  const { servers, urls, ready, stop } = await scratchCluster();
  try {
    await ready();
    const client = openClient({ servers: urls.slice(0, 1) }, { replicas: 3, shards: 1 });
    const told = () =>
      client.runPromise(Effect.map(concerns(), (all) => all.map(({ what }) => what)));
    await eventually("it is whole", async () => (await told()).length === 0 || undefined, 30_000);
    // The list is there as well, as it is where somebody looked before.
    assert.equal((await weir(["ls", "--server", urls[0]!])).exitCode, 0);
    await servers[2]!.kill();
    const isMissed = /^\S+-3 is down, or \d+ operations behind with its copy of KV_weir/;
    await eventually("it is missed", async () => {
      return (await told()).some((what) => isMissed.test(what)) || undefined;
    }, 60_000);
    await servers[1]!.kill();
    // The rest of the report comes all the same: who says nothing is named in it.
    const { exitCode, stdout } = await eventually("the account gets no answer", async () => {
      const ran = await weir(["doctor", "--quick", "--server", urls[0]!]);
      return /^BAD +look up the account got no answer: /m.test(ran.stdout) ? ran : undefined;
    }, 60_000);
    assert.equal(exitCode, 1);
    assert.match(stdout, /^server +nats-server .* at 127\.0\.0\.1:\d+$/m);
    await client.dispose();
  } finally {
    await stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
