import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Option from "effect/Option";
import type { InvalidInput, LeaseHeld } from "../../schema/errors.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import { type AppendError, Log, type Message, type ReadError } from "../../streams/log.ts";
import type { LogOptions } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import {
  type Address,
  executionFilter,
  type Filter,
  matches,
  subjectOf,
} from "../../streams/subjects.ts";
import {
  append,
  begin,
  message,
  newExecution,
  own,
  type Services,
  stored,
  storedInAll,
  storedTexts,
} from "../fixtures/log_client.ts";
import { nobodyThere } from "../fixtures/appends.ts";
import { openProxiedLog, type ProxiedLog } from "../fixtures/proxied_log.ts";
import type { Verdict } from "../fixtures/proxy.ts";
import {
  eventually,
  leftovers,
  type ScratchCluster,
  scratchCluster,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

type Act<A> = Effect.Effect<A, AppendError | ReadError | LeaseHeld | InvalidInput, Services>;

/** An append about to be made: it gives the sequence of its first record. */
interface Prepared {
  readonly write: Act<number>;
  readonly to: Filter;
  readonly records: number;
  /** What must be possible afterwards. */
  readonly goOn?: Act<unknown>;
}

const renew = (lease: Lease) => Effect.flatMap(Leases, (leases) => leases.renew(lease));

const owned = (...kinds: ReadonlyArray<Message["kind"]>) => (execution: Address) =>
  Effect.map(own(execution), ({ fence }): Prepared => ({
    write: append(execution, ...kinds.map((kind) => message(kind, fence))),
    to: executionFilter(execution),
    records: kinds.length,
    goOn: append(execution, message("log", fence)),
  }));

const onTheLast = (events: number) => (execution: Address) =>
  Effect.map(append(execution, message("event", { after: 0 })), (after): Prepared => ({
    write: append(
      execution,
      message("event", { after }),
      ...Array.from({ length: events - 1 }, () => message("event")),
    ),
    to: executionFilter(execution, "event"),
    records: events,
  }));

const unowned = (...messages: ReadonlyArray<Message>) => (execution: Address) =>
  Effect.succeed<Prepared>({
    write: append(execution, ...messages),
    to: executionFilter(execution, "mail"),
    records: messages.length,
  });

const claim = (execution: Address) =>
  Effect.succeed<Prepared>({
    write: Effect.map(own(execution), ({ fence }) => fence.revision),
    to: executionFilter(execution, "lease"),
    records: 1,
  });

const renewal = (execution: Address) =>
  Effect.map(own(execution), (lease): Prepared => ({
    write: Effect.map(renew(lease), () => lease.fence.revision),
    to: executionFilter(execution, "lease"),
    records: 1,
    goOn: append(execution, message("log", lease.fence)),
  }));

const release = (execution: Address) =>
  Effect.map(own(execution), (lease): Prepared => ({
    write: Effect.gen(function* () {
      yield* (yield* Leases).release(lease);
      return Option.getOrThrow(yield* (yield* Log).last(execution, "lease")).sequence;
    }),
    to: executionFilter(execution, "lease"),
    records: 1,
  }));

const forms: Readonly<Record<string, (execution: Address) => Act<Prepared>>> = {
  "an owner's record": owned("log"),
  "an owner's batch": owned("log", "tag", "done"),
  "a claim": claim,
  "a renewal": renewal,
  "a release": release,
  "a start": unowned(message("mail", { after: 0 })),
  "anyone's message": unowned(message("mail")),
  "anyone's batch": unowned(message("mail"), message("mail")),
  "an event on the last one": onTheLast(1),
  "a batch of events on the last one": onTheLast(3),
};

const once = (verdict: Verdict) => {
  let isSpent = false;
  return (): Verdict => {
    if (isSpent) return "pass";
    isSpent = true;
    return verdict;
  };
};

/** Runs with a clock that can leap, as it does when a laptop wakes up, past all that ids live. */
const whileClockJumps = async (body: (jump: () => void) => Promise<void>): Promise<void> => {
  const { now } = Date;
  try {
    await body(() => Date.now = () => now() + 600_000);
  } finally {
    Date.now = now;
  }
};

/** Every form of append, whose first answer or request is lost. */
const losses = (open: () => Promise<ProxiedLog>) => {
  for (const lost of ["answer", "request"] as const) {
    describe(`an append whose ${lost} is lost with the connection`, () => {
      let log: ProxiedLog;
      before(async () => log = await open());
      after(() => log.close());

      for (const [name, prepare] of Object.entries(forms)) {
        it(`${name} is stored once, and its sequence is told`, async () => {
          const { client, witness, appends } = log;
          const execution = await witness.runPromise(newExecution);
          const { write, to, records, goOn } = await client.runPromise(prepare(execution));
          const before = await witness.runPromise(Effect.flatMap(Log, (log) => log.tail(to.shard)));
          const sent = appends.sent.length;
          if (lost === "answer") appends.onAnswer = once("cut");
          else appends.onAppend = once("cut");
          const sequence = await client.runPromise(write);
          assert.ok(appends.sent.length > sent + 1, "nothing was sent again");
          const entries = await witness.runPromise(storedInAll(before.sequence));
          assert.deepEqual(
            entries.flatMap((entry) => matches(to.subject, entry.subject) ? [entry.sequence] : []),
            Array.from({ length: records }, (_, i) => sequence + i),
          );
          if (goOn !== undefined) await client.runPromise(goOn);
        });
      }
    });
  }
};

const outcomes = (durability: Durability) => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability }));
  after(() => server.stop());

  const withLog = (
    title: string,
    test: (log: ProxiedLog) => Promise<void>,
    options: LogOptions = {},
  ) =>
    it(title, async () => {
      const log = await openProxiedLog(server, durability, options);
      try {
        await test(log);
      } finally {
        await log.close();
      }
    });

  losses(() => openProxiedLog(server, durability));

  describe("an owner whose lease moves on during an outage", () => {
    const tests = [
      ["answer", ["log"], ["log"]],
      ["answer", ["log", "done"], ["log", "done"]],
      ["append", ["log"], []],
      ["append", ["log", "done"], []],
    ] as const;
    for (const [lost, kinds, there] of tests) {
      const what = kinds.length === 1 ? "record" : "batch";
      const fate = there.length === 0 ? "never arrived" : "was stored";
      withLog(`is told that its ${what}, which ${fate}, may be there`, async (log) => {
        const { client, witness } = log;
        const execution = await witness.runPromise(newExecution);
        const { fence } = await client.runPromise(own(execution));
        const outage = log.outage(lost);
        const write = begin(
          client,
          Effect.flip(append(execution, ...kinds.map((kind) => message(kind, fence)))),
        );
        await outage;
        await witness.runPromise(
          Effect.flatMap(Leases, (leases) => leases.revoke(execution, { by: "operator" })),
        );
        log.recovery();
        const error = await write;
        assert.ok(error._tag === "StaleFence");
        assert.equal(error.landed, "unknown");
        assert.deepEqual(await witness.runPromise(storedTexts(execution)), there);

        const sent = log.appends.sent.length;
        const later = append(execution, message("log", fence));
        assert.equal((await client.runPromise(Effect.flip(later)))._tag, "StaleFence");
        assert.equal(log.appends.sent.length, sent, "a lost fence was tried again");
      });
    }
  });

  withLog("an owner whose lease a rival has replaced during an outage has lost it", async (log) => {
    const { client, witness } = log;
    const execution = await witness.runPromise(newExecution);
    const { fence } = await client.runPromise(own(execution));
    const outage = log.outage("answer");
    const renewal = begin(client, Effect.flip(append(execution, message("lease", fence))));
    await outage;
    const theirs = { ...message("lease", undefined, "theirs"), replaces: true };
    await witness.runPromise(append(execution, theirs));
    log.recovery();
    const error = await renewal;
    assert.ok(error._tag === "StaleFence");
    assert.equal(error.landed, "unknown");
    assert.ok(fence.lost);
  });

  describe("an event on the last one, when a rival has written on during an outage", () => {
    const tests = [
      ["answer", 1, "adds to it", "written"],
      ["answer", 1, "replaces it", "unknown"],
      ["answer", 2, "replaces it", "unknown"],
      ["append", 1, "adds to it", "not written"],
      ["append", 1, "replaces it", "unknown"],
    ] as const;
    for (const [lost, events, rival, told] of tests) {
      const what = events === 1 ? "an event" : "a batch";
      withLog(`${what} whose ${lost} is lost is ${told} if the rival ${rival}`, async (log) => {
        const { client, witness } = log;
        const execution = await witness.runPromise(newExecution);
        const after = await witness.runPromise(append(execution, message("event", { after: 0 })));
        const outage = log.outage(lost);
        const write = begin(
          client,
          append(
            execution,
            message("event", { after }, "mine"),
            ...(events === 1 ? [] : [message("event", undefined, "mine")]),
          ).pipe(
            Effect.as("written"),
            Effect.catchTags({
              SequenceConflict: () => Effect.succeed("not written"),
              Unavailable: ({ landed }) => Effect.succeed(landed),
            }),
          ),
        );
        await outage;
        const replaces = rival === "replaces it";
        const theirs = { ...message("event", undefined, "theirs"), replaces };
        await witness.runPromise(append(execution, theirs));
        log.recovery();
        assert.equal(await write, told);
      });
    }
  });

  describe("an outage longer than the deadline", () => {
    withLog(
      "what was sent may be there, what was not is not, and both are told",
      async (log) => {
        const { client, witness } = log;
        const [sent, other] = await witness.runPromise(
          Effect.all([newExecution, newExecution]),
        );
        const outcome = (execution: Address, what: string) =>
          begin(client, Effect.flip(append(execution, message("log", undefined, what))));
        const outage = log.outage("answer");
        const outcomes = [outcome(sent, "sent"), outcome(sent, "behind it")];
        await outage;
        outcomes.push(outcome(other, "during the outage"));
        const told = (await Promise.all(outcomes)).map((error) => {
          assert.ok(error._tag === "Unavailable");
          return error.landed;
        });
        assert.deepEqual(told, ["unknown", "no", "no"]);

        log.recovery();
        for (const execution of [sent, other]) {
          await client.runPromise(append(execution, message("log", undefined, "later")));
        }
        assert.deepEqual(await witness.runPromise(storedTexts(sent)), ["sent", "later"]);
        assert.deepEqual(await witness.runPromise(storedTexts(other)), ["later"]);
      },
      { giveUpAfter: "300 millis" },
    );

    withLog(
      "everything that waits for one execution is told in time",
      async (log) => {
        const { client, witness } = log;
        const [busy, other] = await witness.runPromise(Effect.all([newExecution, newExecution]));
        await log.outage();
        const order: Array<string> = [];
        const outcome = (execution: Address, name: string) =>
          begin(
            client,
            Effect.map(Effect.flip(append(execution, message("log"))), () => order.push(name)),
          );
        const waiting = Array.from({ length: 20 }, () => outcome(busy, "busy"));
        await waiting[0];
        await outcome(other, "other");
        assert.equal(order.filter((name) => name === "busy").length, 20);
        log.recovery();
      },
      { giveUpAfter: "300 millis" },
    );
  });

  describe("attack 18: an outage longer than the server remembers message ids", () => {
    for (const lost of ["answer", "append"] as const) {
      const there = lost === "answer" ? ["sent"] : [];
      withLog(`what was sent is not sent again when the ${lost} was lost`, async (log) => {
        const { client, witness, appends, proxy } = log;
        const execution = await witness.runPromise(newExecution);
        const outage = log.outage(lost);
        const write = begin(
          client,
          Effect.flip(append(execution, message("mail", undefined, "sent"))),
        );
        await outage;
        const sent = appends.sent.length;
        await whileClockJumps(async (jump) => {
          // As late as can be: the connection is back, and nothing has looked at a clock since.
          const judge = proxy.toServer;
          proxy.toServer = (frame) => {
            if (frame.verb === "PING") jump();
            return judge(frame);
          };
          log.recovery();
          const error = await write;
          assert.ok(error._tag === "Unavailable");
          assert.equal(error.landed, "unknown");
        });
        await client.runPromise(append(execution, message("mail", undefined, "later")));
        assert.equal(appends.sent.length, sent + 1);
        assert.deepEqual(await witness.runPromise(storedTexts(execution)), [...there, "later"]);
      });
    }

    withLog("nor when nobody has answered since, and the connection held", async (log) => {
      const { client, witness, appends } = log;
      const execution = await witness.runPromise(newExecution);
      const outage = log.outage("answer");
      const write = begin(
        client,
        Effect.flip(append(execution, message("mail", undefined, "sent"))),
      );
      await outage;
      await whileClockJumps(async (jump) => {
        log.recovery();
        let sent = 0;
        appends.onAnswer = (_, frame) => {
          jump();
          sent ||= appends.sent.length;
          return nobodyThere(frame);
        };
        const error = await write;
        assert.ok(error._tag === "Unavailable");
        assert.equal(error.landed, "unknown");
        assert.equal(appends.sent.length, sent);
      });
      assert.deepEqual(await witness.runPromise(storedTexts(execution)), ["sent"]);
    });
  });

  describe("a caller that is interrupted", () => {
    withLog("before anything was sent takes its append along", async (log) => {
      const { client, witness, appends } = log;
      const execution = await witness.runPromise(newExecution);
      await log.outage();
      const gone = client.runFork(append(execution, message("mail", undefined, "gone")));
      const waiting = begin(client, append(execution, message("mail", undefined, "waiting")));
      await client.runPromise(Fiber.interrupt(gone));
      log.recovery();
      await waiting;
      assert.equal(appends.sent.length, 1);
      assert.deepEqual(await witness.runPromise(storedTexts(execution)), ["waiting"]);
    });

    withLog("after it was sent leaves it to finish, and the next one waits", async (log) => {
      const { client, witness, appends, proxy } = log;
      const execution = await witness.runPromise(newExecution);
      const { fence } = await client.runPromise(own(execution));
      const before = appends.sent.length;
      let isHeld = false;
      appends.onAnswer = () => {
        if (isHeld) return "pass";
        isHeld = true;
        return "hold";
      };
      const lease = message("lease", fence);
      const renewal = client.runFork(append(execution, {
        ...lease,
        onStored: (sequence) => fence.advance(sequence),
      }));
      await eventually("the renewal is answered", () => isHeld || undefined);
      await client.runPromise(Fiber.interrupt(renewal));
      const next = begin(client, append(execution, message("log", fence)));
      await log.allSent();
      assert.deepEqual(appends.sent.slice(before).map(({ subject }) => subject), [
        subjectOf(execution, "lease"),
      ]);
      proxy.release();
      assert.ok(await next > fence.revision);
    });
  });

  withLog(
    "a connection that breaks again while an outcome is looked up costs no more than that",
    async (log) => {
      const { client, witness, appends, proxy } = log;
      const execution = await witness.runPromise(newExecution);
      const judge = proxy.toServer;
      let isLookedUp = false;
      proxy.toServer = (frame) => {
        if (isLookedUp || !frame.words[0]?.startsWith("$JS.API.STREAM.MSG.GET.")) {
          return judge(frame);
        }
        isLookedUp = true;
        return "cut";
      };
      appends.onAnswer = once("cut");
      const sequence = await client.runPromise(append(execution, message("mail", { after: 0 })));
      const [entry] = await witness.runPromise(stored(executionFilter(execution)));
      assert.equal(entry?.sequence, sequence);
      assert.ok(isLookedUp);
    },
    // Less than a request takes that nobody ends.
    { giveUpAfter: "3 seconds" },
  );

  withLog("an append made during an outage goes through after it", async (log) => {
    const { client, witness } = log;
    const execution = await witness.runPromise(newExecution);
    await log.outage();
    const write = begin(client, append(execution, message("mail")));
    log.recovery();
    const sequence = await write;
    const [entry] = await witness.runPromise(stored(executionFilter(execution)));
    assert.equal(entry?.sequence, sequence);
  });
};

describe("outcomes, bounded", () => outcomes("bounded"));
describe("outcomes, power-safe", () => outcomes("power-safe"));
describe("outcomes, three replicas", () => {
  let cluster: ScratchCluster;
  before(async () => cluster = await scratchCluster({ durability: "bounded" }));
  after(() => cluster.stop());
  losses(() => openProxiedLog(cluster.servers[0]!, "bounded", { replicas: 3 }));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
