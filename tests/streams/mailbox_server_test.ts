/** Mailboxes when workers, servers and consumers end, on real processes. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { ConsumerInfo } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import { ActorName } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream as layerLog, type LogOptions } from "../../streams/log_jetstream.ts";
import { Mailboxes, workingEveryMs } from "../../streams/mailbox.ts";
import { layerJetStream } from "../../streams/mailbox/jetstream.ts";
import { mailboxConsumer } from "../../streams/mailbox_consumers.ts";
import * as Sessions from "../../streams/session.ts";
import type { Address } from "../../streams/subjects.ts";
import {
  acks,
  attend,
  eventually,
  keeps,
  offered,
  post,
  posted,
  postMany,
  type Services as MailServices,
  uniqueActor,
} from "../conformance/mailbox_suite.ts";
import { body } from "../conformance/subject_matter.ts";
import { jetStreamApi } from "../fixtures/jetstream_api.ts";
import type { MailWorkerOptions, Offered } from "../fixtures/mail_worker.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import {
  eventually as eventuallyAsync,
  leftovers,
  scratchCluster,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

type Services = MailServices | Connection.Connection;

const open = (servers: string | ReadonlyArray<string>, options: LogOptions = {}) =>
  ManagedRuntime.make(
    layerJetStream.pipe(
      Layer.provideMerge(Sessions.layer),
      Layer.provideMerge(layerLog(options)),
      Layer.provideMerge(Connection.layer({ servers })),
    ),
  );

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(new URL(`../fixtures/mail_worker${extension}`, import.meta.url));

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((worker) => worker.kill("SIGKILL")));

interface MailWorker {
  readonly offered: ReadonlyArray<Offered>;
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<unknown>;
}

/** Starts a worker process, and kills it when the scope ends. */
const startWorker = (options: Omit<MailWorkerOptions, "worker">) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const args = JSON.stringify({ ...options, worker: randomUUID() });
      const child = spawn(process.execPath, [...runtimeArguments, script, args], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      living.add(child);
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      void ended.then(() => living.delete(child));
      const seen: Array<Offered> = [];
      await new Promise<void>((resolve) => {
        createInterface({ input: child.stdout }).on("line", (line) => {
          const told = JSON.parse(line);
          if (told === "serving") resolve();
          else seen.push(told);
        });
      });
      // On Deno, `child.kill` sends but one signal.
      const signal = (name: NodeJS.Signals) =>
        Effect.promise(() => {
          if (living.has(child)) process.kill(child.pid!, name);
          return name === "SIGKILL" ? ended : Promise.resolve();
        });
      return { offered: seen, signal } satisfies MailWorker;
    }),
    ({ signal }) => signal("SIGKILL"),
  );

const partOf = ({ tail }: Address) => Number(tail.split(".")[0]);

/** Posts to an execution until both workers know each other, and tells whom its mail sticks to. */
const sticksTo = (actor: ActorName, name: string, workers: readonly [MailWorker, MailWorker]) =>
  Effect.gen(function* () {
    const who: Array<number> = [];
    let part = 0;
    while (who.length < 5 || new Set(who.slice(-5)).size > 1) {
      const { address, sequence } = yield* post(actor, name);
      part = partOf(address);
      const index = () =>
        workers.findIndex(({ offered }) => offered.some(({ mail }) => mail === sequence));
      yield* eventually("it is offered", () => index() >= 0);
      who.push(index());
    }
    const first = who.at(-1)!;
    return { sticky: workers[first]!, next: workers[1 - first]!, part };
  });

/** Waits until as many wait for mail of a part as there should be. */
const whoWait = (actor: ActorName, part: number, count: number) =>
  Effect.gen(function* () {
    const api = jetStreamApi((yield* Connection.Connection).nats);
    yield* Effect.promise(() =>
      eventuallyAsync(`${count} wait`, async () => {
        const info = await api.done<ConsumerInfo>(
          `CONSUMER.INFO.KV_weir.${mailboxConsumer(actor, part)}`,
        );
        return info.num_waiting === count || undefined;
      })
    );
  });

