import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { golden, objects, type Ran, type RunOptions, weir as bare } from "./command_line.ts";

describe("weir budgets", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  const weir = (words: ReadonlyArray<string>, options?: RunOptions): Promise<Ran> =>
    bare(["budgets", ...words, "--server", server.url], options);

  const says = async (words: ReadonlyArray<string>, stdout: string, exitCode = 0) => {
    const ran = await weir(words);
    assert.deepEqual({ ...ran, stdout: golden(ran.stdout) }, { exitCode, stdout, stderr: "" });
  };

  const json = async (words: ReadonlyArray<string>) =>
    objects((await weir([...words, "--json"])).stdout);

  it("counts, refuses, gives back and begins anew", async () => {
    await says(["allocate", "tenant", "token=100", "costCents=50/40"], "tenant  allocated\n");
    await says(["allocate", "task:t-1", "token=/5", "--key", "a"], "task:t-1  allocated\n");
    await says(
      ["allocate", "task:t-1", "token=/5", "--key", "a"],
      "task:t-1  was done under this key before\n",
    );
    const stack = ["--with", "tenant", "--execution", "order/o-1"];
    await says(["consume", "task:t-1", "token=5", ...stack], "task:t-1, tenant  consumed\n");
    await says(
      ["consume", "task:t-1", "token=1", ...stack],
      "task:t-1, tenant  consumed, above a soft limit\ntask:t-1  token: 6 of 5 used\n",
    );
    await says(
      ["consume", "tenant", "token=95", "costCents=1"],
      "tenant  refused by a hard limit\ntenant  token: 6 of 100 used\n",
      1,
    );
    assert.deepEqual(await json(["consume", "tenant", "token=95"]), [{
      outcome: "hardBreach",
      breaches: [{ budget: "tenant", dimension: "token", limit: 100, used: 6 }],
    }]);
    await says(["consume", "tenant", "token=95", "--overage"], "tenant  consumed\n");
    await says(
      ["ls"],
      "task:t-1\topen\t-\ttoken 6 of -/5\n" +
        "tenant\texhausted\t-\ttoken 101 of 100, costCents 0 of 50/40\n",
    );
    await says(
      ["describe", "tenant"],
      "budget   tenant\nstate    exhausted\nused     token 101 of 100\n" +
        "used     costCents 0 of 50/40\nrefused  2, last token at TIME\n",
    );
    await says(
      ["release", "order/o-1"],
      "task:t-1  token=6 given back\ntenant  token=6 given back\n",
    );
    await says(["release", "order/o-1"], "order/o-1  nothing to give back\n");
    await says(["reset", "tenant", "token"], "tenant  reset\n");
    await says(["replenish", "tenant", "costCents=9"], "tenant  replenished\n");
    const [described] = await json(["describe", "tenant"]);
    assert.deepEqual(described!["dimensions"], {
      token: { hard: 100, used: 0, left: 100, exhausted: false },
      costCents: { hard: 9, soft: 40, used: 0, left: 9, exhausted: false },
    });
    await says(["delete", "tenant"], "tenant  deleted\n");
    await says(["delete", "tenant"], "tenant  was not there\n");
    const missing = await weir(["describe", "tenant"]);
    assert.deepEqual([missing.exitCode, missing.stdout], [1, ""]);
    assert.match(missing.stderr, /no budget "tenant".*allocate it/);
    const zero = await weir(["allocate", "tenant", "token=0", "--json"]);
    assert.match(zero.stderr, /WEIR_ZERO_LIMIT/);
  });

  it("says when usage returns to zero", async () => {
    await says(["allocate", "daily", "token=5", "--reset-every", "1 day"], "daily  allocated\n");
    const [budget] = await json(["describe", "daily"]);
    assert.equal(budget!["resetEveryMs"], 86_400_000);
    await says(["allocate", "daily", "token=5", "--reset-every", "never"], "daily  allocated\n");
    assert.equal((await json(["describe", "daily"]))[0]!["resetsAt"], undefined);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
