import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { promisify, stripVTControlCharacters } from "node:util";
import { type KV, Kvm } from "@nats-io/kv";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Scope from "effect/Scope";
import { ExecutionId, Tenant, WorkerInstanceId } from "../../schema/ids.ts";
import { Connection } from "../../streams/connection.ts";
import { EventStore } from "../../streams/event_store.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import * as Namespace from "../../streams/namespace.ts";
import { Sessions } from "../../streams/session.ts";
import { executionAddress, subjectOf } from "../../streams/subjects.ts";
import { body } from "../conformance/subject_matter.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

const tenant = Tenant.make("acme");
const order = ExecutionId.make("order/o-1");
const worker = WorkerInstanceId.make("worker-1");
const large = "A".repeat(200_000);

interface LeaseJson {
  readonly kind: string;
  readonly workerInstanceId: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly ttlMs: number;
}

describe("what an operator sees", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Namespace.NamespaceServices, unknown>;
  const session = Scope.makeUnsafe();
  let lease: Lease;
  /** The key of the lease, as `lease.<part>.order.acme.o-1`. */
  let key: string;
  /** Where the execution's other records are, behind the kind. */
  let tail: string;
  let environment: Record<string, string | undefined>;

  const run = <A, E>(effect: Effect.Effect<A, E, Namespace.NamespaceServices>) =>
    runtime.runPromise(effect);

  const appendEvent = (cents: number) =>
    run(
      Effect.flatMap(EventStore, (events) =>
        events.append(order, tenant, { type: "custom", eventType: "paid", data: { cents } })),
    );

  before(async () => {
    server = await scratchServer();
    const home = scratchFolder("home");
    const { PATH, WEIR_NATS_CLI } = process.env;
    assert.ok(WEIR_NATS_CLI, "WEIR_NATS_CLI names no NATS CLI; scripts/nats_cli.ts provides one");
    environment = { PATH, WEIR_NATS_CLI, HOME: home, XDG_CONFIG_HOME: home, NATS_URL: server.url };

    runtime = ManagedRuntime.make(Namespace.layer({ servers: server.url }));
    lease = await run(Effect.gen(function* () {
      const log = yield* Log;
      const leases = yield* Leases;
      const sessions = yield* Sessions;
      yield* sessions.open({ worker, ttl: "1 minute" }).pipe(Scope.provide(session));
      const execution = executionAddress(log.layout, tenant, order);
      const acquired = yield* leases.acquire(execution, { worker, ttl: "30 seconds" });
      const step = { v: 1, kind: "step", name: "charge" };
      yield* log.append(execution, {
        kind: "log",
        body: body(JSON.stringify(step)),
        guard: acquired.fence,
      });
      const renewed = yield* leases.renew(acquired);
      yield* log.append(execution, { kind: "log", body: body(large), guard: renewed.fence });
      return renewed;
    }));
    await appendEvent(4_200);
    tail = lease.execution.tail;
    key = `lease.${tail}`;
    assert.match(key, /^lease\.[0-3]\.order\.acme\.o-1$/);
  });
  after(async () => {
    await Effect.runPromise(Scope.close(session, Exit.void));
    await runtime.dispose();
    await server.stop();
  });

  /** Runs the CLI to its end. */
  const nats = async (...options: ReadonlyArray<string>): Promise<string> => {
    const { stdout } = await promisify(execFile)(environment["WEIR_NATS_CLI"]!, options, {
      env: environment,
      timeout: 30_000,
    });
    return stdout;
  };

  /** Runs the CLI on a terminal, which it insists on for what pages. */
  const natsOnTerminal = async (options: string): Promise<string> => {
    const command = `"$WEIR_NATS_CLI" ${options}`;
    const terminal = process.platform === "darwin"
      ? ["-q", "/dev/null", "/bin/sh", "-c", command]
      : ["-qec", command, "/dev/null"];
    const running = promisify(execFile)("script", terminal, { env: environment, timeout: 60_000 });
    return stripVTControlCharacters((await running).stdout).replaceAll("\r", "");
  };

  /** Runs the CLI while `act` awaits what it prints. */
  const natsWhile = async (
    options: ReadonlyArray<string>,
    act: (printed: () => string) => Promise<void>,
  ): Promise<void> => {
    const child = spawn(environment["WEIR_NATS_CLI"]!, options, {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(child, "exit");
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => output += text);
    }
    try {
      await act(() => output);
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  };

  describe("with the NATS CLI", () => {
    it("`kv ls` lists the namespace, and its leases and workers by readable keys", async () => {
      assert.match(
        await nats("kv", "ls"),
        /│ weir +│ Weir: leases, mailboxes, journals and events/,
      );
      assert.deepEqual((await nats("kv", "ls", "weir")).trim().split("\n").sort(), [
        key,
        "worker.worker-1",
      ]);
    });

    it("`kv get` shows who holds a lease", async () => {
      const shown = await nats("kv", "get", "weir", key);
      assert.match(shown, new RegExp(`weir > ${key} revision: ${lease.fence.revision} created @ `));
      assert.ok(shown.includes(`{"v":1,"kind":"renewed","leaseId":"${lease.leaseId}"`), shown);
      const { v, kind, leaseId, workerInstanceId, epoch, attempt, ttlMs, nonce, ...rest } = JSON
        .parse(await nats("kv", "get", "weir", key, "--raw"));
      assert.deepEqual(
        { v, kind, leaseId, workerInstanceId, epoch, attempt, ttlMs, rest },
        {
          v: 1,
          kind: "renewed",
          leaseId: lease.leaseId,
          workerInstanceId: "worker-1",
          epoch: 1,
          attempt: 0,
          ttlMs: 30_000,
          rest: {},
        },
      );
      assert.equal(nonce, lease.fence.nonce);
    });

    it("`kv get` shows a worker's session", async () => {
      assert.deepEqual(JSON.parse(await nats("kv", "get", "weir", "worker.worker-1", "--raw")), {
        v: 1,
        kind: "session",
        worker: "worker-1",
        ttlMs: 60_000,
      });
    });

    it("`kv history` shows what became of a lease", async () => {
      const rows = (await nats("kv", "history", "weir", key)).split("\n")
        .filter((line) => line.includes(`│ ${key} │`))
        .map((line) => line.split("│").slice(1, 4).map((cell) => cell.trim()));
      assert.deepEqual(rows.map(([key, , operation]) => [key, operation]), [
        [key, "PUT"],
        [key, "PUT"],
      ]);
      assert.equal(rows[1]![1], String(lease.fence.revision));
    });

    it("`kv watch` shows leases as they change", () =>
      natsWhile(["kv", "watch", "weir", "lease.>"], async (printed) => {
        const shows = (kind: string) =>
          eventually(
            `the CLI shows ${kind}`,
            () =>
              new RegExp(`PUT weir > ${key}: \\{"v":1,"kind":"${kind}"`).exec(printed()) ??
                undefined,
          );
        await shows("renewed");
        const other = ExecutionId.make("order/watched");
        await run(Effect.gen(function* () {
          const leases = yield* Leases;
          const { layout } = yield* Log;
          const execution = executionAddress(layout, tenant, other);
          yield* leases.release(yield* leases.acquire(execution, { worker, ttl: "5 seconds" }));
        }));
        await eventually(
          "the CLI shows the other lease",
          () =>
            /order\.acme\.watched: \{"v":1,"kind":"acquired".*\n.*"kind":"released"/.exec(
              printed(),
            ) ??
              undefined,
        );
      }));

    it("`stream view` shows every record with its subject and a JSON body", async () => {
      const printed = await natsOnTerminal("stream view KV_weir 25");
      const bodies = new Map<string, Array<Record<string, unknown>>>();
      for (const record of printed.split(/^\[\d+\] Subject: /m).slice(1)) {
        const subject = record.slice(0, record.indexOf(" "));
        const json = record.split("\n").filter((line) => line.startsWith("{"));
        assert.equal(json.length, 1, record);
        bodies.set(subject, [...bodies.get(subject) ?? [], JSON.parse(json[0]!)]);
      }
      const kindsOf = (kind: string) => bodies.get(`weir.${kind}.${tail}`)?.map(({ kind }) => kind);
      assert.deepEqual(kindsOf("log"), ["step", "object"]);
      assert.deepEqual(kindsOf("index"), ["index"]);
      assert.deepEqual(bodies.get(`weir.event.${tail}`)?.[0]?.["event"], {
        type: "custom",
        eventType: "paid",
        data: { cents: 4_200 },
      });
      assert.deepEqual(
        bodies.get(`$KV.weir.${key}`)?.map((
          { kind, workerInstanceId },
        ) => [kind, workerInstanceId]),
        [["acquired", "worker-1"], ["renewed", "worker-1"]],
      );
    });

    it("`sub` follows one execution", () =>
      natsWhile(["sub", "weir.*.*.order.acme.o-1"], async (printed) => {
        // The CLI does not say when it listens, so events are appended until it shows one.
        await eventually("the CLI shows an event", async () => {
          await appendEvent(1);
          return printed().includes("\n{") || undefined;
        });
        const [, subject, json] = /Received on "(\S+)".*?^(\{[^\n]*\})$/ms.exec(printed())!;
        assert.equal(subject, `weir.event.${tail}`);
        const { v, kind, sequence, event } = JSON.parse(json!);
        assert.deepEqual({ v, kind, event }, {
          v: 1,
          kind: "event",
          event: { type: "custom", eventType: "paid", data: { cents: 1 } },
        });
        assert.ok(sequence > 1);
        assert.ok(!printed().includes("lease"));
      }));

    it("`stream info` shows what the namespace was created with", async () => {
      const printed = await nats("stream", "info", "KV_weir");
      for (
        const line of [
          "Subjects: $KV.weir.>, weir.>",
          "Storage: File",
          "Discard Policy: Old",
          "Duplicate Window: 1m10s",
          "Allows Atomic Batch Publish: true",
          "Allows Schedules: true",
          "Allows Per-Message TTL: true",
          "Maximum Age: unlimited",
          "Maximum Consumers: 10,000",
          "weir.layout: 1",
          "weir.shards: 1",
          "weir.parts: 4",
        ]
      ) assert.ok(printed.includes(` ${line}\n`), `${line}\n${printed}`);
    });

    it("`object ls` and `object get` show a payload that was too large for the log", async () => {
      const printed = await nats("object", "ls", "weir");
      const [, name] = new RegExp(`│ (${tail}\\.\\S+) │ 195 KiB │`).exec(printed) ?? [];
      assert.ok(name, printed);
      const file = `${scratchFolder("object")}/payload`;
      await nats("object", "get", "weir", name, "--output", file, "--force", "--no-progress");
      assert.equal(await readFile(file, "utf8"), large);
    });
  });

  describe("with the KV client", () => {
    let bucket: KV;
    before(async () => {
      const { jetStream } = await run(Connection);
      bucket = await new Kvm(jetStream).open("weir");
    });

    it("`get` reads a lease, and its revision is the fence", async () => {
      const entry = await bucket.get(key);
      assert.equal(entry?.json<LeaseJson>().kind, "renewed");
      assert.equal(entry?.revision, lease.fence.revision);
    });

    it("`history` shows what became of a lease", async () => {
      const kinds: Array<string> = [];
      for await (const entry of await bucket.history({ key })) {
        kinds.push(entry.json<LeaseJson>().kind);
      }
      assert.deepEqual(kinds, ["acquired", "renewed"]);
    });

    it("`watch` shows leases as they change", async () => {
      const { layout } = await run(Log);
      const execution = executionAddress(layout, tenant, ExecutionId.make("order/kv"));
      const watched = subjectOf(execution, "lease").slice("$KV.weir.".length);
      const watcher = await bucket.watch({ key: watched });
      await run(
        Effect.flatMap(
          Leases,
          (leases) =>
            Effect.flatMap(leases.acquire(execution, { worker, ttl: "5 seconds" }), leases.release),
        ),
      );
      const kinds: Array<string> = [];
      for await (const entry of watcher) {
        assert.equal(entry.key, watched);
        if (kinds.push(entry.json<LeaseJson>().kind) === 2) break;
      }
      assert.deepEqual(kinds, ["acquired", "released"]);
    });

    it("`keys` lists leases and workers, and none of the other records", async () => {
      const keys: Array<string> = [];
      for await (const each of await bucket.keys()) keys.push(each);
      assert.ok(keys.includes(key));
      for (const each of keys) assert.match(each, /^(lease|worker)\./);
    });
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
