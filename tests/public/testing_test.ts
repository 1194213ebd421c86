import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Actor,
  actor,
  ExecutionCancelled,
  ExecutionExpired,
  NondeterministicProgram,
  remoteActor,
  type Run,
  signal,
} from "@weir/weir";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";

const approval = signal<{ by: string }>("approval");
const startsAt = new Date("2026-01-01T00:00:00Z");

const day = 24 * 60 * 60 * 1000;

/** Everything that an actor can do, and what of it had an effect. */
const makeOrder = () => {
  const effects: Array<string> = [];
  const ship = actor("ship", async (ctx, of: string) => {
    await ctx.sleep("queue", "1 hour");
    return ctx.run("label", () => {
      effects.push("label");
      return `label of ${of}`;
    });
  });
  const order = actor("order", async (ctx, cents: number) => {
    const receipt = await ctx.run("charge", () => {
      effects.push("charge");
      return `receipt over ${cents}`;
    });
    const { by } = await ctx.wait(approval);
    await ctx.sleep("cool off", "7 days");
    const label = await ctx.call(ship, by);
    const mailed = await ctx.run("mail", () => {
      effects.push("mail");
      return true;
    });
    return { receipt, by, label, mailed };
  });
  return { order, ship, effects };
};

const expected = { receipt: "receipt over 42", by: "ana", label: "label of ana", mailed: true };

const statusOf = async (run: Run) => (await run.describe()).status;

describe("an engine in memory", () => {
  it("a week passes when the test says so", async () => {
    const naps = actor("naps", async (ctx) => {
      await ctx.sleep("week", "7 days");
      return (await ctx.now()).toISOString();
    });
    await using weir = await inMemory({ startsAt });
    await weir.worker([naps]);
    const run = await weir.start(naps, undefined);
    await weir.advance("6 days");
    assert.equal(await statusOf(run), "suspended");
    assert.equal(weir.now.getTime(), startsAt.getTime() + 6 * day);
    await weir.advance("1 day");
    assert.equal(await statusOf(run), "completed");
    assert.equal(await run.result(), "2026-01-08T00:00:00.000Z");
  });

  it("what is due happens at its time and in order, however far time goes at once", async () => {
    const seen: Array<readonly [string, number]> = [];
    const naps = actor("naps", async (ctx, hours: number) => {
      for (const round of [1, 2]) {
        await ctx.sleep("nap", `${hours} hours`);
        const hour = ((await ctx.now()).getTime() - startsAt.getTime()) / (60 * 60 * 1000);
        await ctx.run("note", () => void seen.push([`${hours}/${round}`, hour]));
      }
    });
    await using weir = await inMemory({ startsAt });
    await weir.worker([naps], { residentGrace: "1 second" });
    for (const hours of [5, 2, 3]) await weir.start(naps, hours);
    await weir.advance("30 days");
    assert.deepEqual(seen, [["2/1", 2], ["3/1", 3], ["2/2", 4], ["5/1", 5], ["3/2", 6], [
      "5/2",
      10,
    ]]);
  });

  it("who awaits a result lets time pass", async () => {
    const { order, ship, effects } = makeOrder();
    await using weir = await inMemory({ startsAt });
    await weir.worker([order, ship]);
    const run = await weir.start(order, 42);
    await run.signal(approval, { by: "ana" });
    assert.deepEqual(await run.result(), expected);
    assert.deepEqual(effects, ["charge", "label", "mail"]);
    assert.ok(weir.now.getTime() >= startsAt.getTime() + 7 * day);
  });

  it("who awaits a result that no time brings is told why", async () => {
    const { order, ship } = makeOrder();
    await using weir = await inMemory();
    await weir.worker([order, ship]);
    const run = await weir.start(order, 42);
    await assert.rejects(run.result(), /does not end by itself.*waits for the signal approval/);
    await run.signal(approval, { by: "ana" });
    assert.deepEqual(await run.result(), expected);
  });

  it("deadlines, pauses between tries and time limits go by the test's clock", async () => {
    let tries = 0;
    const flaky = actor("flaky", (ctx) =>
      ctx.run("call", ({ signal }) => {
        tries++;
        return new Promise((_, reject) => signal.addEventListener("abort", reject));
      }, { timeout: "10 minutes", retry: { attempts: 100, delay: "1 day", backoff: "fixed" } }));
    await using weir = await inMemory({ startsAt });
    await weir.worker([flaky]);
    const run = await weir.start(flaky, undefined, { deadline: "10 days" });
    await assert.rejects(run.result(), ExecutionExpired);
    assert.ok(tries >= 10 && tries <= 20, `${tries} tries`);
    assert.equal(weir.now.getTime(), startsAt.getTime() + 10 * day);
  });

  it("a step that waits for the outside world is waited for", async () => {
    const slow = actor("slow", async (ctx) => {
      await ctx.run("read", () => sleep(40));
      await ctx.sleep("nap", "1 day");
      return ctx.run("read again", () => sleep(40, "read"));
    });
    await using weir = await inMemory();
    await weir.worker([slow]);
    assert.equal(await (await weir.start(slow, undefined)).result(), "read");
  });

  it("two have nothing in common", async () => {
    const naps = actor("naps", (ctx) => ctx.sleep("nap", "1 day"));
    await using one = await inMemory({ startsAt });
    await using other = await inMemory({ startsAt });
    await one.worker([naps]);
    await one.start(naps, undefined, { id: "n-1" });
    await one.advance("2 days");
    assert.equal(other.now.getTime(), startsAt.getTime());
    await assert.rejects(other.get(naps, "n-1").describe(), { code: "WEIR_EXECUTION_NOT_FOUND" });
  });

  it("a result that nobody waits for any more lets no more time pass", async () => {
    const reason = new Error("the tab was closed");
    const leaving = new AbortController();
    const naps = actor("naps", async (ctx) => {
      await ctx.sleep("first", "1 day");
      await ctx.run("leave", () => leaving.abort(reason));
      await ctx.sleep("second", "1 day");
    });
    await using weir = await inMemory({ startsAt });
    await weir.worker([naps]);
    const run = await weir.start(naps, undefined);
    await assert.rejects(run.result({ signal: AbortSignal.abort(reason) }), reason);
    assert.equal(weir.now.getTime(), startsAt.getTime());
    await assert.rejects(run.result({ signal: leaving.signal }), reason);
    assert.equal(weir.now.getTime(), startsAt.getTime() + day);
    await run.result({ signal: new AbortController().signal });
  });
});

