/** What `weir` says when it cannot do what it is asked for, and the exit codes that go with it. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import { explain } from "../../cli/failure.ts";
import { Screen } from "../../cli/screen.ts";
import { StreamDisconnected } from "../../schema/errors.ts";
import { leftovers, scratchFolder, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { golden, objects, weir } from "./command_line.ts";

const time = ["--from", "2026-02-01", "--to", "2026-02-02"];

/** The words that make each command ask the server for something. */
const commands = {
  start: ["start", "order"],
  submit: ["submit", "order"],
  schedule: ["schedule", "order", "--cron", "0 6 * * *"],
  "schedule show": ["schedule", "show", "order/o-1"],
  "schedule trigger": ["schedule", "trigger", "order/o-1"],
  "schedule backfill": ["schedule", "backfill", "order/o-1", ...time],
  "schedule pause": ["schedule", "pause", "order/o-1"],
  "schedule resume": ["schedule", "resume", "order/o-1"],
  "schedule change": ["schedule", "change", "order/o-1", "--overlap", "skip"],
  "schedule finish": ["schedule", "finish", "order/o-1"],
  "schedule cancel": ["schedule", "cancel", "order/o-1"],
  "schedule runs": ["schedule", "runs", "order/o-1"],
  ls: ["ls"],
  describe: ["describe", "order/o-1"],
  history: ["history", "order/o-1"],
  events: ["events", "order/o-1"],
  signal: ["signal", "order/o-1", "approval"],
  cancel: ["cancel", "order/o-1"],
  pause: ["pause", "order/o-1"],
  resume: ["resume", "order/o-1"],
  promote: ["promote", "order/o-1"],
  retry: ["retry", "order/o-1"],
  tail: ["tail", "completions"],
  "subscriptions list": ["subscriptions", "list"],
  "subscriptions reset": ["subscriptions", "reset", "completions", "a", "--after", "now"],
  "subscriptions delete": ["subscriptions", "delete", "completions", "a"],
  "budgets allocate": ["budgets", "allocate", "tenant", "token=10"],
  "budgets consume": ["budgets", "consume", "tenant", "token=1"],
  "budgets replenish": ["budgets", "replenish", "tenant", "token=10"],
  "budgets reset": ["budgets", "reset", "tenant"],
  "budgets release": ["budgets", "release", "order/o-1"],
  "budgets describe": ["budgets", "describe", "tenant"],
  "budgets ls": ["budgets", "ls"],
  "budgets delete": ["budgets", "delete", "tenant"],
  "triggers create": ["triggers", "create", "--event", "e", "--promote", "order/o-1"],
  "triggers ls": ["triggers", "ls"],
  "triggers describe": ["triggers", "describe", "t"],
  "triggers cancel": ["triggers", "cancel", "t"],
  emit: ["emit", "e"],
  workers: ["workers"],
  lanes: ["lanes"],
  doctor: ["doctor"],
  dev: ["dev"],
};

/** Says hello in another language, as a mail server would. */
const stranger = async () => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("220 mail.example ESMTP\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `nats://127.0.0.1:${port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
};

const errorOf = (text: string) => {
  const [line, ...rest] = objects(text);
  assert.deepEqual(rest, []);
  return line!["error"] as {
    readonly code: string;
    readonly message: string;
    readonly retryable: boolean;
    readonly cursor?: string;
  };
};

for (const [name, words] of Object.entries(commands)) {
  describe(`weir ${name}`, () => {
    it("fails with 1 where no server is, and says what to do", async () => {
      const ran = await weir(words, { env: { NATS_URL: "nats://ana:secret@127.0.0.1:1" } });
      assert.deepEqual(ran, {
        exitCode: 1,
        stdout: "",
        stderr:
          "weir: Cannot connect to nats://127.0.0.1:1: connection refused. Check the address " +
          "and credentials, or leave NATS_URL unset for the embedded server.\n",
      });
      const json = await weir([...words, "--server", "nats://127.0.0.1:1", "--json"]);
      assert.deepEqual([json.exitCode, json.stdout], [1, ""]);
      assert.equal(errorOf(json.stderr).code, "WEIR_CONNECTION_FAILED");
    });

    it("is told of words that make no sense with 2, and of itself with 0", async () => {
      const wrong = await weir([...words, "--nonsense"]);
      assert.deepEqual([wrong.exitCode, wrong.stdout], [2, ""]);
      assert.match(wrong.stderr, /^weir: Unrecognized flag: --nonsense in command weir /);
      assert.ok(wrong.stderr.endsWith(`Run \`weir ${name} --help\` for usage.\n`));
      const json = await weir([...words, "--nonsense", "--json"]);
      assert.deepEqual([json.exitCode, errorOf(json.stderr).code], [2, "WEIR_USAGE"]);
      const help = await weir([...words, "--help"]);
      assert.deepEqual([help.exitCode, help.stderr], [0, ""]);
      assert.match(help.stdout, new RegExp(`USAGE\n {2}weir ${name}`));
    });
  });
}

