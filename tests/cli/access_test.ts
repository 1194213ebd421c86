/** `weir tenants`, `grants`, `ledger` and `permissions`. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import * as Effect from "effect/Effect";
import { locate } from "../../streams/server/locate.ts";
import { leftovers, scratchFolder, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { golden, objects, type Ran, type RunOptions, weir as bare } from "./command_line.ts";

describe("weir, of who may do what", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const weir = (words: ReadonlyArray<string>, options?: RunOptions): Promise<Ran> =>
    bare([...words, "--server", server.url, "--tenant", "acme"], options);

  const says = async (words: ReadonlyArray<string>, stdout: string) => {
    const ran = await weir(words);
    assert.deepEqual({ ...ran, stdout: golden(ran.stdout) }, { exitCode: 0, stdout, stderr: "" });
  };

  const json = async (...words: ReadonlyArray<string>) => {
    const { exitCode, stdout, stderr } = await weir([...words, "--json"]);
    assert.equal(exitCode, 0, stderr);
    return objects(stdout);
  };

  it("nothing is granted in a tenant that nobody created", async () => {
    const { exitCode, stderr } = await weir(["grants", "assign", "ana", "operator"]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /There is no tenant "acme"\. .*tenants\.create/);
  });

  it("creates and lists tenants", async () => {
    const create = ["tenants", "create", "acme", "--name", "Acme Ltd", "--by", "root"];
    await says(create, "acme  created\n");
    await says(create, "acme  was there already\n");
    const other = await weir(["tenants", "create", "acme", "--name", "Another"]);
    assert.equal(other.exitCode, 1);
    await says(["tenants", "list"], "acme\tTIME\tAcme Ltd\n");
    const [tenant] = await json("tenants", "list");
    assert.deepEqual(Object.keys(tenant!), ["tenant", "name", "by", "createdAt"]);
  });

  it("gives and takes roles and capabilities", async () => {
    await says(
      ["grants", "assign", "ana", "operator"],
      "principal  ana\ntenant     acme\nroles      operator\nmay        cancel,execute,read,submit\n",
    );
    await weir([
      "grants",
      "assign",
      "bo",
      "clerk",
      "--capability",
      "submit",
      "--capability",
      "x.y",
    ]);
    await weir(["grants", "revoke", "ana", "cancel", "--by", "root"]);
    assert.deepEqual(await json("grants", "of", "ana"), [{
      principal: "ana",
      tenant: "acme",
      roles: ["operator"],
      capabilities: ["execute", "read", "submit"],
    }]);
    await weir(["grants", "grant", "root", "administer", "--all-tenants"]);
    await says(["grants", "list", "--all-tenants"], "root\t(all)\t-\tadminister\t-\tTIME\n");
    await says(
      ["grants", "list"],
      "ana\tacme\toperator\t-\tcancel\tTIME\nbo\tacme\tclerk\t-\t-\tTIME\n",
    );
    await weir(["grants", "unassign", "bo", "clerk"]);
    const [bo] = await json("grants", "of", "bo");
    assert.deepEqual(bo!["capabilities"], []);
    const history = await json("tenants", "history", "acme");
    assert.deepEqual(
      history.map(({ type, principal, by }) => [type, principal, by].join(" ").trim()),
      [
        "tenantCreated  root",
        "roleAssigned ana",
        "roleAssigned bo",
        "capabilityRevoked ana root",
        "roleUnassigned bo",
      ],
    );
  });

  it("refuses what is no role, no capability and nobody", async () => {
    for (
      const words of [
        ["assign", "ana", "king"],
        ["assign", "ana", "operator", "--capability", "read"],
        ["grant", "ana", "every thing"],
        ["grant", "", "read"],
      ]
    ) assert.equal((await weir(["grants", ...words])).exitCode, 2, words.join(" "));
  });

  it("appends to a ledger and reads it", async () => {
    const append = ["ledger", "append", "order/o-1", "decision", `{"approved":true}`];
    const named = [...append, "--by", "ana", "--id", "d-1"];
    assert.match((await weir(named)).stdout, /^order\/o-1 {2}\d+ {2}appended\n$/);
    assert.match((await weir(named)).stdout, /^order\/o-1 {2}\d+ {2}was there already\n$/);
    await weir(append);
    const [first, second, ...rest] = await json("ledger", "read", "order/o-1");
    assert.deepEqual(rest, []);
    assert.deepEqual([first!["by"], first!["id"], second!["by"]], ["ana", "d-1", undefined]);
    const behind = await json("ledger", "read", "order/o-1", "--after", `${first!["sequence"]}`);
    assert.deepEqual(behind, [second]);
    await says(["ledger", "keys"], "order/o-1\n");
    const { stdout } = await weir(["ledger", "read", "order/o-1", "--follow"], {
      until: (text) => text.split("\n").length > 2,
    });
    assert.equal(stdout.split("\n").length, 3);
  });

  it("prints a user that nats-server takes", async () => {
    const { path } = await Effect.runPromise(locate());
    const folder = scratchFolder("permissions");
    const checked = async (file: string, text: string) => {
      await writeFile(join(folder, file), text);
      const { stderr } = await promisify(execFile)(path, ["-t", "-c", join(folder, file)], {
        env: { ...process.env, ACME_OPERATOR_PASSWORD: "secret", ACME_USER_PASSWORD: "secret" },
      });
      assert.match(stderr, /is valid/);
    };
    for (const role of [["--role", "operator"], []]) {
      const conf = (await weir(["permissions", ...role])).stdout;
      assert.match(conf, /password: \$ACME_/);
      await checked("server.conf", `authorization { users: [ ${conf} ] }`);
      const { stdout } = await weir(["permissions", ...role, "--format", "json"]);
      await checked("server.json", JSON.stringify({ authorization: { users: objects(stdout) } }));
    }
  });

  it("prints what the accounts of two tenants export and import, and nats-server takes it", async () => {
    const { path } = await Effect.runPromise(locate());
    const words = ["permissions", "--role", "auditor", "--account", "ACME"];
    for (const format of ["conf", "json"]) {
      const { exports, imports } = JSON.parse((await weir([...words, "--format", format])).stdout);
      const accounts = { WEIR: { jetstream: "enabled", exports }, ACME: { imports } };
      const file = join(scratchFolder("accounts"), "server.json");
      await writeFile(file, JSON.stringify({ accounts, jetstream: {} }));
      const { stderr } = await promisify(execFile)(path, ["-t", "-c", file]);
      assert.match(stderr, /is valid/);
    }
  });

  it("prints permissions without a server, and only for what there is", async () => {
    const ran = await bare(["permissions", "--tenant", "b c", "--role", "auditor", "--json"]);
    assert.match(ran.stdout, /weir\.ledger\.b=20c\.\*/);
    assert.equal((await bare(["permissions", "--role", "king"])).exitCode, 2);
    assert.equal((await bare(["permissions", "--shards", "0"])).exitCode, 2);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
