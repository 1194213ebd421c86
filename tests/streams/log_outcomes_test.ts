import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { type AppendError, Log, type Message } from "../../streams/log.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import type { Durability } from "../../streams/server.ts";
import { type Address, executionAddress, executionFilter } from "../../streams/subjects.ts";
import { body, tenant, text, uniqueExecution, uniqueWorker } from "../conformance/subject_matter.ts";
import { appendAll, collect, type Services } from "../fixtures/log_client.ts";
import { openProxiedLog, type ProxiedLog } from "../fixtures/proxied_log.ts";
import type { Verdict } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

/** An append that is about to be made, and where its records will be. */
interface Prepared {
  readonly write: Effect.Effect<number, unknown>;
  readonly kinds: ReadonlyArray<"lease" | "log" | "done" | "event" | "mail">;
  /** What must be possible afterwards. */
  readonly goOn?: Effect.Effect<unknown, unknown>;
}
type Prepare = (address: Address) => Effect.Effect<Prepared, unknown, Log | Leases>;

const own = (address: Address) =>
  Effect.flatMap(Leases, (leases) =>
    leases.acquire(address, { worker: uniqueWorker(), ttl: "30 seconds" }));

const write = (address: Address, ...messages: ReadonlyArray<Message>) =>
  Effect.flatMap(Log, (log) => appendAll(log, address, messages));

const record = (kind: Message["kind"], guard?: Message["guard"]): Message => ({
  kind,
  body: body(kind),
  ...(guard === undefined ? {} : { guard }),
});
