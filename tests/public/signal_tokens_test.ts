import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import {
  actor,
  ExecutionEnded,
  InvalidInput,
  InvalidToken,
  NoTokenKeys,
  signal,
  type TokenKey,
} from "@weir/weir";
import { weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";

const approval = signal<{ by: string }>("approval");
const refund = signal<string>("refund");

const secretOf = (id: string) => `${id}-`.padEnd(40, "0123456789");
const keyOf = (id: string, until?: Date): TokenKey => ({
  id,
  secret: secretOf(id),
  ...(until === undefined ? {} : { until }),
});

type Payload = readonly [
  tenant: string,
  execution: string,
  life: number,
  signal: string,
  key: string,
  expires: number,
];

/** A token as whoever has a secret makes it, written down anew from what the page says of it. */
const forged = (
  payload: unknown,
  { id = "k2", secret = secretOf(id), namespace = "memory" } = {},
): string => {
  const text = `${id}.${Buffer.from(JSON.stringify(payload)).toString("base64url")}`;
  const mac = createHmac("sha256", secret).update(`weir signal token\n${namespace}\n${text}`);
  return `${text}.${mac.digest("base64url")}`;
};

const payloadOf = (token: string): Payload =>
  JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString());

/** Another character of base64url in a place of a text. */
const changed = (text: string, at: number): string => {
  const i = at < 0 ? text.length + at : at;
  return text.slice(0, i) + (text[i] === "A" ? "B" : "A") + text.slice(i + 1);
};

