/**
 * The contract of `Mailboxes` on any log: who is offered a message, how often, and what becomes of it
 * when its worker declines it, has no room, or goes.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { ActorName, ExecutionId, Lane, type WorkerInstanceId } from "../../schema/ids.ts";
import { type Route, routeOf } from "../../schema/route.ts";
import { type Entry, Log } from "../../streams/log.ts";
import { ackWaitMs, type Delivery, Mailboxes, type ServeOptions } from "../../streams/mailbox.ts";
import { Sessions } from "../../streams/session.ts";
import { type Address, executionAddress, subjectOf } from "../../streams/subjects.ts";
import { body, type Run, tenant, text, uniqueWorker } from "./subject_matter.ts";

export type Services = Log | Mailboxes | Sessions;

export const uniqueActor = (): ActorName => ActorName.make(`a${randomUUID()}`);

export const post = (actor: ActorName, name: string, what = "mail") =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = executionAddress(log.layout, tenant, ExecutionId.make(`${actor}/${name}`));
    const { sequence } = yield* log.append(address, { kind: "mail", body: body(what) });
    return { address, sequence };
  });

/** Posts one message to each of several executions, which lie in all partitions. */
export const postMany = (actor: ActorName, count: number, what = "mail") =>
  Effect.forEach(Array.from({ length: count }), (_, i) => post(actor, `${i}`, what), {
    concurrency: 32,
  });

export interface Attending {
  readonly worker: WorkerInstanceId;
  readonly offered: Array<Delivery>;
  readonly setFull: (full: boolean) => void;
  readonly stop: Effect.Effect<void>;
  /** Ends its scope. */
  readonly leave: Effect.Effect<void>;
}

/** A worker that does with each delivery what it is told, and remembers it. */
export const attend = (
  actor: ActorName,
  behave: (delivery: Delivery) => void,
  options: Partial<ServeOptions> = {},
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope);
    const worker = options.worker ?? uniqueWorker();
    const serve = { actors: [actor], worker, lanes: [], capabilities: [], ...options };
    const { actors, lanes, capabilities } = serve;
    const offered: Array<Delivery> = [];
    const description = { actors, lanes, capabilities };
    const mailboxes = yield* Mailboxes;
    const sessions = yield* Sessions;
    yield* Scope.provide(sessions.open({ worker, ttl: "10 seconds", description }), scope);
    const serving = yield* Scope.provide(
      mailboxes.serve(serve, (delivery) => {
        offered.push(delivery);
        behave(delivery);
      }),
      scope,
    );
    const leave = Scope.close(scope, Exit.void);
    return { worker, offered, leave, ...serving } satisfies Attending;
  });

export const acks = (delivery: Delivery) => delivery.ack();
export const keeps = () => undefined;
export const declines = (delivery: Delivery) => delivery.decline();

/** Repeats a look until it finds; the test fails at the deadline. */
export const eventually = (what: string, look: () => boolean) =>
  Effect.sync(look).pipe(
    Effect.repeat({ until: (found) => found, schedule: Schedule.spaced("2 millis") }),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`not in time: ${what}`)),
    }),
  );

interface Posted {
  readonly address: Address;
  readonly sequence: number;
}

/** An entry's own fields, wherever it keeps them. */
const fieldsOf = ({ shard, subject, sequence, at, id, removed, body }: Entry) => ({
  shard,
  subject,
  sequence,
  at,
  id,
  removed,
  body,
});
const placeOf = (shard: number, sequence: number) => `${shard}: ${sequence}`;

/** What was offered, by its place in the log. */
export const offered = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<string> =>
  deliveries.map(({ address, mail }) => placeOf(address.shard, mail)).sort();

export const posted = (messages: ReadonlyArray<Posted>): ReadonlyArray<string> =>
  messages.map(({ address, sequence }) => placeOf(address.shard, sequence)).sort();

