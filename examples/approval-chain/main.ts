/**
 * A payment that three people bring about: one submits it, one reviews it, one approves it. Each may
 * do his part and no other, every decision lands in the payment's ledger, and what somebody tries
 * beyond his part is refused before anything happens.
 */
import { actor, connect, Forbidden, signal } from "@weir/weir";

interface Payment {
  readonly to: string;
  readonly cents: number;
}

const review = signal<{ passed: boolean; note: string }>("review", undefined, { needs: "review" });
const approve = signal<{ approved: boolean }>("approve", undefined, { needs: "approve" });

const payment = actor("payment", async (ctx, { to, cents }: Payment) => {
  const { passed, note } = await ctx.wait(review);
  if (!passed) return `sent back: ${note}`;
  const { approved } = await ctx.wait(approve);
  if (!approved) return "declined";
  return await ctx.run("pay", () => `${cents} paid to ${to}`);
});

await using weir = await connect({ tenant: "acme" });
await using _worker = await weir.worker([payment]);
await weir.tenants.create("acme", { name: "Acme Ltd" });
await weir.grants.assign("olga", "operator");
await weir.grants.assign("aron", "auditor");
await weir.grants.assign("greta", "gatekeeper");

/** What a person of the chain can do, as a service would offer it to whoever is logged in. */
const acting = (name: string) => {
  const own = weir.as(name);
  const decide = (id: string, decision: string, payload: object) =>
    // The id makes it one entry, however often a button is pressed.
    own.ledgers.append(`payment/${id}`, {
      kind: "decision",
      id: decision,
      payload: { decision, ...payload },
    });
  return {
    submit: async (id: string, input: Payment) => {
      await own.start(payment, input, { id });
      await decide(id, "submitted", input);
    },
    review: async (id: string, passed: boolean, note: string) => {
      await own.get(payment, id).signal(review, { passed, note }, { key: "review" });
      await decide(id, "reviewed", { passed, note });
    },
    approve: async (id: string, approved: boolean) => {
      await own.get(payment, id).signal(approve, { approved }, { key: "approve" });
      await decide(id, "approved", { approved });
    },
    result: (id: string) => own.get(payment, id).result(),
    ledger: (id: string) => own.ledgers.read(`payment/${id}`),
  };
};

const [olga, aron, greta] = [acting("olga"), acting("aron"), acting("greta")];

const refused = async (attempt: Promise<unknown>) => {
  try {
    await attempt;
  } catch (error) {
    if (!(error instanceof Forbidden)) throw error;
    console.log(`${error.principal} lacks ${error.capability}`);
  }
};

await olga.submit("p-1", { to: "bo", cents: 4200 });
await refused(olga.approve("p-1", true)); // nobody approves what he submits
await refused(greta.submit("p-2", { to: "greta", cents: 1 }));
await refused(aron.approve("p-1", true));
await aron.review("p-1", true, "the invoice is there");
await aron.review("p-1", true, "the invoice is there"); // pressed twice
await greta.approve("p-1", true);
console.log(await olga.result("p-1"));

await olga.submit("p-3", { to: "bo", cents: 99 });
await aron.review("p-3", false, "no invoice");
console.log(await olga.result("p-3"));

await weir.grants.revoke("greta", "approve", { by: "olga" });
await refused(greta.approve("p-3", true));

for (const { by, payload } of await aron.ledger("p-1")) {
  console.log(by, (payload as { readonly decision: string }).decision);
}
const changes = await weir.tenants.history("acme");
console.log(changes.map(({ type }) => type).join(", "));

// prints: olga lacks approve
// prints: greta lacks submit
// prints: aron lacks approve
// prints: 4200 paid to bo
// prints: sent back: no invoice
// prints: greta lacks approve
// prints: olga submitted
// prints: aron reviewed
// prints: greta approved
// prints: tenantCreated, roleAssigned, roleAssigned, roleAssigned, capabilityRevoked
