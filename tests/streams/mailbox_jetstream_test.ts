import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import { HandOver, layerJetStream as layerHandOver } from "../../streams/hand_over.ts";
import { layerJetStream as layerLog } from "../../streams/log_jetstream.ts";
import { Mailboxes } from "../../streams/mailbox.ts";
import { layerJetStream } from "../../streams/mailbox/jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { subjectOf } from "../../streams/subjects.ts";
import { handOverSuite, offered } from "../conformance/hand_over_suite.ts";
import {
  acks,
  attend,
  declines,
  eventually,
  mailboxSuite,
  offered as offeredTo,
  posted,
  postMany,
  type Services as MailServices,
  uniqueActor,
} from "../conformance/mailbox_suite.ts";
import { sessionSuite } from "../conformance/session_suite.ts";
import { uniqueWorker } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

type Services = MailServices | HandOver | Connection.Connection;

const name = "JetStream, bounded, 2 shards";
describe(name, () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      Layer.mergeAll(layerJetStream, layerHandOver).pipe(
        Layer.provideMerge(Sessions.layer),
        Layer.provideMerge(layerLog({ shards: 2 })),
        Layer.provideMerge(Connection.layer({ servers: server.url })),
      ),
    );
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  mailboxSuite(name, (effect) => runtime.runPromise(effect));
  sessionSuite(name, (effect) => runtime.runPromise(effect));
  handOverSuite(name, (effect) => runtime.runPromise(effect));

  it("a worker that listens and does not answer is silent, not absent", () =>
    runtime.runPromise(Effect.scoped(Effect.gen(function* () {
      const { nats } = yield* Connection.Connection;
      const handOver = yield* HandOver;
      const worker = uniqueWorker();
      const { delivery } = yield* offered;
      const frozen = nats.subscribe(`weir-worker.${worker}.wake`, { callback: () => undefined });
      assert.equal(yield* handOver.send(worker, delivery), "silent");
      frozen.unsubscribe();
    }))));

  it("what a full worker declined is handed to who comes with room, and not offered anew", () =>
    runtime.runPromise(Effect.scoped(Effect.gen(function* () {
      const { fate } = yield* Mailboxes;
      const actor = uniqueActor();
      const full = yield* attend(actor, declines, { room: () => 0 });
      full.setFull(true);
      const messages = yield* postMany(actor, 100);
      const declined = () => new Map(full.offered.map((each) => [each.execution, each.offers]));
      yield* eventually("all are declined", () => declined().size === 100);
      const free = yield* attend(actor, acks);
      yield* eventually("all are taken", () => free.offered.length >= 100);
      assert.deepEqual(offeredTo(free.offered), posted(messages));
      // But for what the server may have been offering anew just then.
      const handed = free.offered.filter(({ execution, offers }) =>
        declined().get(execution) === offers
      );
      assert.ok(handed.length > 50, `${handed.length} were handed over`);
      yield* full.leave;
      for (const { entry } of free.offered) {
        yield* Effect.repeat(fate(entry), { until: (fate) => fate === "acked", times: 100 });
        assert.equal(yield* fate(entry), "acked");
      }
    }))));

  it("a wake-up that cannot be read is answered and goes no further", () =>
    runtime.runPromise(Effect.scoped(Effect.gen(function* () {
      const { nats } = yield* Connection.Connection;
      const handOver = yield* HandOver;
      const worker = uniqueWorker();
      yield* handOver.serve(worker, () => assert.fail("it was handed on"));
      const subject = subjectOf((yield* offered).delivery.address, "mail");
      const garbage = [
        "",
        "{",
        "[]",
        `{"shard":-1,"subject":"x","mail":1,"reply":""}`,
        // Whoever asks does not say what is published, and where.
        JSON.stringify({ shard: 0, subject, mail: 1, reply: "some.where" }),
        JSON.stringify({ shard: 0, subject, mail: 1, reply: "$JS.API.STREAM.DELETE.weir" }),
        JSON.stringify({ shard: 0, subject, mail: 1, reply: "$JS.ACK.other.c.1.1.1.1.0" }),
        JSON.stringify({ shard: 0, subject, mail: 1, reply: "$JS.ACK.KV_weir" }),
        JSON.stringify({ shard: 0, subject: "a.b", mail: 1, reply: "$JS.ACK.s.c.1.1.1.1.0" }),
      ];
      for (const each of garbage) {
        const answer = yield* Effect.promise(() =>
          nats.request(`weir-worker.${worker}.wake`, each, { timeout: 5_000 })
        );
        assert.equal(answer.string(), "unknown");
      }
    }))));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