const isFor = ({ address, sequence }: Posted) => (delivery: Delivery): boolean =>
  delivery.mail === sequence && delivery.address.shard === address.shard;

const partition = ({ address }: { readonly address: Address }) =>
  `${address.shard} ${address.tail.split(".")[0]}`;

/** Posts until the same worker is offered each partition's mail three times in a row. */
const settled = (actor: ActorName, workers: ReadonlyArray<Attending>) =>
  Effect.gen(function* () {
    const history: Array<string> = [];
    const round = Effect.gen(function* () {
      const before = workers.map(({ offered }) => offered.length);
      const messages = yield* postMany(actor, 24);
      const fresh = () => workers.map(({ offered }, i) => offered.slice(before[i]));
      yield* eventually("all are offered", () => fresh().flat().length >= messages.length);
      const who = new Map<string, Set<number>>();
      fresh().forEach((deliveries, worker) =>
        deliveries.forEach((delivery) => {
          const key = partition(delivery);
          who.set(key, (who.get(key) ?? new Set()).add(worker));
        })
      );
      const picture = [...who].map(([key, set]) => `${key}: ${[...set].sort()}`).sort();
      history.unshift(picture.join("; "));
      const [first, second, third] = history;
      return !first!.includes(",") && first === second && second === third;
    });
    yield* Effect.repeat(round, { until: (same) => same, times: 200 });
    const [first, second, third] = history;
    assert.ok(!first!.includes(",") && first === second && second === third, history.join("\n"));
    return first!;
  });

const storedWakes = (address: Address, route: Route) =>
  Effect.flatMap(Log, (log) =>
    Stream.runCollect(
      log.read({ shard: address.shard, subject: subjectOf(address, "lane", route) }),
    ));