const isOffered = ({ offered }: MailWorker, sequence: number) =>
  offered.some(({ mail }) => mail === sequence);

describe("mailboxes on a server", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = open(server.url);
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  const test = (
    title: string,
    effect: (
      actor: ActorName,
    ) => Effect.Effect<unknown, unknown, Services | Scope.Scope>,
  ) =>
    it(
      title,
      () =>
        runtime.runPromise(
          Effect.asVoid(Effect.scoped(Effect.suspend(() => effect(uniqueActor())))),
        ),
    );

  test("of a killed worker, the next is offered what comes first, and what it had once more", (actor) =>
    Effect.gen(function* () {
      const options = { url: server.url, actor, keeps: [`${actor}/kept`] };
      const workers = yield* Effect.all([startWorker(options), startWorker(options)], {
        concurrency: 2,
      });
      const { sticky, next, part } = yield* sticksTo(actor, "kept", workers);
      const last = sticky.offered.at(-1)!.mail;
      yield* whoWait(actor, part, 2);
      yield* sticky.signal("SIGKILL");
      yield* whoWait(actor, part, 1);
      const { sequence } = yield* post(actor, "kept");
      yield* eventually("the new one is offered", () => isOffered(next, sequence));
      yield* eventually("the last one is offered again", () => isOffered(next, last));
      const offers = (of: number) => next.offered.find(({ mail }) => mail === of)!.offers;
      // The server gives nothing to who is known to be gone, so that nothing has to be overdue.
      assert.deepEqual([offers(sequence), offers(last)], [1, 2]);
    }));

  test("mail that a frozen worker took goes to the next, and later mail does not wait", (actor) =>
    Effect.gen(function* () {
      const options = { url: server.url, actor, keeps: [] };
      const workers = yield* Effect.all([startWorker(options), startWorker(options)], {
        concurrency: 2,
      });
      const { sticky: frozen, next } = yield* sticksTo(actor, "o-1", workers);
      yield* frozen.signal("SIGSTOP");
      const taken = yield* post(actor, "o-1");
      yield* eventually("it is offered to the next", () => isOffered(next, taken.sequence));
      assert.equal(next.offered.find(({ mail }) => mail === taken.sequence)!.offers, 2);
      const later = yield* post(actor, "o-1");
      yield* eventually("later mail is offered", () => isOffered(next, later.sequence));
      assert.equal(next.offered.find(({ mail }) => mail === later.sequence)!.offers, 1);
      yield* frozen.signal("SIGCONT");
      yield* eventually("it sees what it had", () => isOffered(frozen, taken.sequence));
    }));

  test("a message that its worker is silent about is offered again, and no other", (actor) =>
    Effect.gen(function* () {
      const worker = yield* attend(actor, keeps);
      const slow = yield* post(actor, "slow");
      const silent = yield* post(actor, "silent");
      const offers = ({ sequence }: { readonly sequence: number }) =>
        worker.offered.filter(({ mail }) => mail === sequence).length;
      yield* eventually("both are offered", () => worker.offered.length >= 2);
      yield* Effect.sync(() => worker.offered.find(({ mail }) => mail === slow.sequence)!.working())
        .pipe(Effect.schedule(Schedule.spaced(workingEveryMs)), Effect.forkScoped);
      yield* eventually("one is offered again", () => offers(silent) > 1);
      assert.equal(offers(slow), 1);
    }));

  for (const kind of ["graceful end", "kill -9"] as const) {
    test(`a ${kind} of the server delays mail and loses none`, (actor) =>
      Effect.gen(function* () {
        const worker = yield* attend(actor, acks);
        const early = yield* postMany(actor, 20);
        yield* eventually("all are offered", () => worker.offered.length >= 20);
        yield* Effect.promise(async () => {
          if (kind === "kill -9") await server.kill();
          await server.restart();
        });
        const late = yield* postMany(actor, 20);
        const all = posted([...early, ...late]);
        yield* eventually("all are offered", () => new Set(offered(worker.offered)).size >= 40);
        assert.deepEqual([...new Set(offered(worker.offered))].sort(), all);
      }));
  }

  test("a consumer that was deleted is made again, and offers its mail anew", (actor) =>
    Effect.gen(function* () {
      const { nats } = yield* Connection.Connection;
      const api = jetStreamApi(nats);
      const worker = yield* attend(actor, acks);
      const { address } = yield* post(actor, "o-1");
      yield* eventually("it is offered", () => worker.offered.length > 0);
      const part = partOf(address);
      const consumer = mailboxConsumer(actor, part);
      yield* Effect.promise(() => api.done(`CONSUMER.DELETE.KV_weir.${consumer}`));
      const second = yield* post(actor, "o-1");
      const isSeen = () => worker.offered.some(({ mail }) => mail === second.sequence);
      yield* eventually("it is offered", isSeen);
    }));

  test("that an actor is served is found out from the server, and asked only until it is", (actor) =>
    Effect.gen(function* () {
      const { nats } = yield* Connection.Connection;
      const client = open(server.url);
      yield* Effect.addFinalizer(() => Effect.promise(() => client.dispose()));
      const isServed = Effect.promise(() =>
        client.runPromise(Effect.flatMap(Mailboxes, ({ isServed }) => isServed(actor)))
      );
      let asked = 0;
      const subject = `$JS.API.CONSUMER.INFO.KV_weir.${mailboxConsumer(actor, 0)}`;
      nats.subscribe(subject, { callback: () => void asked++ });
      yield* Effect.promise(() => nats.flush());
      assert.equal(yield* isServed, false);
      assert.equal(yield* isServed, false);
      yield* eventually("each time anew", () => asked === 2);
      yield* attend(actor, acks);
      asked = 0;
      assert.equal(yield* isServed, true);
      assert.equal(yield* isServed, true);
      yield* Effect.promise(() => nats.flush());
      assert.equal(asked, 1);
    }));

  test("what is not ours is terminated, so that nobody is offered it again", (actor) =>
    Effect.gen(function* () {
      const { nats, jetStream } = yield* Connection.Connection;
      const api = jetStreamApi(nats);
      const worker = yield* attend(actor, acks);
      const subject = `weir.mail.0.${actor}.acme.=zz`;
      yield* Effect.promise(() => jetStream.publish(subject, body("foreign")));
      const info = () =>
        api.done<ConsumerInfo>(`CONSUMER.INFO.KV_weir.${mailboxConsumer(actor, 0)}`);
      let found = yield* Effect.promise(info);
      while (found.num_pending > 0 || found.num_ack_pending > 0) {
        found = yield* Effect.promise(info);
      }
      assert.equal(found.delivered.consumer_seq, 1);
      assert.equal(worker.offered.length, 0);
    }));
});

it("mail of three replicas comes through when the leader of its consumers is killed", async () => {
  const cluster = await scratchCluster({ durability: "bounded" });
  const runtime = open(cluster.urls, { replicas: 3, parts: 1 });
  const actor = uniqueActor();
  await runtime.runPromise(Effect.scoped(Effect.gen(function* () {
    const { ask, manager, nats } = yield* Connection.Connection;
    const worker = yield* attend(actor, acks);
    const first = yield* post(actor, "o-1");
    yield* eventually("it is offered", () => worker.offered.length > 0);
    const info = yield* ask(
      "look",
      () => manager.consumers.info("KV_weir", mailboxConsumer(actor, 0)),
    );
    const leader = cluster.servers[Number(info.cluster!.leader!.split("-").at(-1)) - 1]!;
    assert.ok(nats.info);
    yield* Effect.promise(() => leader.kill());
    const second = yield* post(actor, "o-1");
    const isSeen = () => worker.offered.some(({ mail }) => mail === second.sequence);
    yield* eventually("it is offered", isSeen);
    assert.ok(worker.offered.some(({ mail }) => mail === first.sequence));
  })));
  await runtime.dispose();
  await cluster.stop();
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