describe("a token of a signal", () => {
  const startsAt = new Date("2027-01-01T00:00:00Z");
  const graceEnds = new Date("2027-01-20T00:00:00Z");
  const given: Array<string> = [];
  const asks = actor("asks", async (ctx, expires: number) => {
    const token = await ctx.token(approval, { expires });
    given.push(token);
    await ctx.run("mail", () => token);
    return await ctx.wait(approval);
  });
  const asksTwice = actor("asksTwice", async (ctx) => {
    const tokens = [await ctx.token(approval), await ctx.token(approval), await ctx.token(refund)];
    await ctx.run("mail", () => tokens);
    return [await ctx.wait(approval, { name: "a" }), await ctx.wait(approval, { name: "b" })];
  });

  let weir: MemoryWeir;
  let handler: (request: Request) => Promise<Response>;
  before(async () => {
    weir = await inMemory({
      startsAt,
      tokenKeys: [
        keyOf("k2"),
        keyOf("k1", graceEnds),
        keyOf("k0", startsAt),
        keyOf("k2"),
      ],
    });
    await weir.worker([asks, asksTwice], { residentGrace: "0 millis" });
    handler = weirHandler({ weir, tokenRate: { perSecond: 1_000 } });
  });
  after(() => weir.close());

  const stepOf = async (run: { history(): AsyncIterable<{ readonly record: object }> }) => {
    for await (const { record } of run.history()) {
      if ("kind" in record && record.kind === "step" && "result" in record) {
        return (record.result as { readonly value: unknown }).value;
      }
    }
    return assert.fail("nothing was mailed");
  };

  /** An execution that waits for a signal, and the token that it gave. */
  const asked = async (id: string, expires = 3_600_000) => {
    const run = await weir.start(asks, expires, { id });
    await weir.advance("1 second");
    return { run, token: await stepOf(run) as string };
  };

  it("sends it, and nothing else is needed", async () => {
    const { run, token } = await asked("o-1");
    const { signalId, effect } = await weir.complete(token, { by: "ana" });
    assert.ok(signalId.length > 0);
    assert.deepEqual(await run.result(), { by: "ana" });
    assert.equal(await effect(), "satisfied");
  });

  it("sends it once, however often it is used", async () => {
    const run = await weir.start(asksTwice, undefined, { id: "o-2" });
    await weir.advance("1 second");
    const [first, second, third] = await stepOf(run) as [string, string, string];
    assert.equal(new Set([first, second, third]).size, 3);
    const once = await weir.complete(first, { by: "ana" });
    const again = await weir.complete(first, { by: "bo" });
    assert.equal(again.signalId, once.signalId);
    await weir.advance("1 day");
    const late = await weir.complete(first, { by: "cy" });
    assert.equal(late.signalId, once.signalId);
    await weir.complete(second, { by: "di" });
    assert.deepEqual(await run.result(), [{ by: "ana" }, { by: "di" }]);
  });

  it("is the same in every replay, and in no record but what the code keeps itself", async () => {
    given.length = 0;
    const { run, token } = await asked("o-3");
    await run.pause();
    await weir.advance("1 minute");
    await run.resume();
    await weir.complete(token, { by: "ana" });
    await run.result();
    assert.ok(given.length > 1);
    assert.deepEqual([...new Set(given)], [token]);
    const noted: Array<string> = [];
    for await (const { record } of run.history()) {
      if (record.kind !== "step") noted.push(JSON.stringify(record));
    }
    const mac = token.split(".")[2]!;
    assert.ok(noted.some((each) => each.includes("weir.token/approval")));
    assert.ok(noted.every((each) => !each.includes(mac) && !each.includes(secretOf("k2"))));
  });

  it("is told that it comes too late only if it is one", async () => {
    const { run, token } = await asked("o-4", 30 * 86_400_000);
    await run.cancel();
    assert.equal((await run.outcome()).type, "cancelled");
    await assert.rejects(weir.complete(token, { by: "ana" }), ExecutionEnded);
    await assert.rejects(weir.complete(changed(token, -10), { by: "ana" }), InvalidToken);
  });

  it("of a key that retires is taken until its grace is over", async () => {
    const old = async (id: string) => {
      const { run, token } = await asked(id);
      return { run, token: forged(payloadOf(token).with(5, 9e15), { id: "k1" }) };
    };
    const soon = await old("o-5");
    const late = await old("o-6");
    assert.ok(weir.now < graceEnds);
    await weir.complete(soon.token, { by: "ana" });
    assert.deepEqual(await soon.run.result(), { by: "ana" });
    await weir.advance(graceEnds.getTime() - weir.now.getTime());
    await assert.rejects(weir.complete(late.token, { by: "ana" }), InvalidToken);
  });

  describe("has one answer for whatever is wrong with it", () => {
    /** What is wrong, and a token of which that is true, made of one that is good. */
    const cases: Readonly<Record<string, (good: string) => unknown>> = {
      "nothing is there": () => "",
      "it is no text": () => 4_200,
      "it is no token": () => "correct-horse-battery-staple",
      "it is far too long": () => "A".repeat(1_000_000),
      "a part is missing": (good) => good.slice(0, good.lastIndexOf(".")),
      "a part is too much": (good) => `${good}.A`,
      "the code is cut off": (good) => good.slice(0, -1),
      "the code is changed at its beginning": (good) => changed(good, -43),
      "the code is changed at its end": (good) => changed(good, -2),
      "the code is written in another way": (good) => {
        const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const at = last.indexOf(good.at(-1)!);
        return good.slice(0, -1) + last[at ^ 1];
      },
      "the code is another token's": (good) => {
        const other = forged(payloadOf(good).with(1, "asks/other"));
        return good.slice(0, good.lastIndexOf(".")) + other.slice(other.lastIndexOf("."));
      },
      "it is of a key that there is not": (good) => forged(payloadOf(good), { id: "k3" }),
      "it is of another secret": (good) =>
        forged(payloadOf(good), { id: "k2", secret: secretOf("k1") }),
      "it is of a key whose grace is over": (good) => forged(payloadOf(good), { id: "k0" }),
      "it is of another namespace": (good) => forged(payloadOf(good), { namespace: "other" }),
      "its signal was changed": (good) => spliced(good, 3, "refund"),
      "its execution was changed": (good) => spliced(good, 1, "asks/o-1"),
      "its tenant was changed": (good) => spliced(good, 0, "rival"),
      "its expiry was changed": (good) => spliced(good, 5, 9e15),
      "it has expired": (good) => forged(payloadOf(good).with(5, startsAt.getTime())),
      "it is for a life that is over": (good) => {
        const payload = payloadOf(good);
        return forged(payload.with(2, payload[2] + 1));
      },
      "it is for nobody": (good) => forged(payloadOf(good).with(1, "asks/nobody")),
      "it is for another tenant": (good) => forged(payloadOf(good).with(0, "rival")),
      "what it says makes no sense": () => forged({ all: true }),
    };

    /** A part of it changed by somebody who cannot make a code for that. */
    const spliced = (good: string, place: number, value: unknown) => {
      const [id, , mac] = good.split(".");
      const payload = JSON.stringify(payloadOf(good).with(place, value as never));
      return `${id}.${Buffer.from(payload).toString("base64url")}.${mac}`;
    };

    /** All that can be seen of an answer. */
    const seen = async (token: unknown) => {
      const error = await weir.complete(token as string, { by: "eve" }).then(
        () => assert.fail("it was taken"),
        (error: unknown) => error as InvalidToken,
      );
      assert.ok(error instanceof InvalidToken);
      return {
        text: String(error),
        json: JSON.stringify(error),
        fields: Object.getOwnPropertyNames(error).filter((name) => name !== "stack"),
        cause: error.cause,
      };
    };

    const asSeenByPost = async (token: string) => {
      const response = await handler(
        new Request(`http://weir.test/api/v1/tokens/${encodeURIComponent(token)}`, {
          method: "POST",
          headers: { "content-type": "application/json", "x-request-id": "r" },
          body: '{"by":"eve"}',
        }),
      );
      const headers: Array<readonly [string, string]> = [];
      response.headers.forEach((value, name) => headers.push([name, value]));
      return { status: response.status, headers, text: await response.text() };
    };

    for (const [what, tokenOf] of Object.entries(cases)) {
      it(what, async () => {
        const { run, token } = await asked(`bad ${what}`);
        const bad = tokenOf(token);
        assert.notEqual(bad, token);
        assert.deepEqual(await seen(bad), await seen("nonsense"));
        if (typeof bad === "string" && bad !== "" && bad.length < 10_000) {
          assert.deepEqual(await asSeenByPost(bad), await asSeenByPost("nonsense"));
        }
        assert.equal((await run.describe()).status, "suspended");
        await weir.complete(token, { by: "ana" });
        assert.deepEqual(await run.result(), { by: "ana" });
      });
    }
  });

  it("is all that a POST needs", async () => {
    const { run, token } = await asked("o-7");
    const post = (body: string) =>
      handler(
        new Request(`http://weir.test/api/v1/tokens/${token}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body,
        }),
      );
    const response = await post('{"by":"hook"}');
    assert.equal(response.status, 202);
    const answer = await response.json() as object;
    assert.deepEqual(Object.keys(answer), ["signalId"]);
    assert.deepEqual(await (await post('{"by":"again"}')).json(), answer);
    assert.deepEqual(await run.result(), { by: "hook" });
    const elsewhere = await handler(new Request("http://weir.test/api/v1/runs"));
    assert.equal(elsewhere.status, 403);
  });

  it("is refused when too many come, good or bad, and who is quiet is served", async () => {
    const { run, token } = await asked("o-8");
    const limited = weirHandler({
      weir,
      tokenRate: {
        perSecond: 0.001,
        burst: 3,
        by: ({ headers }) => headers.get("x-forwarded-for") ?? "",
      },
    });
    const post = async (from: string, text: string) => {
      const response = await limited(
        new Request(`http://weir.test/api/v1/tokens/${text}`, {
          method: "POST",
          headers: { "x-forwarded-for": from },
        }),
      );
      return response.status;
    };
    const statuses: Array<number> = [];
    for (let i = 0; i < 5; i++) statuses.push(await post("eve", "nonsense"));
    assert.deepEqual(statuses, [403, 403, 403, 429, 429]);
    assert.equal(await post("eve", token), 429);
    assert.equal((await run.describe()).status, "suspended");
    assert.equal(await post("ana", token), 202);
  });
});

