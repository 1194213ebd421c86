/** What the conformance suites write: fresh names, so that suites can share a server, and bodies. */
import { randomUUID } from "node:crypto";
import type * as Effect from "effect/Effect";
import { ExecutionId, Tenant, WorkerInstanceId } from "../../schema/ids.ts";
import type { Entry } from "../../streams/log.ts";

/** Runs a test's effect with the layer under test; the scope ends with the test. */
export type Run<Services> = (effect: Effect.Effect<void, unknown, Services>) => Promise<void>;

export const tenant = Tenant.make("acme");
export const uniqueTenant = (): Tenant => Tenant.make(`tenant ${randomUUID()}`);
export const uniqueExecution = (): ExecutionId => ExecutionId.make(`order/${randomUUID()}`);
export const uniqueWorker = (): WorkerInstanceId => WorkerInstanceId.make(`worker-${randomUUID()}`);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const body = (text: string): Uint8Array => encoder.encode(text);
export const text = (entry: Entry): string => decoder.decode(entry.body);