describe("a crash in memory", () => {
  for (const name of ["charge", "approval", "cool off", "ship", "mail"]) {
    for (const moment of ["before", "after"] as const) {
      it(`of an order ${moment} "${name}" is recorded costs at most that once more`, async () => {
        const { order, ship, effects } = makeOrder();
        await using weir = await inMemory({ startsAt });
        const first = await weir.worker([order, ship]);
        const crashed = first.crashAt(name, moment);
        const run = await weir.start(order, 42, { id: "o-1" });
        await run.signal(approval, { by: "ana" });
        await weir.advance("8 days");
        await crashed;
        await weir.worker([order, ship]);
        assert.deepEqual(await run.result(), expected);
        const again = moment === "before" && (name === "charge" || name === "mail");
        assert.deepEqual(
          effects,
          ["charge", "label", "mail"].flatMap((effect) =>
            again && effect === name ? [effect, effect] : [effect]
          ),
        );
      });
    }
  }

  it("a killed worker writes nothing more, whatever it has under way", async () => {
    let finish = () => {};
    const stuck = actor(
      "stuck",
      (ctx) => ctx.run("slow", () => new Promise<void>((resolve) => finish = resolve)),
    );
    await using weir = await inMemory({ startsAt });
    const worker = await weir.worker([stuck]);
    const run = await weir.start(stuck, undefined);
    await weir.advance("1 minute");
    const before = await recordsOf(weir, run);
    await worker.crash();
    finish();
    await weir.advance("1 hour");
    assert.deepEqual(await recordsOf(weir, run), before);
    assert.equal((await weir.workers()).length, 0);
  });

  it("its executions are another worker's, in a new attempt", async () => {
    const attempts: Array<number> = [];
    const order = actor("order", async (ctx) => {
      attempts.push(ctx.attempt);
      await ctx.run("charge", () => "charged");
      await ctx.sleep("nap", "1 hour");
      return ctx.run("ship", () => "shipped");
    });
    await using weir = await inMemory({ runsTwice: false });
    const first = await weir.worker([order], { residentGrace: "2 hours" });
    const second = await weir.worker([order], { residentGrace: "2 hours" });
    const run = await weir.start(order, undefined);
    await weir.advance("1 minute");
    const { owner } = await run.describe();
    await (owner === first.identity ? first : second).crash();
    await weir.advance("1 minute");
    const found = await run.describe();
    assert.equal(found.owner, owner === first.identity ? second.identity : first.identity);
    assert.equal(await run.result(), "shipped");
    assert.deepEqual(attempts, [0, 1]);
  });

  it("one crash after another still ends well", async () => {
    const { order, ship, effects } = makeOrder();
    await using weir = await inMemory();
    const run = await weir.start(order, 42, { unserved: true });
    await run.signal(approval, { by: "ana" });
    for (const [name, moment] of [["charge", "after"], ["cool off", "before"], ["ship", "after"]]) {
      const worker = await weir.worker([order, ship]);
      const crashed = worker.crashAt(name!, moment as "before" | "after");
      await weir.advance("9 days");
      await crashed;
    }
    await weir.worker([order, ship]);
    assert.deepEqual(await run.result(), expected);
    assert.deepEqual(effects, ["charge", "label", "mail"]);
  });

  it("a worker that is closed in order leaves nothing to be reclaimed", async () => {
    const { order, ship, effects } = makeOrder();
    await using weir = await inMemory();
    const first = await weir.worker([order, ship]);
    const run = await weir.start(order, 42);
    await weir.advance("1 second");
    await first.close();
    await weir.worker([order, ship]);
    await run.signal(approval, { by: "ana" });
    assert.deepEqual(await run.result(), expected);
    assert.deepEqual(effects, ["charge", "label", "mail"]);
    assert.equal((await run.describe()).attempt, 0);
  });
});

