/**
 * The leases of the demo as any NATS client sees them, and a write under one that has moved on. It
 * goes past Weir on purpose: what is refused here is refused by the server.
 */
import { jetstream, JetStreamApiError } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";

/** A record of a lease; its revision is the fence of whoever holds the lease. */
export interface LeaseRevision {
  readonly revision: number;
  readonly kind: string;
  readonly epoch: number;
  readonly worker: string;
}

export interface Refusal {
  readonly errorCode: number;
  readonly message: string;
}

/** Opens the bucket that a namespace is. */
export const openBucket = async (url: string, namespace: string) => {
  const { host, username, password } = new URL(url);
  const nats = await connect({ servers: host, user: username, pass: password });
  const bucket = await new Kvm(nats).open(namespace);

  /** Who has had the lease of an order, oldest first. */
  const leases = async (name: string) => {
    const found: Array<LeaseRevision & { readonly key: string }> = [];
    for await (
      const entry of await bucket.history({ key: `lease.*.order.default.${name}` })
    ) {
      const { kind, epoch, workerInstanceId } = entry.json<
        { kind: string; epoch: number; workerInstanceId: string }
      >();
      const { revision, key } = entry;
      found.push({ revision, key, kind, epoch, worker: workerInstanceId });
    }
    return found;
  };

  /** Writes to the order's log under a revision of its lease; nothing if the server takes it. */
  const writeUnder = async (
    { key, revision }: { readonly key: string; readonly revision: number },
    record: object,
  ): Promise<Refusal | undefined> => {
    try {
      await jetstream(nats).publish(
        `${namespace}.log.${key.slice("lease.".length)}`,
        JSON.stringify(record),
        {
          expect: {
            lastSubjectSequence: revision,
            lastSubjectSequenceSubject: `$KV.${namespace}.${key}`,
          },
        },
      );
      return undefined;
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
      return { errorCode: error.code, message: error.message };
    }
  };

  return { serverVersion: nats.info?.version, leases, writeUnder, close: () => nats.close() };
};
