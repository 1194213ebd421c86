import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type Actor,
  actor,
  type ActorContext,
  connect,
  ConnectionFailed,
  remoteActor,
  ServerTooOld,
  signal,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const go = signal<{ readonly by: string }>("go");
const echo = actor("echo", (_ctx, input: unknown) => input);

/** How a function's execution fails: as which error, and what that says. */
const failureOf = async (run: (ctx: ActorContext) => unknown): Promise<string> => {
  await using weir = await inMemory();
  const first = actor("first", run) as Actor<undefined, unknown>;
  await weir.worker([first, echo]);
  const outcome = await (await weir.start(first, undefined)).outcome();
  assert.equal(outcome.type, "failure", JSON.stringify(outcome));
  const { failure } = (outcome as { error: { failure: { name: string; message: string } } }).error;
  return `${failure.name}: ${failure.message}`;
};

const mistakes: ReadonlyArray<
  readonly [string, (ctx: ActorContext) => unknown, says: RegExp]
> = [
  [
    "a step that nobody awaits",
    async (ctx) => {
      void ctx.run("charge", () => new Promise(() => {}));
      await ctx.run("other", () => 1);
    },
    /^NotAwaited: .*ctx\.run "charge".* put await before it, or give it to Promise\.all/,
  ],
  [
    "a sleep that nobody awaits",
    (ctx) => void ctx.sleep("nap", "1 day"),
    /^NotAwaited: .*ctx\.sleep "nap"/,
  ],
  [
    "a state that nobody awaits",
    (ctx) => void ctx.state("totals").set({ of: new Map() }),
    /^NotAwaited: .*ctx\.state "totals"/,
  ],
  [
    "a tag that nobody awaits",
    (ctx) => void ctx.tag("two words", "x"),
    /^NotAwaited: .*ctx\.tag "two words"/,
  ],
  [
    "a tag that nobody awaits to be gone",
    (ctx) => void ctx.untag("team.name"),
    /^NotAwaited: .*ctx\.untag "team\.name"/,
  ],
  [
    "a token that nobody awaits",
    (ctx) => void ctx.token(go),
    /^NotAwaited: .*ctx\.token "go"/,
  ],
  [
    "one name for two steps at once",
    (ctx) => Promise.all([ctx.run("pick", () => 1), ctx.run("pick", () => 2)]),
    /^NameInUse: .*"pick" while it is still in use\. Choose another name/,
  ],
  [
    "a step that gives a date",
    (ctx) => ctx.run("when", () => ({ order: { at: new Date(0) } })),
    /^InvalidInput: the result of when "an instance of Date at order\.at" .*toISOString\(\)/,
  ],
  [
    "a step that gives an instance of a class",
    (ctx) => ctx.run("where", () => [new URL("https://example.org")]),
    /^InvalidInput: .*"an instance of URL at 0".*store a plain object/,
  ],
  [
    "a step within a step",
    (ctx) => ctx.run("outer", () => ctx.run("inner", () => 1)),
    /^InsideStep: Step "outer" .* uses ctx\.run\..*Run it before the step or behind it\./,
  ],
  [
    "a number drawn within a step",
    (ctx) => ctx.run("draw", () => ctx.random()),
    /^InsideStep: .* uses ctx\.random\./,
  ],
  [
    "a state that is no JSON",
    (ctx) => ctx.state("totals").set({ of: new Map() }),
    /^InvalidInput: the state totals "an instance of Map at of".*like \[\.\.\.it\]/,
  ],
  [
    "an input of a child that is no JSON",
    (ctx) => ctx.call(echo, { cents: 10n }),
    /^InvalidInput: the input of echo "10n at cents".*store String\(it\)/,
  ],
  [
    "a duration that is none",
    (ctx) => ctx.sleep("nap", "a while" as "1 day"),
    /^InvalidInput: sleep "a while".*like 5 minutes/,
  ],
  [
    "a name that ends within a character",
    (ctx) => ctx.sleep("nap \ud83d", "1 day"),
    /^InvalidInput: step name .*expected 1 to 200 whole characters/,
  ],
  [
    "a timeout without an end",
    (ctx) => ctx.wait(go, { timeout: Infinity }),
    /^InvalidInput: timeout "Infinity".*at most a hundred years/,
  ],
  [
    "a misspelt option of a step",
    (ctx) => ctx.run("slow", () => 1, { startToCloseTimeout: "1 minute" } as object),
    /^InvalidInput: option of run "startToCloseTimeout" is refused: expected one of retry, timeout/,
  ],
  [
    "a misspelt option of a retry",
    (ctx) => ctx.run("often", () => 1, { retry: { maximumAttempts: 3 } as object }),
    /^InvalidInput: option of retry "maximumAttempts" is refused: expected one of attempts, /,
  ],
  [
    "a misspelt option of a wait",
    (ctx) => ctx.wait(go, { timeoutMs: 5 } as object),
    /^InvalidInput: option of wait "timeoutMs" is refused: expected one of name, timeout/,
  ],
  [
    "options of a wait that are a duration",
    (ctx) => ctx.wait(go, "1 day" as unknown as object),
    /^InvalidInput: options of wait "1 day" is refused: expected an object with any of name, /,
  ],
  [
    "a misspelt option of a token",
    (ctx) => ctx.token(go, { ttl: "1 day" } as object),
    /^InvalidInput: option of token "ttl" is refused: expected one of expires/,
  ],
  [
    "a misspelt option of a child",
    (ctx) => ctx.spawn(echo, 1, { executionId: "e-1" } as object),
    /^InvalidInput: option of a child "executionId" is refused: expected one of name, id, /,
  ],
  [
    "an end of the parent that a child knows nothing of",
    (ctx) => ctx.spawn(echo, 1, { onParentEnd: "detach" as "abandon" }),
    /^InvalidInput: onParentEnd "detach" is refused: .*"cancel".*"abandon"/,
  ],
  [
    "a misspelt option of a join",
    (ctx) => ctx.join(echo, "e-1", { timeout: "1 day" } as object),
    /^InvalidInput: option of join "timeout" is refused: expected one of name/,
  ],
  [
    "a misspelt option of an event of the outbox",
    (ctx) => ctx.outbox.add("paid", 1, { orderingKey: "o-1" } as object),
    /^InvalidInput: option of outbox\.add "orderingKey" is refused: expected one of name, key/,
  ],
  [
    "a misspelt option of what is consumed",
    (ctx) => ctx.consume("think", { tokens: 1 }, { budget: "team" } as object),
    /^InvalidInput: option of consume "budget" is refused: expected one of budgets, overage, /,
  ],
  [
    "a child that is given by its name",
    (ctx) => ctx.call("echo" as never, 1 as never),
    /^InvalidInput: actor "echo" is refused: expected what actor\(\) gave/,
  ],
  [
    "a child that is not there",
    (ctx) => ctx.spawn(undefined as never, 1 as never),
    /^InvalidInput: actor "undefined" is refused: expected what actor\(\) gave/,
  ],
  [
    "a signal that is awaited by its name",
    (ctx) => ctx.wait("go" as never),
    /^InvalidInput: signal "go" is refused: expected what signal\(\) gave/,
  ],
  [
    "a child without an id",
    (ctx) => ctx.call(echo, 1, { id: "" }),
    /^InvalidInput: execution id "" is refused/,
  ],
];

