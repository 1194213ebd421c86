/** What nats-server itself refuses the account of one tenant, with a client that knows no Weir. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { actor, connect as connectWeir, natsAccount, roles, type Weir } from "../../mod.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const wait = actor("wait", (ctx) => ctx.sleep("long", "1 hour"));

describe("a NATS account of one tenant that reads", () => {
  let server: ScratchServer;
  let weir: Weir;
  let operator: NatsConnection;
  let acme: NatsConnection;
  let own: string;
  let foreign: string;

  const stored = async (): Promise<Readonly<Record<string, number>>> => {
    const asked = JSON.stringify({ subjects_filter: ">" });
    const answer = await operator.request("$JS.API.STREAM.INFO.KV_weir", asked);
    return (answer.json() as { state: { subjects: Record<string, number> } }).state.subjects;
  };

  before(async () => {
    const capabilities = roles.auditor;
    const names = { account: "ACME", owner: "WEIR" };
    const { exports, imports } = natsAccount({ ...names, tenant: "acme", capabilities });
    const accounts = {
      WEIR: {
        jetstream: "enabled",
        users: [{ user: "operator", password: "operator" }],
        exports,
      },
      ACME: { users: [{ user: "acme", password: "acme" }], imports },
    };
    server = await scratchServer({
      settings: { accounts, no_auth_user: "operator" },
      durability: "bounded",
    });
    weir = await connectWeir({ servers: server.url });
    operator = await connect({ servers: server.url });
    acme = await connect({ servers: server.url, user: "acme", pass: "acme" });
    for (const tenant of ["acme", "beta"]) {
      await weir.start(wait, undefined, { id: "w-1", tenant, unserved: true });
    }
    const mail = Object.keys(await stored()).filter((each) => each.startsWith("weir.mail."));
    own = mail.find((each) => each.includes(".acme."))!;
    foreign = mail.find((each) => each.includes(".beta."))!;
  });
  after(async () => {
    await acme.close();
    await operator.close();
    await weir.close();
    await server.stop();
  });

  const get = (subject: string, body = "") =>
    acme.request(`$JS.API.DIRECT.GET.KV_weir${subject}`, body, { timeout: 2_000 });

  it("reads what its tenant has, and hears what comes", async () => {
    assert.equal((await get(`.${own}`)).json<{ kind: string }>().kind, "start");
    const heard: Array<string> = [];
    const subscription = acme.subscribe("weir.>", {
      callback: (_, { subject }) => void heard.push(subject),
    });
    await acme.flush();
    for (const tenant of ["beta", "acme"]) {
      await weir.ledgers.append("books", { kind: "audit", payload: 1, tenant });
    }
    await eventually("its own comes", () => heard.length > 0 || undefined);
    assert.deepEqual(heard, ["weir.ledger.acme.books"]);
    subscription.unsubscribe();
    await acme.flush();
  });

  it("finds nobody who would answer for another's, or take what it writes", async () => {
    const before = await stored();
    for (const subject of [`.${foreign}`, "", ".weir.>", ".weir.mail.*.*.*.*"]) {
      await assert.rejects(get(subject, subject === "" ? `{"seq":1}` : ""), /no responders/);
    }
    for (const subject of [own, foreign, "weir.ledger.acme.books", "$KV.weir.grant.=all.ana"]) {
      await assert.rejects(acme.request(subject, "{}"), /no responders/);
    }
    // Its own account has no JetStream, and that of the namespace is out of reach.
    for (const verb of ["INFO", "PURGE", "DELETE", "MSG.GET"]) {
      const answer = await acme.request(`$JS.API.STREAM.${verb}.KV_weir`, `{"seq":1}`);
      assert.equal(answer.json<{ error?: { code: number } }>().error?.code, 503, verb);
    }
    assert.deepEqual(await stored(), before);
  });

  it("cannot have an answer stored for another", async () => {
    const before = await stored();
    acme.publish(`$JS.API.DIRECT.GET.KV_weir.${own}`, "", { reply: foreign });
    const answers = acme.subscribe(foreign, { max: 1 });
    acme.publish(`$JS.API.DIRECT.GET.KV_weir.${own}`, "", { reply: foreign });
    // It is answered within its own account.
    for await (const { subject } of answers) assert.equal(subject, foreign);
    assert.deepEqual(await stored(), before);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
