import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions, type StartedExecution } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { HandOver } from "../../../streams/hand_over.ts";
import { type Entry, Log } from "../../../streams/log.ts";
import { type Delivery, Mailboxes } from "../../../streams/mailbox.ts";
import { executionAddress } from "../../../streams/subjects.ts";

const name = ActorName.make("waits");
const acme = Tenant.make("acme");
const worker = WorkerInstanceId.make("w1");

const waits: ActorCode = {
  name,
  run: (weir) => Effect.andThen(weir.wait("first"), weir.wait("second")),
};

/** A mailbox whose messages are offered by hand. */
const makePostman = () => {
  let handle: (delivery: Delivery) => void = () => assert.fail("nobody serves");
  const settled: Array<string> = [];
  const mailboxes = {
    serve: (_: unknown, handler: typeof handle) => {
      handle = handler;
      return Effect.succeed({
        setFull: () => {},
        lookAgain: () => {},
        offerOne: () => {},
        stop: Effect.void,
      });
    },
    forward: () => Effect.void,
    isServed: () => Effect.succeed(true),
    fate: () => Effect.succeed("unknown" as const),
  } satisfies Mailboxes["Service"];
  /** A message for the so-manieth time. */
  const delivery = (of: StartedExecution, entry: Entry, offers: number) =>
    Effect.map(Log, ({ layout }): Delivery => {
      const settle = (how: string) => () => void settled.push(`${how} ${entry.sequence}/${offers}`);
      return {
        entry,
        spilled: false,
        offers,
        address: executionAddress(layout, of.tenant, of.execution),
        tenant: of.tenant,
        execution: of.execution,
        actor: name,
        route: undefined,
        mail: entry.sequence,
        begins: false,
        ack: settle("ack"),
        retry: settle("retry"),
        decline: settle("decline"),
        working: () => {},
        handedOver: settle("hand over"),
        reply: undefined,
      };
    });
  const offer = (...of: Parameters<typeof delivery>) =>
    Effect.map(delivery(...of), (offered) => handle(offered));
  return { mailboxes, delivery, offer, settled };
};

const lastMail = Effect.fnUntraced(function* (of: StartedExecution) {
  const log = yield* Log;
  return Option.getOrThrow(
    yield* log.last(executionAddress(log.layout, of.tenant, of.execution), "mail"),
  );
});

const until = (condition: Effect.Effect<boolean, unknown, Executions>) =>
  Effect.gen(function* () {
    const deadline = Date.now() + 60_000;
    while (!(yield* condition)) {
      assert.ok(Date.now() < deadline, "in time");
      yield* Effect.promise(() => sleep(5));
    }
  });

/** An execution that waits for its second signal, with the mail of its start and of the first. */
const waiting = Effect.fnUntraced(function* (postman: ReturnType<typeof makePostman>) {
  yield* makeWorker({ actors: [waits], identity: worker, residentGrace: "1 hour" });
  const executions = yield* Executions;
  const of = yield* executions.start(name, acme, undefined, {
    id: "w-1",
    unserved: true,
  });
  const start = yield* lastMail(of);
  yield* postman.offer(of, start, 1);
  const waitsFor = (key: string) =>
    until(Effect.map(
      Effect.flatMap(Executions, ({ describe }) => describe(of)),
      ({ waitingFor }) => waitingFor.some((awaited) => awaited.key === key),
    ));
  yield* waitsFor("first");
  yield* executions.signal(of, "first", 1);
  const signal = yield* lastMail(of);
  return { of, start, signal, reached: waitsFor("second") };
});

const run = (
  test: (postman: ReturnType<typeof makePostman>) => Effect.Effect<
    void,
    unknown,
    Layer.Success<ReturnType<typeof layerMemory>> | Scope.Scope
  >,
) => {
  const postman = makePostman();
  return Effect.runPromise(
    test(postman).pipe(
      Effect.provideService(Mailboxes, postman.mailboxes),
      Effect.scoped,
      Effect.provide(layerMemory()),
    ),
  );
};

describe("the message that brings an execution back", () => {
  it("is not acked because it is offered twice", () =>
    run((postman) =>
      Effect.gen(function* () {
        const { of, start, signal, reached } = yield* waiting(postman);
        yield* postman.offer(of, signal, 1);
        yield* reached;
        assert.deepEqual(postman.settled, [`ack ${start.sequence}/1`]);
        yield* postman.offer(of, signal, 2);
        yield* (yield* Executions).signal(of, "third", 1);
        const third = yield* lastMail(of);
        yield* postman.offer(of, third, 1);
        yield* until(Effect.sync(() => postman.settled.length > 2));
        // Or what was offered first would be kept in mind for as long as the worker lives.
        assert.deepEqual(postman.settled, [
          `ack ${start.sequence}/1`,
          `hand over ${signal.sequence}/1`,
          `ack ${signal.sequence}/2`,
        ]);
      })
    ));

  it("is the last of the mailbox, in whatever order they are offered", () =>
    run((postman) =>
      Effect.gen(function* () {
        const { of, start, signal, reached } = yield* waiting(postman);
        yield* postman.offer(of, signal, 1);
        yield* reached;
        yield* postman.offer(of, start, 2);
        yield* until(Effect.sync(() => postman.settled.length > 1));
        assert.deepEqual(postman.settled, [
          `ack ${start.sequence}/1`,
          `ack ${start.sequence}/2`,
        ]);
      })
    ));

  it("is its owner's to keep when another hands it over, whoever is offered it as well", () =>
    run((postman) =>
      Effect.gen(function* () {
        const { of, start, signal, reached } = yield* waiting(postman);
        const delivery = yield* postman.delivery(of, signal, 1);
        const handOver = yield* HandOver;
        assert.equal(yield* handOver.send(worker, delivery), "taken");
        yield* reached;
        assert.deepEqual(postman.settled, [`ack ${start.sequence}/1`]);
        yield* postman.offer(of, signal, 2);
        yield* (yield* Executions).signal(of, "third", 1);
        const third = yield* postman.delivery(of, yield* lastMail(of), 1);
        assert.equal(yield* handOver.send(worker, third), "taken");
        yield* until(Effect.sync(() => postman.settled.length > 2));
        assert.deepEqual(postman.settled, [
          `ack ${start.sequence}/1`,
          `hand over ${signal.sequence}/1`,
          `ack ${signal.sequence}/2`,
        ]);
      })
    ));
});
