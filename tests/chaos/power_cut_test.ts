import assert from "node:assert/strict";
import { cp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { nonceOfId } from "../../streams/fence.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import type { Address } from "../../streams/subjects.ts";
import { readClaims } from "../fixtures/claims.ts";
import { append, message, newExecution, openClient, own } from "../fixtures/log_client.ts";
import { leftovers, scratchFolder, type ScratchServer, scratchServer } from "../fixtures/server.ts";

/** What the disk holds of the streams. */
const streamsOf = ({ store }: ScratchServer) => join(store, "jetstream");

/** Keeps a copy of what is stored now; the function that it gives puts that back. */
const keepStore = async (server: ScratchServer): Promise<() => Promise<void>> => {
  const copy = join(scratchFolder("copy"), "jetstream");
  await server.kill();
  await cp(streamsOf(server), copy, { recursive: true });
  await server.restart();
  return async () => {
    await server.kill();
    await rm(streamsOf(server), { recursive: true });
    await rename(copy, streamsOf(server));
    await server.restart();
  };
};

const work = ({ execution, fence }: Lease, what: string) =>
  append(execution, message("log", fence, what));

const currentNonce = (execution: Address) =>
  Effect.flatMap(Leases, (leases) =>
    Effect.map(
      leases.current(execution),
      (state) => Option.getOrThrow(state).record.nonce,
    ));

/**
 * The server cannot tell these two owners apart, since it forgot that it gave the revision away: both
 * may write. Whoever replays an execution therefore leaves out each owner's record whose nonce is not
 * that of the last claim before it, as `claimsIn` does here, and an owner that was cut off reads its
 * lease and stops unless revision and nonce are its own.
 */
it("attack 6: a power cut gives two owners one revision, and their nonces tell them apart", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const options = { servers: server.url, durability: "bounded" } as const;
  const [former, next] = [openClient(options), openClient(options)];
  try {
    const execution = await former.runPromise(newExecution);
    await former.runPromise(append(execution, message("mail")));
    const cutPower = await keepStore(server);
    const lost = await former.runPromise(own(execution));
    await former.runPromise(work(lost, "lost with the power"));
    await cutPower();

    const lease = await next.runPromise(own(execution));
    assert.equal(lease.fence.revision, lost.fence.revision);
    await next.runPromise(work(lease, "the owner's"));
    await former.runPromise(work(lost, "the former owner's"));
    await next.runPromise(work(lease, "the owner's"));

    assert.equal(await former.runPromise(currentNonce(execution)), lease.fence.nonce);
    assert.notEqual(lost.fence.nonce, lease.fence.nonce);
    const { owned, strange } = await next.runPromise(readClaims(["log"]));
    const nonces = (entries: typeof owned) => entries.map(({ id }) => nonceOfId(id!));
    assert.deepEqual(nonces(owned), [lease.fence.nonce, lease.fence.nonce]);
    assert.deepEqual(nonces(strange), [lost.fence.nonce]);
  } finally {
    await Promise.all([former.dispose(), next.dispose()]);
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