describe("keys of tokens", () => {
  const refusals: Readonly<Record<string, ReadonlyArray<TokenKey>>> = {
    "an id that is none": [{ id: "k.1", secret: secretOf("k") }],
    "an empty id": [{ id: "", secret: secretOf("k") }],
    "a short secret": [{ id: "k", secret: "0123456789012345678901234567890" }],
    "a secret with spaces": [{ id: "k", secret: " ".repeat(40) }],
    "two secrets of one id": [keyOf("k"), { id: "k", secret: secretOf("other") }],
    "an end of the key that makes tokens": [keyOf("k", new Date())],
    "an end that is no time": [keyOf("k"), keyOf("old", new Date(Number.NaN))],
  };
  for (const [what, tokenKeys] of Object.entries(refusals)) {
    it(`are refused for ${what}, and no secret is repeated`, async () => {
      const error = await inMemory({ tokenKeys }).then(
        () => assert.fail("they were taken"),
        (error: unknown) => error,
      );
      assert.ok(error instanceof InvalidInput, String(error));
      const told = `${error} ${JSON.stringify(error)} ${error.stack}`;
      for (const { secret } of tokenKeys) assert.ok(!told.includes(secret));
    });
  }

  it("come from the environment, too, and are asked for where there are none", async () => {
    const asks = actor("asks", (ctx) => ctx.token(approval));
    const saved = process.env["WEIR_TOKEN_KEYS"];
    try {
      delete process.env["WEIR_TOKEN_KEYS"];
      {
        await using weir = await inMemory();
        await weir.worker([asks]);
        await assert.rejects(weir.complete("any"), NoTokenKeys);
        const outcome = await (await weir.start(asks, undefined)).outcome();
        assert.ok(outcome.type === "failure");
        assert.match(String(outcome.error), /WEIR_TOKEN_KEYS/);
      }
      process.env["WEIR_TOKEN_KEYS"] = `new=${secretOf("new")}, old=${secretOf("old")}@2020-01-01`;
      {
        await using weir = await inMemory();
        await weir.worker([asks]);
        const token = await (await weir.start(asks, undefined)).result();
        assert.match(token, /^new\./);
        const old = forged(payloadOf(token), { id: "old" });
        await assert.rejects(weir.complete(old), InvalidToken);
        await assert.rejects(weir.complete(token), ExecutionEnded);
      }
      process.env["WEIR_TOKEN_KEYS"] = secretOf("naked");
      await assert.rejects(inMemory(), (error) => {
        assert.ok(error instanceof InvalidInput);
        assert.ok(!`${error}`.includes(secretOf("naked")));
        return true;
      });
    } finally {
      if (saved === undefined) delete process.env["WEIR_TOKEN_KEYS"];
      else process.env["WEIR_TOKEN_KEYS"] = saved;
    }
  });

  it("are not in what a connection gives out", async () => {
    await using weir = await inMemory({ tokenKeys: [keyOf("k")] });
    assert.ok(!JSON.stringify(weir).includes(secretOf("k")));
  });
});
