/** The lists of subjects for a NATS user of one tenant; what a server makes of them is elsewhere. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InvalidInput } from "../../schema/errors.ts";
import { natsPermissions } from "../../streams/nats_permissions.ts";

describe("permissions for NATS", () => {
  it("are no wider than the capabilities", () => {
    const of = (...capabilities: ReadonlyArray<string>) =>
      natsPermissions({ tenant: "acme", capabilities });
    assert.deepEqual(of(), {
      publish: { deny: [">"] },
      subscribe: { allow: ["_INBOX_acme.>"] },
    });
    // A message to a mailbox may start, signal and cancel, and a server cannot tell.
    assert.deepEqual(of("submit"), of());
    assert.deepEqual(of("cancel", "administer"), of());
    // Who executes speaks to who keeps the remote workers of his tenant, and to nobody else.
    assert.deepEqual(of("execute"), {
      publish: { allow: ["weir-remote.acme.*"] },
      subscribe: { allow: ["_INBOX_acme.>"] },
    });
    assert.deepEqual(of("submit", "cancel").publish, { allow: ["weir.mail.*.*.acme.*"] });
  });

  it("name the subjects of every shard, and nothing that is not the tenant's", () => {
    const { publish, subscribe } = natsPermissions({
      tenant: "b c",
      namespace: "shop",
      shards: 3,
      capabilities: ["submit", "cancel", "read"],
    });
    assert.ok("allow" in publish && "allow" in subscribe);
    for (const each of [...publish.allow, ...subscribe.allow]) {
      assert.match(each, /\.b=20c(\.|$)|^_INBOX_b=20c\.>$/);
    }
    assert.deepEqual(publish.allow.filter((each) => each.includes(".mail.")), [
      "shop.mail.*.*.b=20c.*",
      "shop-1.mail.*.*.b=20c.*",
      "shop-2.mail.*.*.b=20c.*",
      "$JS.API.DIRECT.GET.KV_shop.shop.mail.*.*.b=20c.*",
      "$JS.API.DIRECT.GET.KV_shop-1.shop-1.mail.*.*.b=20c.*",
      "$JS.API.DIRECT.GET.KV_shop-2.shop-2.mail.*.*.b=20c.*",
    ]);
  });

  it("refuse what would mean somebody else", () => {
    for (
      const wrong of [
        { tenant: "" },
        { namespace: "a.>" },
        { shards: 0 },
        { capabilities: ["*"] },
        { inboxPrefix: ">" },
        { inboxPrefix: "_INBOX" },
      ]
    ) {
      assert.throws(
        () => natsPermissions({ tenant: "acme", capabilities: ["read"], ...wrong }),
        InvalidInput,
      );
    }
  });
});
