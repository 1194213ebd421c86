/**
 * The ground truth: the bare spike for executions, and one publish to one consumer for a signal. It
 * has no code, no recovery and no ids, so it says what JetStream allows and is no peer.
 */
import { AckPolicy, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { startSpike } from "../../engine/spike.ts";
import { type Open, sumTo } from "../peer.ts";

interface Settings {
  readonly servers: string;
  readonly durability: "bounded" | "power-safe";
}

const name = "signals";

export const open: Open<Settings> = async ({ servers, durability }) => {
  const spike = await startSpike(servers, durability);
  const nats = await connect({ servers, noAsyncTraces: true });
  const manager = await jetstreamManager(nats);
  await manager.streams.add({ name, subjects: [name], storage: StorageType.File });
  await manager.consumers.add(name, { durable_name: name, ack_policy: AckPolicy.Explicit });
  const client = jetstream(nats);
  let delivered = () => {};
  const consumer = await client.consumers.get(name, name);
  const messages = await consumer.consume({
    callback: (message) => {
      delivered();
      message.ack();
    },
  });

  let performed = 0;
  return {
    steps: async (count) => {
      await spike.execute(count);
      performed += count;
      return sumTo(count);
    },
    wait: ({ parked, resumed }) => {
      const { promise, resolve } = Promise.withResolvers<number>();
      delivered = () => {
        resumed();
        resolve(1);
      };
      parked();
      return Promise.resolve({ send: () => client.publish(name), result: promise });
    },
    performed: () => performed,
    completed: async () => {
      const stored = await spike.stored();
      const { state } = await manager.streams.info(name);
      // Beside its steps an execution is a start, a claim and an end.
      return (stored - performed) / 3 + state.messages;
    },
    close: async () => {
      await messages.close();
      await nats.close();
      await spike.close();
    },
  };
};