describe("a mistake of the first day", () => {
  for (const [name, run, says] of mistakes) {
    it(`${name} is told with what to do`, async () => assert.match(await failureOf(run), says));
  }

  it("a misspelt option of what is defined is refused where it stands", () => {
    const run = () => 1;
    assert.throws(
      () => actor("one", { retries: { attempts: 3 } } as object, run),
      /InvalidInput: option of an actor "retries" is refused: expected one of .*retry/,
    );
    assert.throws(
      () => remoteActor("one", { capability: "image" } as object),
      /InvalidInput: option of a remote actor "capability" is refused: .*capabilities/,
    );
    // Whoever may submit could send it, where only some were meant to.
    assert.throws(
      () => signal("release", undefined, { need: "approve" } as object),
      /InvalidInput: option of a signal "need" is refused: expected one of needs/,
    );
  });

  it("a misspelt option of what is opened or emitted is refused", async () => {
    await assert.rejects(
      inMemory({ runTwice: false } as object),
      /InvalidInput: option of inMemory "runTwice" is refused: expected one of .*runsTwice/,
    );
    await using weir = await inMemory();
    await assert.rejects(
      weir.worker([echo], { concurrent: 5 } as object),
      /InvalidInput: option of a worker "concurrent" is refused: expected one of .*concurrency/,
    );
    await assert.rejects(
      weir.worker([echo], { keep: { tenant: { acme: "1 day" } } as object }),
      /InvalidInput: option of a worker's keep "tenant" is refused: .*default, tenants/,
    );
    await assert.rejects(
      weir.emit("paid", 1, { eventId: "e-1" } as object),
      /InvalidInput: option of emit "eventId" is refused: expected one of tenant, id, execution/,
    );
  });

  it("a time that no calendar holds is refused before anything is stored", async () => {
    await using weir = await inMemory();
    await assert.rejects(
      weir.worker([actor("kept", { keep: Number.MAX_SAFE_INTEGER }, () => 1)]),
      /InvalidInput: keep "9007199254740991".*at most a hundred years, like 30 days, or "forever"/,
    );
    await weir.worker([echo]);
    const late = "1000000000 days";
    for (const options of [{ delay: late }, { deadline: late }] as const) {
      await assert.rejects(
        weir.start(echo, 1, { id: "one", ...options }),
        /InvalidInput: \w+ "1000000000 days".*to a hundred years/,
      );
    }
    await assert.rejects(
      weir.submit(echo, 1, { timeout: late }),
      /InvalidInput: timeout "1000000000 days".*from 1 ms to a hundred years/,
    );
    assert.equal(await (await weir.start(echo, 2, { id: "one" })).result(), 2);
  });

  it("an actor without its function, or with its options behind it, is refused", () => {
    const wrong = /InvalidInput: actor "x" is refused: expected its function as the last/;
    const define = actor as (...given: ReadonlyArray<unknown>) => unknown;
    assert.throws(() => define("x"), wrong);
    assert.throws(() => define("x", { keep: "1 day" }), wrong);
    assert.throws(() => define("x", () => 1, { keep: "1 day" }), wrong);
  });

  it("a name in the place of what it names, and one in the place of a list, are refused", async () => {
    await using weir = await inMemory();
    const noActor = /InvalidInput: actor "echo" is refused: expected what actor\(\) gave/;
    await assert.rejects(
      weir.worker(echo as never),
      /InvalidInput: actors .*expected an array of what actor\(\) gave/,
    );
    await assert.rejects(weir.worker(["echo"] as never), noActor);
    await weir.worker([echo]);
    const named = "echo" as never;
    await assert.rejects(weir.start(named, 1 as never), noActor);
    await assert.rejects(
      weir.start((() => 1) as never, 1 as never),
      /expected what actor\(\) gave/,
    );
    await assert.rejects(weir.submitAll([{ actor: named, input: 1 }]), noActor);
    assert.throws(() => weir.get(named, "one"), noActor);
    const run = await weir.start(echo, 1);
    const noSignal = /InvalidInput: signal "go" is refused: expected what signal\(\) gave/;
    await assert.rejects(run.signal("go" as never, 1 as never), noSignal);
    await assert.rejects(
      weir.start(echo, 1, { signals: [{ signal: "go" as never, payload: 1 }] }),
      noSignal,
    );
    const options = [
      [{ after: "echo/x" }, /InvalidInput: after "echo\/x" is refused: expected an array/],
      [{ after: [null] }, /InvalidInput: after /],
      [{ budgets: "tenant" }, /InvalidInput: budgets "tenant" is refused: expected an array/],
    ] as const;
    for (const [given, says] of options) {
      await assert.rejects(weir.submit(echo, 1, given as never), says);
    }
    for (const given of [undefined, {}, { policy: null }, { policy: "cron" }]) {
      await assert.rejects(
        weir.schedule(echo, 1, given as never),
        /InvalidInput: run policy .* is refused: expected the type repeat or cron/,
      );
    }
  });

  it("options that there are not are refused before anything is stored", async () => {
    const refused = (name: string) => ({ _tag: "InvalidInput", value: name });
    for (const [options, name] of [[{ embeded: {} }, "embeded"], ["nats://x", "nats://x"]]) {
      await assert.rejects(connect(options as never), refused(name as string));
    }
    const embedded = { sotre: "/x" } as object;
    await assert.rejects(connect({ embedded }), refused("sotre"));
    await using weir = await inMemory();
    await weir.worker([echo], { queues: true, triggers: true });
    const starts: ReadonlyArray<readonly [unknown, string]> = [
      ["o-1", "o-1"],
      [{ workflowId: "o-77" }, "workflowId"],
      [{ prioriti: 3 }, "prioriti"],
      [{ retry: { maximumAttempts: 3 } }, "maximumAttempts"],
      [{ queue: { name: "q", kee: "k" } }, "kee"],
      [{ budgets: [{ name: "b", onExausted: "fail" }] }, "onExausted"],
    ];
    for (const [options, name] of starts) {
      await assert.rejects(weir.start(echo, 1, options as never), refused(name));
      await assert.rejects(weir.submit(echo, 1, options as never), refused(name));
    }
    const task = { actor: echo, input: 1 };
    for (const name of ["prioriti", "tenant"]) {
      await assert.rejects(weir.submitAll([{ ...task, [name]: "acme" }]), refused(name));
    }
    const policy = { type: "cron", expression: "0 0 * * *", timezone: "Europe/Berlin" } as const;
    await assert.rejects(weir.schedule(echo, 1, { policy }), refused("timezone"));
    await assert.rejects(
      weir.queues.configure("q", { concurency: 3 } as object),
      refused("concurency"),
    );
    const trigger = { when: { event: "e" }, then: { submit: echo }, standin: true } as const;
    await assert.rejects(weir.triggers.create(trigger), refused("standin"));
    assert.deepEqual((await weir.list()).executions, []);
    // What is left out may be named.
    const left = { workflowId: undefined };
    assert.equal(await (await weir.start(echo, 2, left as object)).result(), 2);
  });

  it("a context that is used when its function has ended refuses", async () => {
    let used: Promise<unknown> | undefined;
    let pass = () => {};
    const passed = new Promise<void>((resolve) => pass = resolve);
    const leaky = actor("leaky", (ctx) => {
      used = passed.then(() => ctx.run("late", () => 1));
      used.catch(() => {});
      return 1;
    });
    await using weir = await inMemory({ runsTwice: false });
    await weir.worker([leaky]);
    await (await weir.start(leaky, undefined)).result();
    pass();
    await assert.rejects(
      used!,
      /ctx\.run was used when the function of leaky\/.* had ended\. Wait/,
    );
  });

  it("an input and a payload may leave fields undefined, and hold nothing else but JSON", async () => {
    const both = actor("both", async (ctx, input: unknown) => [input, await ctx.wait(go)]);
    await using weir = await inMemory();
    await weir.worker([both]);
    const sent = { by: "ana", note: undefined };
    const signals = [{ signal: go, payload: sent }];
    const run = await weir.start(both, { note: undefined, cents: 1 }, { signals });
    assert.deepEqual(await run.result(), [{ cents: 1 }, { by: "ana" }]);
    await assert.rejects(weir.start(both, { at: new Date(0) }), /the input of both .*toISOString/);
    const by = new Set(["ana"]) as unknown as string;
    await assert.rejects(run.signal(go, { by }), /the payload of go .*at by.*like \[\.\.\.it\]/);
  });

  it("a server that is not there is named", async () => {
    await assert.rejects(connect({ servers: "nats://127.0.0.1:1" }), (error: unknown) => {
      assert.ok(error instanceof ConnectionFailed, String(error));
      assert.match(error.message, /nats:\/\/127\.0\.0\.1:1\b.*(Check|Start|start)/s);
      return true;
    });
  });

  it("a server that is too old is told what it lacks", async () => {
    const server = createServer((socket) => {
      const info = { server_id: "I", version: "2.10.27", headers: true, max_payload: 1_048_576 };
      socket.write(`INFO ${JSON.stringify({ ...info, proto: 1, jetstream: true })}\r\n`);
      socket.on("data", (data) => {
        if (data.includes("PING")) socket.write("PONG\r\n");
      });
      socket.on("error", () => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await assert.rejects(connect({ servers: `nats://127.0.0.1:${port}` }), (error: unknown) => {
      assert.ok(error instanceof ServerTooOld, String(error));
      assert.match(error.message, /2\.10\.27 lacks .*Connect to 2\.14\.0 or later/);
      return true;
    });
    await new Promise((resolve) => server.close(resolve));
  });

  it("a process that ends with an open worker is told to close it", async () => {
    const store = await scratchStore();
    const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
    const script = fileURLToPath(new URL(`./first_day/forgetful${extension}`, import.meta.url));
    const runtime = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
    const weir = await connect({ embedded: { store } });
    try {
      const end = async (...how: ReadonlyArray<string>) => {
        const args = [...runtime, script, weir.server!.url, ...how];
        return (await promisify(execFile)(process.execPath, args)).stderr;
      };
      assert.match(await end(), /worker forgetful\..*await using worker = await weir\.worker/s);
      assert.doesNotMatch(await end("closes"), /forgetful/);
    } finally {
      await weir.close();
      await removeStore(store);
    }
  });
});
