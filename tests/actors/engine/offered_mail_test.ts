import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OfferedMail } from "../../../actors/engine/offered_mail.ts";
import { ActorName, ExecutionId, Tenant } from "../../../schema/ids.ts";
import type { Delivery } from "../../../streams/mailbox.ts";

/** Offers, what is said of them, and how often one looks where they lie in the mailbox. */
const desk = () => {
  const said: Array<string> = [];
  let looks = 0;
  const offer = (sequence: number, { mail = sequence, spilled = false } = {}): Delivery => {
    const say = (how: string) => () => void said.push(`${how} ${sequence}`);
    const subject = `${sequence}`;
    return {
      entry: { shard: 0, subject, sequence, at: 0, id: undefined, removed: false, body: noBody },
      spilled,
      offers: 1,
      address: { shard: 0, root: "weir.0", tail: "order", label: "order/o-1" },
      tenant: Tenant.make("acme"),
      execution: ExecutionId.make("order/o-1"),
      actor: ActorName.make("order"),
      route: undefined,
      get mail() {
        looks++;
        return mail;
      },
      begins: false,
      ack: say("ack"),
      retry: say("retry"),
      decline: say("decline"),
      working: say("working"),
      handedOver: say("hand over"),
      reply: undefined,
    };
  };
  return { said, offer, looks: () => looks };
};

const noBody = new Uint8Array();

const sequencesOf = (mail: OfferedMail) => mail.all.map(({ entry }) => entry.sequence);

describe("what an activation was offered", () => {
  it("lies in the order of the mailbox, in whatever order it comes", () => {
    const { offer } = desk();
    const mail = new OfferedMail();
    for (const sequence of [5, 2, 9, 7]) mail.take(offer(sequence));
    mail.take(offer(11, { mail: 2 }));
    assert.deepEqual(sequencesOf(mail), [2, 11, 5, 7, 9]);
    assert.equal(mail.last, 9);
  });

  it("is there once, under its last offer", () => {
    const { offer, said } = desk();
    const mail = new OfferedMail();
    const again = offer(5);
    for (const offered of [offer(2), offer(5), offer(9), again]) mail.take(offered);
    assert.deepEqual(sequencesOf(mail), [2, 5, 9]);
    assert.equal(mail.all[1], again);
    assert.deepEqual(said, ["hand over 5"]);
  });

  it("says what a message was if that came with it", () => {
    const { offer } = desk();
    const mail = new OfferedMail();
    for (const offered of [offer(2), offer(4, { spilled: true }), offer(6, { mail: 4 })]) {
      mail.take(offered);
    }
    assert.equal(mail.entryOf(2)?.sequence, 2);
    assert.equal(mail.entryOf(3), undefined);
    assert.equal(mail.entryOf(4)?.sequence, 6);
    assert.equal(mail.entryOf(5), undefined);
  });

  it("is acked but for the last of the mailbox", () => {
    const { offer, said } = desk();
    const mail = new OfferedMail();
    for (const sequence of [9, 2, 5]) mail.take(offer(sequence));
    mail.ackAllButLast();
    assert.deepEqual(said, ["ack 2", "ack 5"]);
    assert.deepEqual(sequencesOf(mail), [9]);
  });

  it("is not gone through for each message that comes", () => {
    const { offer, looks } = desk();
    const mail = new OfferedMail();
    const count = 4_000;
    for (let sequence = 1; sequence <= count; sequence++) {
      mail.take(offer(sequence));
      mail.entryOf(sequence);
    }
    assert.ok(looks() <= count * 100, `${looks()} looks`);
  });
});
