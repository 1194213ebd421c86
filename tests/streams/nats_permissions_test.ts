/** What nats-server itself refuses a user of one tenant, with clients that know nothing of Weir. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { actor, connect as connectWeir, type Weir } from "../../mod.ts";
import { roles } from "../../schema/access.ts";
import { natsPermissions } from "../../streams/nats_permissions.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const wait = actor("wait", (ctx) => ctx.sleep("long", "1 hour"));
const tenants = ["acme", "beta & co"] as const;
const [acme, beta] = tenants;
const inboxOf = { [acme]: "_INBOX_a", [beta]: "_INBOX_b" } as const;

type User = (typeof tenants)[number];

describe("a NATS user of one tenant", () => {
  let server: ScratchServer;
  let weir: Weir;
  let operator: NatsConnection;
  const users: Partial<Record<User | "auditor", NatsConnection>> = {};
  const mailOf: Partial<Record<User, string>> = {};
  const ledgerOf: Partial<Record<User, string>> = {};

  const permissionsOf = (tenant: User, role: keyof typeof roles) =>
    natsPermissions({ tenant, capabilities: roles[role], inboxPrefix: inboxOf[tenant] });

  /** The sequences of all that is stored, by subject. */
  const stored = async (): Promise<Readonly<Record<string, number>>> => {
    const asked = JSON.stringify({ subjects_filter: ">" });
    const answer = await operator.request("$JS.API.STREAM.INFO.KV_weir", asked);
    return (answer.json() as { state: { subjects?: Record<string, number> } }).state.subjects ?? {};
  };

  before(async () => {
    const user = (tenant: User, role: keyof typeof roles) => ({
      user: `${tenant} ${role}`,
      password: "secret",
      permissions: permissionsOf(tenant, role),
    });
    const authorization = {
      users: [
        { user: "operator", password: "operator" },
        user(acme, "operator"),
        user(beta, "operator"),
        user(acme, "auditor"),
        {
          user: "nobody",
          password: "secret",
          permissions: natsPermissions({ tenant: acme, capabilities: [] }),
        },
      ],
    };
    server = await scratchServer({
      settings: { authorization, no_auth_user: "operator" },
      durability: "bounded",
    });
    weir = await connectWeir({ servers: server.url });
    operator = await connect({ servers: server.url });
    for (const tenant of tenants) {
      await weir.tenants.create(tenant, { name: tenant });
      await weir.start(wait, undefined, { id: "w-1", tenant, unserved: true });
      await weir.ledgers.append("books", { kind: "audit", payload: tenant, tenant });
      await weir.grants.assign("ana", "operator", { tenant });
    }
    const subjects = Object.keys(await stored());
    const found = (kind: string, tenant: User) => {
      const token = tenant === acme ? ".acme." : ".beta=20=26=20co.";
      return subjects.find((each) => each.startsWith(`weir.${kind}.`) && each.includes(token))!;
    };
    for (const tenant of tenants) {
      mailOf[tenant] = found("mail", tenant);
      ledgerOf[tenant] = found("ledger", tenant);
      users[tenant] = await connect({
        servers: server.url,
        user: `${tenant} operator`,
        pass: "secret",
        inboxPrefix: inboxOf[tenant],
      });
    }
    users.auditor = await connect({
      servers: server.url,
      user: `${acme} auditor`,
      pass: "secret",
      inboxPrefix: inboxOf[acme],
    });
  });
  after(async () => {
    for (const user of Object.values(users)) await user.close();
    await operator.close();
    await weir.close();
    await server.stop();
  });

  const ask = (user: User | "auditor", subject: string, body: unknown = "") =>
    users[user]!.request(subject, typeof body === "string" ? body : JSON.stringify(body), {
      timeout: 2_000,
    });
  const get = (user: User | "auditor", subject: string, body?: unknown) =>
    ask(user, `$JS.API.DIRECT.GET.KV_weir.${subject}`, body);

  const refused = async (user: User | "auditor", subject: string, body?: unknown) => {
    const before = await stored();
    await assert.rejects(ask(user, subject, body), /Permissions Violation/, subject);
    assert.deepEqual(await stored(), before, subject);
  };

  it("writes to the mailboxes of its tenant, and reads what its tenant has", async () => {
    for (const tenant of tenants) {
      const ack = (await ask(tenant, mailOf[tenant]!, "{}")).json<{ seq?: number }>();
      assert.ok(ack.seq! > 0);
      assert.equal((await get(tenant, mailOf[tenant]!)).string(), "{}");
      assert.equal(
        (await get(tenant, ledgerOf[tenant]!)).json<{ payload: string }>().payload,
        tenant,
      );
    }
    const tenant = (await get(acme, "$KV.weir.tenant.acme")).json<{ name: string }>();
    assert.equal(tenant.name, acme);
    const grant = (await get(acme, "$KV.weir.grant.acme.ana")).json<{ principal: string }>();
    assert.equal(grant.principal, "ana");
  });

  it("sees what comes in its tenant, and nothing of another", async () => {
    const seen: Array<string> = [];
    const subscription = users[acme]!.subscribe("weir.mail.*.*.acme.*", {
      callback: (_, { subject }) => void seen.push(subject),
    });
    await users[acme]!.flush();
    await ask(beta, mailOf[beta]!, "{}");
    await ask(acme, mailOf[acme]!, "{}");
    await eventually("its own comes", () => seen.length > 0 || undefined);
    assert.deepEqual(seen, [mailOf[acme]]);
    subscription.unsubscribe();
    for (
      const wide of ["weir.>", "weir.mail.>", "weir.mail.*.*.*.*", mailOf[beta]!, "_INBOX_b.>"]
    ) {
      const error = await new Promise((resolve) =>
        users[acme]!.subscribe(wide, { callback: resolve })
      );
      assert.match(String(error), /Permissions Violation/, wide);
    }
  });

  it("an auditor reads, and writes nothing", async () => {
    await refused("auditor", mailOf[acme]!, "{}");
    assert.ok((await get("auditor", mailOf[acme]!)).string().length > 0);
  });

  it("nobody without a capability publishes anything", async () => {
    const nobody = await connect({
      servers: server.url,
      user: "nobody",
      pass: "secret",
      inboxPrefix: inboxOf[acme],
    });
    for (const subject of [mailOf[acme]!, `$JS.API.DIRECT.GET.KV_weir.${mailOf[acme]}`, "x"]) {
      await assert.rejects(nobody.request(subject, "{}"), /Permissions Violation/);
    }
    await nobody.close();
  });

  it("is refused what is another's, by whichever request", async () => {
    const foreign = mailOf[beta]!;
    const stream = "KV_weir";
    const requests: ReadonlyArray<readonly [subject: string, body?: unknown]> = [
      [foreign, "{}"],
      [ledgerOf[acme]!, "{}"],
      [ledgerOf[beta]!, "{}"],
      ["$KV.weir.grant.acme.ana", "{}"],
      ["$KV.weir.grant.=all.ana", "{}"],
      [mailOf[acme]!.replace(".mail.", ".log."), "{}"],
      [`$JS.API.DIRECT.GET.${stream}.${foreign}`],
      [`$JS.API.DIRECT.GET.${stream}.weir.mail.*.*.*.*`],
      [`$JS.API.DIRECT.GET.${stream}.weir.>`],
      [`$JS.API.DIRECT.GET.${stream}.$KV.weir.grant.=all.ana`],
      [`$JS.API.DIRECT.GET.${stream}`, { seq: 1 }],
      [`$JS.API.DIRECT.GET.${stream}`, { last_by_subj: mailOf[acme]! }],
      [`$JS.API.STREAM.MSG.GET.${stream}`, { seq: 1 }],
      [`$JS.API.STREAM.MSG.GET.${stream}`, { last_by_subj: foreign }],
      [`$JS.API.STREAM.MSG.DELETE.${stream}`, { seq: 1 }],
      [`$JS.API.STREAM.INFO.${stream}`, { subjects_filter: ">" }],
      [`$JS.API.STREAM.PURGE.${stream}`, { filter: foreign }],
      [`$JS.API.STREAM.PURGE.${stream}`],
      [`$JS.API.STREAM.DELETE.${stream}`],
      [`$JS.API.STREAM.UPDATE.${stream}`, { name: stream, subjects: ["x"] }],
      ["$JS.API.STREAM.CREATE.copy", { name: "copy", sources: [{ name: stream }] }],
      [`$JS.API.STREAM.SNAPSHOT.${stream}`, { deliver_subject: "_INBOX_a.copy" }],
      [`$JS.API.CONSUMER.CREATE.${stream}`, { stream_name: stream, config: {} }],
      [`$JS.API.CONSUMER.CREATE.${stream}.c`, { stream_name: stream, config: { name: "c" } }],
      ...[">", "weir.>", "weir.mail.*.*.*.*", foreign, mailOf[acme]!].map((filter) =>
        [
          `$JS.API.CONSUMER.CREATE.${stream}.c.${filter}`,
          { stream_name: stream, config: { name: "c", filter_subject: filter } },
        ] as const
      ),
      [`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.c`, {
        stream_name: stream,
        config: { durable_name: "c" },
      }],
      [`$JS.API.CONSUMER.MSG.NEXT.${stream}.c`],
    ];
    for (const [subject, body] of requests) await refused(acme, subject, body);
  });

  it("cannot have a request for its own mean something else", async () => {
    const own = mailOf[acme]!;
    const bodies = [
      { seq: 1 },
      { seq: 1, next_by_subj: ">" },
      { last_by_subj: mailOf[beta]! },
      { multi_last: [">"] },
      { seq: 1, batch: 100, next_by_subj: ">" },
    ];
    for (const body of bodies) {
      const answer = await get(acme, own, body);
      assert.equal(answer.headers?.code, 408, JSON.stringify(body));
      assert.equal(answer.string(), "");
    }
    const wild = await get(acme, "weir.mail.*.*.acme.*");
    assert.equal(wild.headers?.get("Nats-Subject"), own);
  });

  it("a watch of the bucket by another's client is refused", async () => {
    const manager = new Kvm(jetstream(users[acme]!, { timeout: 1_000 }));
    await assert.rejects(async () => {
      const bucket = await manager.open("weir", { bindOnly: true } as never);
      await bucket.watch({ key: ">" });
    }, /Permissions Violation/);
  });

  // What follows is not meant to be so; it is what the page on access warns of.
  it("can have an answer stored for another, since no server checks where answers go", async () => {
    const count = async () => (await stored())[mailOf[beta]!] ?? 0;
    const before = await count();
    const reply = mailOf[beta]!;
    users.auditor!.publish(`$JS.API.DIRECT.GET.KV_weir.${mailOf[acme]}`, "", { reply });
    await eventually("it is stored", async () => await count() > before || undefined);
  });

  it("can do more by headers if it may publish, which no server checks", async () => {
    const foreign = mailOf[beta]!;
    const own = mailOf[acme]!;
    const count = async () => (await stored())[foreign] ?? 0;

    const known = await count();
    const schedule = headers();
    schedule.set("Nats-Schedule", "@at 2020-01-01T00:00:00Z");
    schedule.set("Nats-Schedule-Target", foreign);
    await users[acme]!.request(own, "{}", { headers: schedule, timeout: 2_000 });
    await eventually("it is in another's mailbox", async () => await count() > known || undefined);

    const all = headers();
    all.set("Nats-Rollup", "all");
    await users[acme]!.request(own, "{}", { headers: all, timeout: 2_000 });
    assert.deepEqual(Object.keys(await stored()), [own]);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
