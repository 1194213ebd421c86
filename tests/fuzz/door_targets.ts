/** The two doors that strangers knock at: HTTP, and the words of the command line. */
import assert from "node:assert/strict";
import { actor, signal } from "../../mod.ts";
import { weirHandler } from "../../http.ts";
import { inMemory } from "../../testing.ts";
import { weir as commandLine } from "../cli/command_line.ts";
import type { Target } from "./fuzzing.ts";

const utf8 = new TextEncoder();
const decoder = new TextDecoder();

const go = signal("go");
const order = actor("order", (_, input: unknown) => input);
const waits = actor("waits", (ctx) => ctx.wait(go));

/** A request as text: method and path, a header in each line, an empty one, the body. */
const requests = [
  "GET /healthz",
  "GET /openapi.json",
  "GET /metrics?tenant=acme",
  "GET /api/v1/runs?limit=10&status=completed&tag=a=b&actor=order",
  "GET /api/v1/runs/waits%2Fw-1",
  "GET /api/v1/runs/waits%2Fw-1/result",
  "GET /api/v1/runs/waits%2Fw-1/history?limit=5&from=2",
  "GET /api/v1/schedules?limit=10",
  "GET /api/v1/schedules/order%2Fs-1",
  "GET /v1/streams/completions?cursor=earliest&tenant=acme&executionId=order%2Fo-1",
  'POST /api/v1/tasks\ncontent-type: application/json\n\n{"actor":"order","input":{"a":[1]},' +
  '"id":"o-1","retry":{"attempts":2,"delay":"1 second"},"timeout":"5 minutes","tags":{"a":"b"},' +
  '"priority":3,"after":["order/o-0"],"lane":"l","requires":["gpu"],"unserved":true}',
  'POST /api/v1/tasks\ncontent-type: application/json\n\n[{"actor":"order","id":"a"},' +
  '{"actor":"order","id":"b","after":["order/a"],"policy":{"type":"repeat","count":1,"interval":"1 day"}}]',
  "POST /api/v1/runs/waits%2Fw-1/signals/go?tenant=acme\ncontent-type: application/json\n" +
  'idempotency-key: k\nx-request-id: r\n\n{"n":1}',
  'POST /api/v1/runs/waits%2Fw-1/cancel\ncontent-type: application/json; charset=utf-8\n\n{"reason":"r","force":true}',
  "POST /api/v1/tokens/k.WyJhIl0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\ncontent-type: application/json\n\n1",
  'POST /api/v1/schedules/order%2Fs-1/backfill\ncontent-type: application/json\n\n{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}',
  "HEAD /api/v1/runs\norigin: https://app.example\naccess-control-request-method: POST",
];

const requestOf = (text: string): Request | undefined => {
  const [head = "", ...rest] = text.split("\n\n");
  const [line = "", ...headers] = head.split("\n");
  const space = line.indexOf(" ");
  const method = line.slice(0, space);
  const body = rest.join("\n\n");
  try {
    return new Request(`http://weir.test${line.slice(space + 1)}`, {
      method,
      headers: headers.map((each) => {
        const [name = "", ...value] = each.split(":");
        return [name, value.join(":")] as [string, string];
      }),
      ...(method === "GET" || method === "HEAD" || body === "" ? {} : { body: utf8.encode(body) }),
    });
  } catch {
    // No client could send it.
    return undefined;
  }
};

/** The handler over executions in memory, until it is closed. */
export const httpTarget = async (): Promise<Target & AsyncDisposable> => {
  const weir = await inMemory({ tokenKeys: [{ id: "k", secret: "k".padEnd(40, "0") }] });
  await weir.worker([order, waits]);
  await weir.start(waits, undefined, { id: "w-1" });
  const failures: Array<unknown> = [];
  const handler = weirHandler({
    weir,
    open: true,
    control: true,
    origins: ["https://app.example"],
    onError: (error) => failures.push(error),
  });
  return {
    name: "http",
    cases: 400,
    seeds: requests.map((text) => utf8.encode(text)),
    read: async (input) => {
      const request = requestOf(decoder.decode(input));
      // To wait is what it asks for.
      if (request === undefined || /[?&]wait=/.test(request.url)) return undefined;
      const answered = handler(request);
      // A stream begins with an event, or when it is clear that there is none.
      if (request.url.includes("/v1/streams/")) await weir.advance("5 seconds");
      const response = await answered;
      if (failures.length > 0) throw failures.pop();
      assert.ok(response.status < 500, `it is answered with ${response.status}`);
      if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) {
        await response.body?.cancel();
        return response.status;
      }
      const text = await response.text();
      if (response.status >= 400 && request.method !== "HEAD") {
        assert.equal(typeof JSON.parse(text).error.code, "string");
      }
      // What is there to be listed grows by what was sent before.
      return response.status < 400 ? response.status : text;
    },
    [Symbol.asyncDispose]: () => weir.close(),
  };
};

const nowhere = "nats://user:planted-secret@127.0.0.1:1";

const lines = [
  "ls --status completed --limit 10 --json",
  "describe order/o-1",
  "history order/o-1 --tenant acme",
  'start order {"a":1} --id o-1 --tag a=b --delay 5m --lane l',
  "submit order 1 --after order/o-0 --retry 3 --timeout 5m",
  'signal order/o-1 approval {"by":"ana"}',
  "tail completions --after earliest --tenant acme",
  "schedule ls --limit 10",
  "queues configure cards --concurrency 2 --rate 10/1m --weight acme=2",
  "budgets allocate t-1 token=10,cost=5:8",
  "grants assign ana operator --tenant acme",
  "permissions --tenant acme --role operator --format json",
  "ledger append books audit {}",
  "lanes",
  "--version",
];

/** What would listen, start servers or wait for long is not what is asked here. */
const isElsewhere = (words: ReadonlyArray<string>): boolean =>
  words.some((word) => /^(dev|serve)$|store|server|doctor|completions/.test(word));

export const cliTarget: Target = {
  name: "cli",
  cases: 60,
  seeds: lines.map((text) => utf8.encode(text)),
  read: async (input) => {
    const words = decoder.decode(input).split(" ");
    if (isElsewhere(words)) return undefined;
    const { exitCode, stdout, stderr } = await commandLine(words, { env: { NATS_URL: nowhere } });
    assert.ok([0, 1, 2].includes(exitCode), `it ends with ${exitCode}: ${stderr}`);
    assert.ok(!/^\s+at .*:\d+:\d+\)?$/m.test(stderr), `it shows its insides: ${stderr}`);
    assert.ok(!`${stdout}${stderr}`.includes("planted-secret"), "it tells a password");
    assert.ok(exitCode === 0 || `${stderr}${stdout}` !== "", "it says nothing");
    return stderr;
  },
};