export const mailboxSuite = (name: string, run: Run<Services>): void => {
  const test = (
    title: string,
    effect: (actor: ActorName) => Effect.Effect<unknown, unknown, Services | Scope.Scope>,
  ) =>
    it(title, () => run(Effect.asVoid(Effect.scoped(Effect.suspend(() => effect(uniqueActor()))))));

  describe(`${name}: mailbox`, () => {
    test("offers each message once, with what it says of its execution", (actor) =>
      Effect.gen(function* () {
        const worker = yield* attend(actor, acks);
        const messages = yield* postMany(actor, 50, "hello");
        yield* eventually("all are offered", () => worker.offered.length >= 50);
        assert.deepEqual(offered(worker.offered), posted(messages));
        for (const delivery of worker.offered) {
          const { address } = messages.find((message) => isFor(message)(delivery))!;
          assert.deepEqual(delivery.address, address);
          assert.equal(delivery.execution, address.label);
          assert.deepEqual([delivery.tenant, delivery.actor], [tenant, actor]);
          assert.deepEqual([delivery.offers, delivery.route, delivery.spilled], [
            1,
            undefined,
            false,
          ]);
          assert.equal(text(delivery.entry), "hello");
          assert.equal(delivery.entry.subject, subjectOf(address, "mail"));
          assert.equal(delivery.entry.removed, false);
        }
        const [{ entry }] = worker.offered as [Delivery];
        const log = yield* Log;
        const stored = yield* Stream.runCollect(
          log.read({ shard: entry.shard, subject: entry.subject }),
        );
        assert.deepEqual(fieldsOf(stored[0]!), fieldsOf(entry));
      }));

    test("offers what came before any worker", (actor) =>
      Effect.gen(function* () {
        const messages = yield* postMany(actor, 20);
        const worker = yield* attend(actor, acks);
        yield* eventually("all are offered", () => worker.offered.length >= 20);
        assert.deepEqual(offered(worker.offered), posted(messages));
      }));

    test("offers only the mail of the worker's actors", (actor) =>
      Effect.gen(function* () {
        const worker = yield* attend(actor, acks);
        yield* postMany(uniqueActor(), 10);
        const messages = yield* postMany(actor, 10);
        yield* eventually("all are offered", () => worker.offered.length >= 10);
        assert.deepEqual(offered(worker.offered), posted(messages));
      }));

    test("an actor counts as served from its first worker on, whoever is there", (actor) =>
      Effect.gen(function* () {
        const { isServed } = yield* Mailboxes;
        yield* post(actor, "o-1");
        assert.equal(yield* isServed(actor), false);
        const worker = yield* attend(actor, acks);
        assert.equal(yield* isServed(actor), true);
        yield* worker.leave;
        assert.equal(yield* isServed(actor), true);
        assert.equal(yield* isServed(uniqueActor()), false);
      }));

    test("offers a message again after the time that a worker asks for, and not before", (actor) =>
      Effect.gen(function* () {
        const times: Array<number> = [];
        const worker = yield* attend(actor, (delivery) => {
          times.push(performance.now());
          if (delivery.offers < 3) delivery.retry(delivery.offers * 200);
          else delivery.ack();
          delivery.decline();
        });
        yield* post(actor, "o-1");
        yield* eventually("it is offered thrice", () => worker.offered.length >= 3);
        assert.deepEqual(worker.offered.map(({ offers }) => offers), [1, 2, 3]);
        assert.ok(times[1]! - times[0]! >= 190 && times[2]! - times[1]! >= 390, String(times));
      }));

    test("what a worker leaves unsettled goes to another at once, and nothing else", (actor) =>
      Effect.gen(function* () {
        const first = yield* attend(actor, (delivery) => {
          if (delivery.execution.endsWith("1")) delivery.ack();
        });
        const postedAt = performance.now();
        const messages = yield* postMany(actor, 20);
        yield* eventually("all are offered", () => first.offered.length >= 20);
        const second = yield* attend(actor, acks);
        yield* first.leave;
        const left = messages.filter(({ address }) => !address.label.endsWith("1"));
        yield* eventually("what is left is offered", () => second.offered.length >= left.length);
        // Were it not given back, it would have to be overdue first.
        assert.ok(performance.now() - postedAt < ackWaitMs, "it waited");
        assert.deepEqual(offered(second.offered), posted(left));
      }));

    test("mail sticks to one worker for each partition, and moves when that one goes", (actor) =>
      Effect.gen(function* () {
        const workers = [
          yield* attend(actor, acks),
          yield* attend(actor, acks),
          yield* attend(actor, acks),
        ];
        const picture = yield* settled(actor, workers);
        const busiest = [0, 1, 2].find((index) => picture.includes(`: ${index}`))!;
        yield* workers[busiest]!.leave;
        const others = workers.filter((_, index) => index !== busiest);
        const moved = yield* settled(actor, others);
        const stayed = picture.split("; ").filter((place) => !place.endsWith(`: ${busiest}`));
        const left = workers.flatMap((_, index) => index === busiest ? [] : [index]);
        for (const place of moved.split("; ")) {
          const [where, who] = place.split(": ");
          const before = stayed.find((other) => other.startsWith(`${where}:`));
          if (before !== undefined) assert.equal(before, `${where}: ${left[Number(who)]}`);
        }
      }));

    test("what a full worker declines goes to one with room, without going to and fro", (actor) =>
      Effect.gen(function* () {
        const full = [yield* attend(actor, declines), yield* attend(actor, declines)];
        full.forEach(({ setFull }) => setFull(true));
        const free = yield* attend(actor, acks);
        const messages = yield* postMany(actor, 200);
        yield* eventually("all are taken", () => free.offered.length >= 200);
        assert.deepEqual(offered(free.offered), posted(messages));
        const declined = full.reduce((sum, { offered }) => sum + offered.length, 0);
        assert.ok(declined <= 400, `${declined} declined`);
        const later = yield* postMany(actor, 200);
        yield* eventually("all are taken", () => free.offered.length >= 400);
        assert.deepEqual(offered(free.offered), posted([...messages, ...later]));
        const more = full.reduce((sum, { offered }) => sum + offered.length, 0) - declined;
        // One or two at each place, when it has been quiet for a moment; not each of them.
        assert.ok(more <= later.length / 5, `${more} declined of what came later`);
      }));

    test("attack 7: mail for what full workers have comes through behind what they decline", (actor) =>
      Effect.gen(function* () {
        const resident = `${actor}/resident`;
        const takes = (delivery: Delivery) =>
          delivery.execution === resident ? delivery.ack() : delivery.decline();
        const workers = [yield* attend(actor, takes), yield* attend(actor, takes)];
        workers.forEach(({ setFull }) => setFull(true));
        const messages = yield* postMany(actor, 500);
        const cancel = yield* post(actor, "resident");
        yield* eventually(
          "the cancel is offered",
          () => workers.some((worker) => worker.offered.some(isFor(cancel))),
        );
        const free = yield* attend(actor, acks);
        yield* eventually("all are taken", () => free.offered.length >= 500);
        assert.deepEqual(offered(free.offered), posted(messages));
      }));

    test("what all have declined comes back to the first that has room again", (actor) =>
      Effect.gen(function* () {
        let room = 0;
        let taken = 0;
        const take = (delivery: Delivery) => {
          if (room === 0) return delivery.decline();
          room--;
          taken++;
          delivery.ack();
          if (room === 0) worker.setFull(true);
        };
        const worker: Attending = yield* attend(actor, take);
        worker.setFull(true);
        yield* postMany(actor, 300);
        yield* eventually("all are offered", () => worker.offered.length >= 300);
        assert.equal(taken, 0);
        for (let target = 10; target <= 300; target += 10) {
          room = 10;
          worker.setFull(false);
          yield* eventually(`${target} are taken`, () => taken === target);
        }
      }));

    test("a worker that stops is offered nothing more, and what it has stays with it", (actor) =>
      Effect.gen(function* () {
        const first = yield* attend(actor, keeps);
        const early = yield* postMany(actor, 10);
        yield* eventually("all are offered", () => first.offered.length >= 10);
        yield* first.stop;
        const second = yield* attend(actor, acks);
        const late = yield* postMany(actor, 10);
        yield* eventually("the later ones are offered", () => second.offered.length >= 10);
        first.offered.forEach((delivery) => delivery.ack());
        yield* first.leave;
        const last = yield* post(actor, "last");
        yield* eventually("another is offered", () => second.offered.length >= 11);
        assert.deepEqual(offered(first.offered), posted(early));
        assert.deepEqual(offered(second.offered), posted([...late, last]));
      }));

    test("a subject that is not where it belongs is offered to nobody", (actor) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const worker = yield* attend(actor, acks);
        const { address } = yield* post(actor, "o-1");
        const [part, ...rest] = address.tail.split(".");
        const elsewhere = (Number(part) + 1) % log.layout.parts;
        const misplaced = { ...address, tail: [elsewhere, ...rest].join(".") };
        yield* log.append(misplaced, { kind: "mail", body: body("misplaced") });
        const illegible = { ...address, tail: `${part}.${actor}.acme.=zz` };
        yield* log.append(illegible, { kind: "mail", body: body("illegible") });
        const messages = yield* postMany(actor, 20);
        yield* eventually("the others are offered", () => worker.offered.length >= 21);
        assert.equal(worker.offered.length, messages.length + 1);
      }));
  });

  describe(`${name}: lane`, () => {
    const gpu = Lane.make("gpu");
    const batch = Lane.make("batch,nightly");
    const toGpu = routeOf(gpu, ["cuda"])!;
    const toBatch = routeOf(batch)!;

    /** Forwards what has another route, as workers do. */
    const forwarding =
      (route: Route, serves: boolean) =>
      (mailboxes: Mailboxes["Service"]) =>
      (delivery: Delivery) => {
        if (delivery.route === route || serves) return delivery.ack();
        Effect.runFork(
          Effect.andThen(mailboxes.forward(delivery, route), Effect.sync(() => delivery.ack())),
        );
      };

    test(
      "attack 14: mail that only others may serve reaches them through whoever is offered it",
      (actor) =>
        Effect.gen(function* () {
          const mailboxes = yield* Mailboxes;
          const behave = forwarding(toGpu, false)(mailboxes);
          const wrongLane = yield* attend(actor, behave, { lanes: [batch] });
          const lacking = yield* attend(actor, behave, { lanes: [gpu] });
          const right = yield* attend(actor, behave, { lanes: [gpu], capabilities: ["cuda"] });
          const messages = yield* postMany(actor, 20);
          const onLane = () => right.offered.filter(({ route }) => route === toGpu);
          yield* eventually("all come by the lane", () => onLane().length >= 20);
          assert.deepEqual(offered(onLane()), posted(messages));
          for (const delivery of onLane()) {
            const { address } = messages.find((message) => isFor(message)(delivery))!;
            assert.deepEqual(delivery.address, address);
            assert.equal(delivery.execution, address.label);
          }
          for (const other of [wrongLane, lacking]) {
            assert.ok(other.offered.every(({ route }) => route === undefined));
          }
        }),
    );

    test("what was forwarded waits for a worker that serves it", (actor) =>
      Effect.gen(function* () {
        const mailboxes = yield* Mailboxes;
        const done: Array<number> = [];
        const plain = yield* attend(actor, (delivery) => {
          Effect.runFork(Effect.andThen(
            mailboxes.forward(delivery, toBatch),
            Effect.sync(() => {
              delivery.ack();
              done.push(delivery.mail);
            }),
          ));
        });
        const messages = yield* postMany(actor, 10);
        yield* eventually("all are forwarded", () => done.length >= 10);
        const late = yield* attend(actor, acks, { lanes: [batch] });
        yield* eventually("all come by the lane", () => late.offered.length >= 10);
        assert.deepEqual(offered(late.offered), posted(messages));
        assert.equal(plain.offered.length, 10);
      }));

    test("forwarding a delivery twice stores one wake-up", (actor) =>
      Effect.gen(function* () {
        const mailboxes = yield* Mailboxes;
        const worker = yield* attend(actor, keeps);
        const { address } = yield* post(actor, "o-1");
        yield* eventually("it is offered", () => worker.offered.length > 0);
        yield* mailboxes.forward(worker.offered[0]!, toGpu);
        yield* mailboxes.forward(worker.offered[0]!, toGpu);
        yield* mailboxes.forward(worker.offered[0]!, toBatch);
        assert.equal((yield* storedWakes(address, toGpu)).length, 1);
        assert.equal((yield* storedWakes(address, toBatch)).length, 1);
      }));

    test("a worker bound to lanes is offered plain mail only when no other is there", (actor) =>
      Effect.gen(function* () {
        const bound = yield* attend(actor, acks, { lanes: [gpu] });
        const plain = yield* attend(actor, acks);
        const taken = () => plain.offered.length + bound.offered.length;
        let count = 0;
        /** Whether a round of mail, which lies in all partitions, goes past the one that is bound. */
        const goesPast = Effect.gen(function* () {
          const before = bound.offered.length;
          count += (yield* postMany(actor, 30)).length;
          yield* eventually("all are taken", () => taken() >= count);
          return bound.offered.length === before;
        });
        // The server may take mail in before the pulls that it was sent earlier.
        yield* Effect.repeat(goesPast, { until: (past) => past, times: 20 });
        assert.ok(yield* goesPast);
        const before = bound.offered.length;
        yield* plain.leave;
        yield* post(actor, "later");
        yield* eventually("it is offered to the other", () => bound.offered.length > before);
      }));
  });
};
