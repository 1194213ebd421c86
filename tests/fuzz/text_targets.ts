/** Everything that is read from texts: cursors, tokens, subjects, ids, schedules, files of settings. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { checkKeys, keysIn, SignalTokens } from "../../actors/signal_tokens.ts";
import { tokensIn } from "../../cli/serve/token_file.ts";
import { bearer } from "../../actors/http/bearer.ts";
import { parseCronExpression } from "../../schema/cron_expression.ts";
import { encodeCursor, parseCursorInput } from "../../schema/cursor.ts";
import { InvalidInput } from "../../schema/errors.ts";
import {
  ActorName,
  ExecutionId,
  namedExecution,
  Namespace,
  parse,
  Tenant,
} from "../../schema/ids.ts";
import { parseRunPolicy } from "../../schema/run_policy.ts";
import { Route } from "../../schema/route.ts";
import { decodeToken, encodeToken } from "../../schema/token.ts";
import { readReply } from "../../streams/consumer_reply.ts";
import { nonceOfId } from "../../streams/fence.ts";
import { isReference } from "../../streams/log/spill.ts";
import { answerReader } from "../../streams/log/wire.ts";
import { Handed, offerOfHanded } from "../../streams/mailbox/handed.ts";
import * as configuration from "../../streams/server/configuration.ts";
import {
  addressOfSubject,
  executionOfSubject,
  kindOfSubject,
  matches,
  tailOfSubject,
} from "../../streams/subjects.ts";
import type { Target } from "./fuzzing.ts";

const utf8 = new TextEncoder();
const decoder = new TextDecoder();

const namespace = Namespace.make("weir");
const layout = { namespace, shards: 2, parts: 4 };
const keys = [{ id: "k", secret: "k".padEnd(40, "0") }];
const signals = new SignalTokens(keys, namespace);
const tokenOf = (signal: string) =>
  Effect.runSync(signals.make({
    tenant: Tenant.make("acme"),
    execution: ExecutionId.make("order/o-1"),
    life: 1,
    signal,
    key: `weir.token/${signal}`,
    expires: 9e15,
  }, "k"));

const decodeHanded = Schema.decodeUnknownOption(Schema.fromJsonString(Handed));

const ofText = (
  name: string,
  seeds: ReadonlyArray<string>,
  read: (text: string) => unknown,
): Target => ({
  name,
  seeds: seeds.map((seed) => utf8.encode(seed)),
  read: (input) => read(decoder.decode(input)),
});

/** What says no by giving nothing. */
const orRefused = (what: string, result: Result.Result<unknown, string>): unknown => {
  if (Result.isSuccess(result)) return result.success;
  throw new InvalidInput({ what, value: "", rule: result.failure });
};

const incarnation = "00c0ffee00c0ffee";

export const textTargets: ReadonlyArray<Target> = [
  ofText("cursor", [
    encodeCursor({ incarnation, shards: [{ sequence: 42, at: 1_767_225_600_000 }] }),
    encodeCursor({
      incarnation,
      shards: Array.from({ length: 4 }, () => ({ sequence: 1, at: 1 })),
    }),
    "now",
    "earliest",
  ], (text) => Effect.runSync(parseCursorInput(text))),
  ofText(
    "signal-token",
    [tokenOf("approval"), tokenOf("\u0001")],
    (text) => Effect.runSync(signals.open(text)),
  ),
  ofText("token-keys", [
    "2026-11=0123456789abcdef0123456789abcdef,old=0123456789abcdef0123456789abcdef@2027-01-01",
  ], (text) => checkKeys(keysIn(text))),
  ofText("token-file", [
    "# who\ncorrect-horse-battery-1 ana\ncorrect-horse-battery-2 wall acme read,submit\n",
  ], (text) => bearer(tokensIn("tokens", text)) && text.length),
  ofText("subject-token", ["acme", "=2E=00", encodeToken("漢 .*>")], (text) => {
    const found = decodeToken(text);
    if (found !== undefined && encodeToken(found) !== text) throw new Error("it has two tokens");
    return found;
  }),
  ofText("subject", [
    "weir.mail.0.order.acme.o-1",
    "weir-1.log.3._.acme.o=2E1",
    "$KV.weir.lease.0.order.acme.o-1",
    "weir.timer.0.order.acme.o-1.key",
    "weir.ledger.acme.books",
  ], (text) => [
    kindOfSubject(text),
    tailOfSubject(text),
    executionOfSubject(text),
    [0, 1].map((
      shard,
    ) => [addressOfSubject(layout, shard, text), shard]),
    matches(text, "weir.mail.0.order.acme.o-1"),
    matches("weir.*.0.>", text),
  ]),
  ofText("message-id", ["nonce.17", "abc"], (text) => nonceOfId(text)),
  ofText("consumer-reply", [
    "$JS.ACK.KV_weir.c.1.42.7.1767225600000999999.3",
    "$JS.ACK.hub.acc.KV_weir.c.1.42.7.1767225600000999999.3.x",
  ], (text) => readReply(text)),
  ofText(
    "handed",
    [
      { shard: 0, subject: "weir.mail.0.order.acme.o-1", mail: 42 },
      {
        shard: 1,
        subject: "weir-1.lane.0.order.acme.o-1.gpu",
        mail: 7,
        route: "gpu",
        begins: true,
      },
    ].map((handed) =>
      JSON.stringify({ ...handed, reply: "$JS.ACK.KV_weir.c.1.42.7.1767225600000999999.3" })
    ),
    (text) => Option.map(decodeHanded(text), (handed) => offerOfHanded(layout, handed)),
  ),
  {
    name: "publish-answer",
    seeds: [
      '{"stream":"KV_weir","seq":42}',
      '{"stream":"KV_weir","seq":42,"duplicate":true}',
      '{"type":"io","error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}}',
    ].map((text) => utf8.encode(text)),
    read: (input) => [answerReader("KV_weir")(input), isReference(input)],
  },
  ofText("ids", ["order", "order/o-1", "漢"], (text) => {
    for (const schema of [ActorName, ExecutionId, Tenant, Namespace, Route]) {
      Effect.runSync(Effect.option(parse(schema as Schema.Codec<string, string>, "id", text)));
    }
    return Effect.runSync(namedExecution("order", text));
  }),
  ofText(
    "cron",
    ["*/5 0-12 1,15 * mon-fri", "0 9 * * 1#2", "@daily", "0 0 29 2 *"],
    (text) => orRefused("cron", parseCronExpression(text)),
  ),
  ofText("run-policy", [
    '{"type":"repeat","count":10,"interval":"1 day"}',
    '{"type":"cron","expression":"0 9 * * *","timeZone":"Europe/Berlin"}',
    '{"type":"once"}',
  ], (text) => {
    let policy: unknown;
    try {
      policy = JSON.parse(text);
    } catch {
      return undefined;
    }
    return Effect.runSync(parseRunPolicy(policy as never, 0));
  }),
  ofText("server-configuration", [
    configuration.encode(configuration.make({
      store: "/tmp/store",
      binary: "/usr/bin/nats-server",
      port: 4_222,
      durability: "power-safe",
      maxStorageBytes: 1,
      authorization: { user: "weir", password: "secret" },
    })),
  ], (text) => Option.getOrUndefined(configuration.decode(text))),
];
