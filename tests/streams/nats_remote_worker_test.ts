/** A remote worker as a NATS user of one tenant, and what those see who look after it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { connect as connectWeir, remoteActor, type Weir } from "../../mod.ts";
import { natsPermissions } from "../../streams/nats_permissions.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const resize = remoteActor<number, string>("resize", { leaseTtl: "1 minute" });
const [acme, beta] = ["acme", "beta & co"] as const;
const betaToken = "beta=20=26=20co.";

describe("a remote worker of one tenant", () => {
  let server: ScratchServer;
  let weir: Weir;
  let worker: NatsConnection;

  before(async () => {
    const permissions = natsPermissions({ tenant: acme, capabilities: ["execute"] });
    server = await scratchServer({
      durability: "bounded",
      settings: {
        authorization: {
          users: [
            { user: "operator", password: "operator" },
            { user: "worker", password: "secret", permissions },
          ],
        },
        no_auth_user: "operator",
      },
    });
    weir = await connectWeir({ servers: server.url, tenant: acme });
    await weir.worker([resize], { residentGrace: "0 millis" });
    worker = await connect({
      servers: server.url,
      user: "worker",
      pass: "secret",
      inboxPrefix: "_INBOX_acme",
    });
  });
  after(async () => {
    await worker.close();
    await weir.close();
    await server.stop();
  });

  const say = (verb: string, body: object) =>
    eventually(`an answer to ${verb}`, async () => {
      const answer = await worker.request(`weir-remote.acme.${verb}`, JSON.stringify(body), {
        timeout: 5_000,
      }).catch(() => undefined);
      // deno-lint-ignore no-explicit-any -- a worker of any language knows what it was promised
      const said: any = answer?.json();
      return said === undefined || said.error?.retryable === true ? undefined : said;
    }, 30_000);

  const registering = { identity: "w-1", capabilities: ["resize"], heartbeatMs: 60_000 };

  it("does what its tenant asks for, and is told of to who may look", async () => {
    const { session } = await say("register", registering);
    const run = await weir.start(resize, 7);
    const { step } = await say("claim", { session, waitMs: 10_000 });
    assert.deepEqual([step.input, step.tenant], [7, acme]);
    const [listed] = await weir.remotes.list();
    const { identity, capabilities, heartbeatMs, tenant } = listed!;
    assert.deepEqual({ identity, capabilities, heartbeatMs, tenant }, {
      ...registering,
      tenant: acme,
    });
    const described = await weir.remotes.describe("w-1");
    assert.deepEqual(
      described?.steps.map(({ execution, fence }) => ({ execution, fence })),
      [{ execution: run.id, fence: 1 }],
    );
    assert.equal(await weir.remotes.describe("w-2"), undefined);
    assert.deepEqual(await weir.remotes.list({ tenant: beta }), []);
    // Who is removed loses what it has, and is not told of any more.
    assert.equal(await weir.remotes.deregister("w-1"), true);
    assert.equal(await weir.remotes.deregister("w-1"), false);
    assert.deepEqual(await weir.remotes.list(), []);
    const late = await say("finish", { session, step: step.step, fence: 1, output: "old" });
    assert.equal(late.error.code, "not_registered");
    const again = await say("register", registering);
    const next = await say("claim", { session: again.session, waitMs: 10_000 });
    await say("finish", {
      session: again.session,
      step: next.step.step,
      fence: next.step.fence,
      output: "small",
    });
    assert.equal(await run.result(), "small");
  });

  it("reaches nothing of another tenant, and nothing that looks after workers", async () => {
    const { session } = await say("register", registering);
    for (
      const subject of [
        `weir-remote.${betaToken}register`,
        `weir-remote.${betaToken}claim`,
        "weir-remote.*.claim",
        "weir-remotes.acme.deregister",
        "weir-remotes.acme.describe",
        "weir.mail.0.resize.acme.w",
        "$KV.weir.errand.acme.w",
        "$KV.weir.remote.acme.w-1",
        "$JS.API.DIRECT.GET.KV_weir.$KV.weir.remote.acme.w-1",
      ]
    ) {
      await assert.rejects(
        worker.request(subject, JSON.stringify({ session }), { timeout: 2_000 }),
        /Permissions Violation/,
        subject,
      );
    }
    const overheard = worker.subscribe("weir-remote.acme.*");
    await assert.rejects(async () => {
      for await (const _ of overheard);
    }, /Permissions Violation/);
    assert.deepEqual(await weir.remotes.list({ tenant: beta }), []);
  });

  it("cannot have an answer stored in a stream", async () => {
    const { session } = await say("register", registering);
    const stored = async () => {
      const asked = JSON.stringify({ subjects_filter: "weir.mail.>" });
      const operator = await connect({ servers: server.url });
      const answer = await operator.request("$JS.API.STREAM.INFO.KV_weir", asked);
      await operator.close();
      return answer.json<{ state: { subjects?: Record<string, number> } }>().state.subjects;
    };
    const before = await stored();
    for (const reply of ["weir.mail.0.resize.acme.w", "weir.mail.0.resize.beta.w"]) {
      worker.publish("weir-remote.acme.heartbeat", JSON.stringify({ session }), { reply });
    }
    // What was asked before has been answered when this is.
    await say("heartbeat", { session });
    await say("heartbeat", { session });
    assert.deepEqual(await stored(), before);
  });

  it("nothing is left behind", async () => {
    await worker.close();
    await weir.close();
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