describe("weir", () => {
  let server: ScratchServer;
  before(async () => {
    const users = [
      { user: "all", password: "all" },
      { user: "none", password: "none", permissions: { publish: { deny: [">"] } } },
    ];
    server = await scratchServer({
      durability: "bounded",
      settings: { authorization: { users }, no_auth_user: "all" },
    });
    await weir(["start", "order", "--unserved", "--server", server.url]);
  });
  after(() => server.stop());

  const as = (user: string) => server.url.replace("://", `://${user}@`);

  it("prints its help without words, and its version", async () => {
    const help = await weir([]);
    assert.deepEqual([help.exitCode, help.stderr], [0, ""]);
    for (const name of Object.keys(commands)) {
      assert.match(help.stdout, new RegExp(`^ {2}${name.split(" ")[0]} `, "m"));
    }
    assert.deepEqual(await weir(["--version"]), {
      exitCode: 0,
      stdout: "weir 0.1.0\n",
      stderr: "",
    });
  });

  it("uses the store that is named, whatever the environment says, and with no server", async () => {
    const store = scratchFolder("store");
    const env = { NATS_URL: "nats://127.0.0.1:1" };
    await weir(["start", "order/o-1", "--unserved", "--store", store], { env });
    const { exitCode, stdout } = await weir(["doctor", "--store", store, "--json"], { env });
    const { server: used } = objects(stdout)[0] as { readonly server: { readonly store: string } };
    assert.deepEqual([exitCode, used.store], [0, store]);
    assert.deepEqual(await weir(["ls", "--store", store, "--server", server.url]), {
      exitCode: 2,
      stdout: "",
      stderr: `weir: store "${store}" is refused: ` +
        "--store is of the embedded server, and goes with no --server.\n",
    });
  });

  it("names the commands that an unknown one may mean", async () => {
    const ran = await weir(["describ"]);
    assert.equal(ran.exitCode, 2);
    assert.match(ran.stderr, /Unknown subcommand "describ"[^]*describe\nRun `weir --help`/);
  });

  for (
    const [what, words, message] of [
      ["an argument that is left out", ["describe"], "Missing required argument: id"],
      ["an argument too many", ["ls", "more"], 'Unknown subcommand "more"|Unexpected positional'],
      ["input that is no JSON", ["start", "order", "{x"], "Expected JSON, like"],
      ["a duration that is none", ["start", "order", "--delay", "5s"], 'like "5 minutes"'],
      ["a state that is none", ["ls", "--status", "dead"], "Expected.*waiting.*skipped"],
      ["a family that is none", ["tail", "births"], "Expected.*leaseHistory"],
      ["an amount that is none", ["budgets", "consume", "a", "token=-1"], "like token=5"],
      ["a limit that is none", ["budgets", "allocate", "a", "token=1/2/3"], "like token=1000"],
      ["no limit", ["budgets", "allocate", "a"], "limits"],
      ["an amount said twice", ["budgets", "consume", "a", "b=1", "b=2"], "Expected each.*once"],
      ["a limit said twice", ["budgets", "allocate", "a", "b=1", "b=2"], "Expected each.*once"],
      ["a tag of no name", ["tail", "completions", "--tag", ""], "name of a tag"],
      ["a tag of a value alone", ["ls", "--tag", "=eu"], "name of a tag"],
      ["an inbox that is no subject", ["ls", "--inbox-prefix", "a b"], "a subject"],
      ["a task of nothing", ["submit"], "an actor, or --file"],
      ["two sources of tasks", ["submit", "order", "--file", "a.json"], "an actor, or --file"],
      ["a flag beside a file", ["submit", "--file", "a.json", "--id", "a"], "everything of its"],
      ["a schedule of no time", ["schedule", "order"], "--cron, or --every with --count"],
      [
        "two calendars",
        ["schedule", "order", "--cron", "* * * * *", "--every", "1 hour"],
        "either",
      ],
      ["an interval for ever", ["schedule", "order", "--every", "1 hour"], "go together"],
      ["a zone of an interval", [
        ...["schedule", "order", "--every", "1 hour", "--count", "2", "--time-zone", "UTC"],
      ], "go with --cron"],
      ["an overlap that is none", ["schedule", "order", "--overlap", "maybe"], "buffer-one"],
      ["a change of nothing", ["schedule", "change", "order/o-1"], "what is to change"],
      ["a count that is none", ["ls", "--limit", "0"], "Expected 1 or more, not 0"],
      ["a replica too few", ["doctor", "--replicas", "0"], "Expected 1 or more, not 0"],
    ] as const
  ) {
    it(`ends with 2 for ${what}`, async () => {
      const ran = await weir(words);
      assert.deepEqual([ran.exitCode, ran.stdout], [2, ""]);
      assert.match(ran.stderr, new RegExp(message));
    });
  }

  for (
    const [what, words] of [
      ["an execution id", ["describe", ""]],
      ["a tenant", ["ls", "--tenant", ""]],
      ["an actor name", ["start", "no actor"]],
      ["a namespace", ["ls", "--namespace", "a b"]],
      ["creds", ["ls", "--creds", "nowhere/a.creds"]],
      ["a budget name", ["budgets", "describe", ""]],
      ["interval", ["budgets", "allocate", "a", "token=1", "--reset-every", "soon"]],
      ["a cron expression", ["schedule", "order", "--cron", "every day", "--unserved"]],
      ["a time zone", [
        ...["schedule", "order", "--cron", "* * * * *", "--time-zone", "A/B", "--unserved"],
      ]],
      ["tasks", ["submit", "--file", "nowhere.json"]],
      ["a signal name", ["signal", "order/o-1", "weir.schedule"]],
      ["tags", ["start", "order", "--tag", "team=a", "--unserved"]],
    ] as const
  ) {
    it(`ends with 2 for ${what} that breaks the rules`, async () => {
      const ran = await weir([...words, "--server", server.url]);
      assert.deepEqual([ran.exitCode, ran.stdout], [2, ""]);
      assert.match(ran.stderr, new RegExp(`^weir: ${what.replace(/^an? /, "")} .* is refused: `));
    });
  }

  it("fails with 1 at a server that is not NATS, and says so", async () => {
    const other = await stranger();
    try {
      const ran = await weir(["ls", "--server", other.url]);
      assert.deepEqual([ran.exitCode, ran.stdout], [1, ""]);
      assert.match(
        golden(ran.stderr),
        /^weir: Cannot connect to nats:\/\/ADDRESS: .*Check the address/,
      );
    } finally {
      await other.close();
    }
  });

  it("fails with 1 for a password that is wrong", async () => {
    const ran = await weir(["ls", "--server", as("all:wrong")]);
    assert.deepEqual([ran.exitCode, ran.stdout], [1, ""]);
    assert.match(ran.stderr, /Authorization Violation.*Check the address and credentials/i);
    assert.ok(!ran.stderr.includes("wrong"));
    const json = await weir(["ls", "--server", as("all:wrong"), "--json"]);
    assert.deepEqual([errorOf(json.stderr).code, errorOf(json.stderr).retryable], [
      "WEIR_CONNECTION_FAILED",
      false,
    ]);
    const away = await weir(["ls", "--server", "nats://127.0.0.1:1", "--json"]);
    assert.equal(errorOf(away.stderr).retryable, true);
  });

  it("tells a program behind which event to read on", async () => {
    let said = "";
    const screen = Screen.of({
      isTerminal: false,
      hasColor: false,
      rows: Effect.succeed(24),
      columns: Effect.succeed(80),
      write: () => Effect.void,
      note: (text) => Effect.sync(() => void (said += text)),
    });
    const lost = Cause.fail(new StreamDisconnected({ cursor: "c-7", reason: "it broke" }));
    const exitCode = await Effect.runPromise(
      Effect.provideService(explain(lost, true), Screen, screen),
    );
    const { code, cursor, retryable } = errorOf(said);
    assert.deepEqual([exitCode, code, cursor, retryable], [
      1,
      "WEIR_STREAM_DISCONNECTED",
      "c-7",
      true,
    ]);
  });

  it("creates no namespace by looking, and says that there is none", async () => {
    const there = ["--namespace", "typo", "--server", server.url];
    const looking = ["ls", "describe", "history", "events", "tail", "workers", "lanes", "doctor"];
    const steering = [
      "signal",
      "cancel",
      "schedule pause",
      "queues ls",
      "budgets ls",
      "triggers ls",
    ];
    for (const [name, words] of Object.entries(commands)) {
      if (![...looking, ...steering].includes(name)) continue;
      const ran = await weir([...words, ...there, "--json"]);
      assert.deepEqual([name, ran.exitCode, ran.stdout], [name, 1, ""]);
      const { code, message } = errorOf(ran.stderr);
      assert.equal(code, "WEIR_NAMESPACE_NOT_FOUND");
      assert.match(message, /no namespace typo on this server/);
    }
    assert.equal((await weir(["start", "order", "--unserved", ...there])).exitCode, 0);
    assert.equal((await weir(["ls", ...there])).exitCode, 0);
  });

  for (const [name, words] of Object.entries(commands)) {
    it(`fails with 1 for a user without rights: ${name}`, async () => {
      const ran = await weir([...words, "--server", as("none:none"), "--json"]);
      assert.deepEqual([ran.exitCode, ran.stdout], [1, ""]);
      const { code, message } = errorOf(ran.stderr);
      assert.equal(code, "WEIR_SERVER_REFUSED");
      assert.match(message, /permission.*check the account's permissions/i);
    });
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