/** Plays a program; gives where it was found to do something else. */
const foundIn = async (
  program: Actor<undefined, unknown>,
  children: ReadonlyArray<Actor<string, unknown>> = [],
): Promise<NondeterministicProgram> => {
  const weir = await inMemory({ startsAt });
  await weir.worker([program, ...children], { residentGrace: "1 day" });
  const run = await weir.start(program, undefined);
  let found: unknown;
  await run.result().catch((error) => found = error);
  await weir.close();
  assert.ok(found instanceof NondeterministicProgram, String(found));
  assert.equal(found.execution, run.id);
  assert.match(found.message, /ctx\.now.*ctx\.random.*in a step/);
  return found;
};

describe("a program that runs twice", () => {
  const echo = actor("echo", (_ctx, input: string) => input);

  it("is found where its clock is its computer's", async () => {
    const found = await foundIn(actor("clock", async (ctx) => {
      await ctx.run("first", () => 1);
      await ctx.sleep("until noon", 1_000_000 + Date.now() % 1_000_000);
    }));
    assert.equal(found.step, "until noon");
    assert.match(found.first, /^ctx\.sleep "until noon" with 1\d+$/);
    assert.notEqual(found.first, found.second);
  });

  it("is found where it throws its own dice", async () => {
    const found = await foundIn(
      actor("dice", async (ctx) => {
        await ctx.run("first", () => 1);
        return ctx.call(echo, String(Math.random()), { name: "tell" });
      }),
      [echo],
    );
    assert.equal(found.step, "tell");
  });

  it("is found where an effect outside of a step shows", async () => {
    let count = 0;
    const found = await foundIn(actor("counts", async (ctx) => {
      await ctx.run("first", () => 1);
      await ctx.run(`number ${++count}`, () => 1);
    }));
    assert.deepEqual([found.step, found.first, found.second], [
      "number 1",
      'ctx.run "number 1"',
      'ctx.run "number 2"',
    ]);
  });

  it("is found where a step has an effect that is not its result", async () => {
    const found = await foundIn(actor("leaks", async (ctx) => {
      let name = "nobody";
      await ctx.run("look up", () => {
        name = "ana";
      });
      await ctx.run(`greet ${name}`, () => 1);
    }));
    assert.equal(found.step, "greet ana");
    assert.equal(found.second, 'ctx.run "greet nobody"');
  });

  it("is found where it asks for more, for less, or gives something else", async () => {
    let runs = 0;
    const more = await foundIn(actor("more", async (ctx) => {
      if (++runs % 2 === 0) await ctx.run("one more", () => 1);
    }));
    assert.deepEqual([more.step, more.first], ["one more", "it returned undefined"]);
    const less = await foundIn(actor("less", async (ctx) => {
      if (++runs % 2 === 1) await ctx.run("one less", () => 1);
    }));
    assert.deepEqual([less.step, less.second], ["one less", "it returned undefined"]);
    const other = await foundIn(actor("other", () => ++runs));
    assert.equal(other.step, "the result");
  });

  it("is left in peace where it does the same", async () => {
    const deep = actor("deep", async (ctx) => {
      const id = ctx.uuid();
      const phase = ctx.state<string>("phase");
      await phase.set(`at ${(await ctx.now()).getTime()}`);
      const child = await ctx.spawn(echo, `${id} ${ctx.random()}`, { name: phase.get()! });
      const [first] = await Promise.all([
        Promise.race([ctx.sleep("long", "2 days"), ctx.run("short", () => [3, 1, 2])]),
        ctx.emit("log", "begun"),
      ]);
      (first as Array<number>).sort();
      await ctx.run("reports", async ({ emit }) => {
        await emit("log", Math.random());
        await ctx.emit("log", Date.now());
      });
      const failed = await ctx.run("fails", () => {
        throw new Error("no");
      }, { retry: { attempts: 1 } }).catch((error) => error.message);
      return [await child.result(), failed, ctx.cancelled.aborted, first];
    });
    for (const residentGrace of ["0 millis", "1 day"] as const) {
      await using weir = await inMemory({ startsAt });
      await weir.worker([deep, echo], { residentGrace });
      const run = await weir.start(deep, undefined);
      assert.deepEqual((await run.result())[3], [1, 2, 3]);
    }
  });

  it("is left in peace where it changes what it is given", async () => {
    const noted = signal<{ tags: Iterable<string> }>("noted", {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) => {
          const { tags } = value as { readonly tags: Iterable<string> };
          return { value: { tags: new Set(tags) } };
        },
      },
    });
    const changes = actor("changes", async (ctx, input: { todo: Array<string> }) => {
      const due = await ctx.now();
      due.setUTCDate(due.getUTCDate() + 7);
      const tags = (await ctx.wait(noted)).tags as Set<string>;
      const isNew = tags.delete("new");
      const done: Array<string> = [];
      for (let one = input.todo.shift(); one !== undefined; one = input.todo.shift()) {
        done.push(await ctx.run("do", () => one));
      }
      const before = Object.values(ctx.results) as Array<Array<number>>;
      return [due.toISOString(), isNew, done, before.map((numbers) => numbers.pop())];
    });
    const counts = actor("counts", () => [1, 2, 3]);
    await using weir = await inMemory({ startsAt });
    await weir.worker([changes, counts]);
    const after = [await weir.submit(counts, undefined)];
    const run = await weir.submit(changes, { todo: ["a", "b"] }, { after });
    await run.signal(signal<{ tags: Array<string> }>("noted"), { tags: ["new"] });
    assert.deepEqual(await run.result(), ["2026-01-08T00:00:00.000Z", true, ["a", "b"], [3]]);
  });

  it("is left in peace where two wait for one promise, each in its way", async () => {
    const both = actor("both", (ctx) => {
      const user = ctx.run("user", () => "ana");
      const mail = async () => {
        const to = await user;
        return ctx.run("mail", () => to);
      };
      return Promise.all([mail(), user.then((of) => ctx.run("audit", () => of))]);
    });
    await using weir = await inMemory();
    await weir.worker([both]);
    assert.deepEqual(await (await weir.start(both, undefined)).result(), ["ana", "ana"]);
  });

  it("is not what a remote actor is, which waits for its worker", async () => {
    const resize = remoteActor<string, string>("resize", { capabilities: ["image"] });
    await using weir = await inMemory();
    await weir.worker([resize]);
    const run = await weir.start(resize, "large");
    await weir.advance("1 minute");
    assert.equal((await run.describe()).reason, "capability");
    await assert.rejects(run.result(), /does not end by itself.*no remote worker is registered/);
    await run.cancel();
    await assert.rejects(run.result(), ExecutionCancelled);
  });

  it("tells at the end what nobody has asked for", async () => {
    const child = actor("child", () => Math.random());
    const parent = actor("parent", async (ctx) => {
      await ctx.call(child, undefined);
    });
    const weir = await inMemory();
    await weir.worker([parent, child]);
    await (await weir.start(parent, undefined)).result();
    await assert.rejects(weir.close(), (error: unknown) => {
      assert.ok(error instanceof NondeterministicProgram);
      assert.match(error.execution, /^child\//);
      return true;
    });
  });
});

const recordsOf = async (weir: MemoryWeir, run: Run) =>
  (await weir.events.loadEvents(run.id)).map(({ event }) => event);
