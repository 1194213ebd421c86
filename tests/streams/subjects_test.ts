import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { jetstream, type JetStreamClient } from "@nats-io/jetstream";
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node";
import * as Schema from "effect/Schema";
import * as fc from "fast-check";
import { ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import { encodeToken } from "../../schema/token.ts";
import {
  addressOfSubject,
  bucketKinds,
  executionAddress,
  executionFilter,
  executionOfSubject,
  keyedFilter,
  type Kind,
  type Layout,
  matches,
  shardRoot,
  streamSubjects,
  subjectKinds,
  subjectOf,
  tenantFilter,
  workerAddress,
} from "../../streams/subjects.ts";
import { hostileIds } from "../fixtures/hostile_ids.ts";
import { jetStreamApi } from "../fixtures/jetstream_api.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { executionId, tenant, text, worker } from "../schema/arbitraries.ts";

const namespace = Namespace.make("weir");
const layout: Layout = { namespace, shards: 3, parts: 8 };

/** The kinds whose subject names an execution. */
const kinds: ReadonlyArray<Kind> = [...bucketKinds, ...subjectKinds]
  .filter((kind) => kind !== "worker");

/** Every subject that an execution has. */
const subjectsOf = (tenant: Tenant, execution: ExecutionId): ReadonlyArray<string> => {
  const address = executionAddress(layout, tenant, execution);
  return [...kinds.map((kind) => subjectOf(address, kind)), subjectOf(address, "timer", "a key.")];
};

describe("the subjects of an execution", () => {
  it("are legal whatever its id and its tenant are", () => {
    const legal = /^(\$KV\.)?weir(-[12])?\.[a-z]+\.[0-7]\.([A-Za-z0-9_=-]+\.){2,3}[A-Za-z0-9_=-]+$/;
    fc.assert(fc.property(tenant, executionId, (tenant, execution) => {
      for (const subject of subjectsOf(tenant, execution)) assert.match(subject, legal);
    }));
  });

  it("lie in the stream of its shard, and in no other", () => {
    fc.assert(fc.property(tenant, executionId, (tenant, execution) => {
      const { shard } = executionAddress(layout, tenant, execution);
      for (const subject of subjectsOf(tenant, execution)) {
        const streams = [0, 1, 2].filter((shard) =>
          streamSubjects(layout, shard).some((filter) => matches(filter, subject))
        );
        assert.deepEqual(streams, [shard]);
      }
    }));
  });

  it("are never shared with another execution or another tenant's", () => {
    /** What a careless encoding would confuse with an id. */
    const neighbours = (id: string) => [
      id,
      `_/${id}`,
      `/${id}`,
      `${id}/`,
      encodeToken(id),
      id.replace("/", "."),
      id.replace(".", "/"),
      id.toUpperCase(),
      id.normalize("NFD"),
      id.trim(),
      id.slice(1),
    ];
    const isId = Schema.is(Tenant);
    fc.assert(fc.property(text(16), text(16), (one, two) => {
      const owners = new Map<string, string>();
      for (const tenant of neighbours(one).filter(isId)) {
        for (const execution of neighbours(two).filter(isId)) {
          const owner = JSON.stringify([tenant, execution]);
          const subjects = subjectsOf(tenant, ExecutionId.make(execution));
          for (const subject of subjects) {
            assert.equal(owners.get(subject) ?? owner, owner);
            owners.set(subject, owner);
          }
        }
      }
    }));
  });

  it("say whose they are", () => {
    fc.assert(fc.property(tenant, executionId, (tenant, execution) => {
      const address = executionAddress(layout, tenant, execution);
      for (const subject of subjectsOf(tenant, execution)) {
        assert.deepEqual(executionOfSubject(subject), { tenant, execution });
        assert.deepEqual(addressOfSubject(layout, address.shard, subject), address);
      }
    }));
  });

  it("are those of nobody where they stand out of place", () => {
    const address = executionAddress(layout, Tenant.make("acme"), ExecutionId.make("order/o-1"));
    const subject = subjectOf(address, "index");
    assert.deepEqual(addressOfSubject(layout, address.shard, subject), address);
    const elsewhere = { ...layout, shards: 64, parts: 256 };
    assert.equal(addressOfSubject(elsewhere, address.shard, subject), undefined);
    const tail = address.tail.slice(address.tail.indexOf("."));
    for (const part of ["9", "00", "x"]) {
      assert.equal(addressOfSubject(layout, address.shard, `weir.index.${part}${tail}`), undefined);
    }
    const long = `weir.index.0._.acme.${"x".repeat(201)}`;
    assert.equal(addressOfSubject(layout, 0, long), undefined);
  });

  it("are found by the filters of the execution and of the tenant, and by no one else's", () => {
    fc.assert(
      fc.property(tenant, tenant, executionId, executionId, (tenant, other, one, two) => {
        const address = executionAddress(layout, tenant, one);
        for (const kind of subjectKinds) {
          const subject = subjectOf(address, kind);
          const found = (filter: { readonly subject: string }) => matches(filter.subject, subject);
          assert.ok(found(executionFilter(address)));
          assert.ok(found(executionFilter(address, kind)));
          assert.ok(found(tenantFilter(layout, address.shard, kind, tenant)));
          assert.equal(found(executionFilter(executionAddress(layout, tenant, two))), one === two);
          assert.equal(found(tenantFilter(layout, address.shard, kind, other)), tenant === other);
        }
        for (const kind of bucketKinds) {
          assert.ok(!matches(executionFilter(address).subject, subjectOf(address, kind)));
        }
        const timer = subjectOf(address, "timer", two);
        assert.ok(!matches(executionFilter(address).subject, timer));
        assert.ok(matches(keyedFilter(address, "timer").subject, timer));
        assert.ok(!matches(keyedFilter(address, "lane").subject, timer));
      }),
    );
  });

  it("are those of nobody where a subject is not ours", () => {
    for (
      const subject of [
        "",
        "weir",
        "weir.log",
        "weir.log.0.order.acme",
        "weir.log.0.order.acme.",
        "weir.log.0.order..o-1",
        "weir.log.0.order.acme.o=2e1",
        "weir.log.0.order.acme.=FF",
        "weir.log.0.order.acme.o 1",
        "weir.log.0.order.acme.o=61",
        "$KV.weir.worker.w-1",
        "$KV.weir.lease.0.order.acme",
      ]
    ) assert.equal(executionOfSubject(subject), undefined, subject);
    fc.assert(fc.property(fc.string({ unit: "binary" }), (subject) => {
      executionOfSubject(subject);
    }));
  });

  it("of a worker are legal and its own", () => {
    fc.assert(fc.property(worker, worker, (one, two) => {
      const subject = subjectOf(workerAddress(layout, one), "worker");
      assert.match(subject, /^\$KV\.weir\.worker\.[A-Za-z0-9_=-]+$/);
      assert.equal(subjectOf(workerAddress(layout, two), "worker") === subject, one === two);
    }));
  });
});

describe("shard and partition", () => {
  // Part of the stored format: an entry that changes moves every execution that exists.
  const placed: ReadonlyArray<[string, string, number, string, number]> = [
    ["acme", "order/o-1", 1, "6.order.acme.o-1", 2],
    ["acme", "order/o-2", 2, "0.order.acme.o-2", 0],
    ["other", "order/o-1", 0, "5.order.other.o-1", 1],
    ["acme", "o-1", 2, "5._.acme.o-1", 1],
    ["default", "report", 1, "1._.default.report", 1],
    ["ACME Inc.", "order/2024/05.*>", 2, "0.order.ACME=20Inc=2E.2024=2F05=2E=2A=3E", 0],
    ["é漢🙂", "a-1/ \n%=", 2, "7.a-1.=C3=A9=E6=BC=A2=F0=9F=99=82.=20=0A=25=3D", 3],
    ["acme", "9x/y", 2, "2._.acme.9x=2Fy", 2],
    ["acme", "/y", 2, "6._.acme.=2Fy", 2],
    ["acme", "order/", 0, "5._.acme.order=2F", 1],
  ];
  for (const [owner, execution, shard, tail, partOfFour] of placed) {
    it(`of ${JSON.stringify(execution)} of ${owner} stay what they are`, () => {
      const ids = [Tenant.make(owner), ExecutionId.make(execution)] as const;
      const address = executionAddress(layout, ...ids);
      assert.deepEqual([address.shard, address.tail], [shard, tail]);
      const single = executionAddress({ namespace, shards: 1, parts: 4 }, ...ids);
      assert.deepEqual([single.shard, single.tail.split(".")[0]], [0, String(partOfFour)]);
    });
  }

  it("stay within their counts", () => {
    const counts = fc.record({ shards: fc.nat(63), parts: fc.nat(255) });
    fc.assert(fc.property(counts, tenant, executionId, ({ shards, parts }, tenant, execution) => {
      const layout = { namespace, shards: shards + 1, parts: parts + 1 };
      const { shard, root, tail } = executionAddress(layout, tenant, execution);
      assert.ok(Number.isInteger(shard) && shard >= 0 && shard <= shards);
      assert.equal(root, shardRoot(layout, shard));
      const part = tail.slice(0, tail.indexOf("."));
      assert.match(part, /^\d+$/);
      assert.ok(Number(part) <= parts);
    }));
  });

  const families: ReadonlyArray<[string, (i: number) => readonly [string, string]]> = [
    ["counted names", (i) => ["acme", `order/${i}`]],
    ["padded names", (i) => ["acme", `order/o-${String(i).padStart(8, "0")}`]],
    ["one name of many tenants", (i) => [`tenant-${i}`, "order/main"]],
    ["one name of many actors", (i) => ["acme", `actor${i}/main`]],
    ["names without an actor", (i) => ["acme", `${i}`]],
    ["dates", (i) => ["acme", `report/${new Date(i * 86_400_000).toISOString().slice(0, 10)}`]],
  ];
  for (const [family, idsOf] of families) {
    it(`spread ${family} evenly, and independently of each other`, () => {
      const executions = 10_000;
      for (const [shards, parts, bound] of [[1, 4, 16.3], [3, 4, 31.3], [4, 16, 103.5]] as const) {
        const cells = new Array<number>(shards * parts).fill(0);
        for (let i = 0; i < executions; i++) {
          const [owner, execution] = idsOf(i);
          const { shard, tail } = executionAddress(
            { namespace, shards, parts },
            Tenant.make(owner),
            ExecutionId.make(execution),
          );
          cells[shard * parts + Number(tail.split(".")[0])]!++;
        }
        const even = executions / cells.length;
        const chiSquare = cells.reduce((sum, count) => sum + (count - even) ** 2 / even, 0);
        // One in a thousand random spreads is worse.
        assert.ok(chiSquare < bound, `${shards} × ${parts}: ${chiSquare.toFixed(1)} of ${bound}`);
      }
    });
  }
});

describe("on a server", () => {
  let server: ScratchServer;
  let nats: NatsConnection;
  let jetStream: JetStreamClient;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    nats = await connect({ servers: server.url, noAsyncTraces: true });
    jetStream = jetstream(nats);
    const { done } = jetStreamApi(nats);
    for (let shard = 0; shard < layout.shards; shard++) {
      const name = `S${shard}`;
      await done(`STREAM.CREATE.${name}`, { name, subjects: streamSubjects(layout, shard) });
    }
  });
  after(async () => {
    await nats.close();
    await server.stop();
  });

  it("every hostile id is stored under its own subject, in the stream of its shard", async () => {
    const tenants = ["acme", "a.c*m>e", "é 漢/=%"].map((id) => Tenant.make(id));
    const sample = [...hostileIds, ...fc.sample(executionId, { numRuns: 20, seed: 22 })];
    const stored = new Map<string, number>();
    for (const execution of sample) {
      for (const tenant of tenants) {
        const address = executionAddress(layout, tenant, execution);
        for (const kind of ["lease", "event"] as const) {
          const subject = subjectOf(address, kind);
          const { seq, stream } = await jetStream.publish(subject, execution);
          assert.equal(stream, `S${address.shard}`);
          stored.set(subject, seq);
        }
      }
    }
    const { done } = jetStreamApi(nats);
    const subjects: Record<string, number> = {};
    for (let shard = 0; shard < layout.shards; shard++) {
      const { state } = await done<{ state: { subjects: Record<string, number> } }>(
        `STREAM.INFO.S${shard}`,
        { subjects_filter: ">" },
      );
      Object.assign(subjects, state.subjects);
    }
    assert.deepEqual(Object.keys(subjects).sort(), [...stored.keys()].sort());
    assert.equal(stored.size, new Set(sample).size * tenants.length * 2);
  });

  it("a filter matches the subjects that the server matches", async () => {
    const token = fc.constantFrom("a", "b", "$KV", "=2E");
    const subject = fc.array(token, { minLength: 1, maxLength: 4 });
    const filter = fc.tuple(
      fc.array(fc.oneof(token, fc.constant("*")), { minLength: 1, maxLength: 4 }),
      fc.constantFrom([], [">"]),
    ).map(([tokens, rest]) => [...tokens, ...rest]);
    const many = (subjects: fc.Arbitrary<ReadonlyArray<string>>) =>
      fc.uniqueArray(subjects.map((tokens) => tokens.join(".")), { minLength: 40, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(many(subject), many(filter), async (subjects, filters) => {
        const delivered = filters.map((filter) => {
          const found = new Set<string>();
          const callback = (_: unknown, message: Msg) => void found.add(message.subject);
          return { filter, found, subscription: nats.subscribe(filter, { callback }) };
        });
        for (const subject of subjects) nats.publish(subject);
        await nats.flush();
        for (const { filter, found, subscription } of delivered) {
          subscription.unsubscribe();
          const ours = subjects.filter((subject) => matches(filter, subject));
          assert.deepEqual(ours.sort(), [...found].sort(), filter);
        }
      }),
      { numRuns: 10 },
    );
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
