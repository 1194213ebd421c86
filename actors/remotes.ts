/**
 * What anybody may ask of remote workers: who is registered, what each has, and that one be removed.
 * Who is there is read from the log; what is not stored for itself, who keeps them is asked.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import { Unavailable } from "../schema/errors.ts";
import { parse, Tenant, type Timestamp, WorkerInstanceId } from "../schema/ids.ts";
import type { RemoteRecord } from "../schema/remote_record.ts";
import * as Errands from "../streams/errands.ts";
import { Log } from "../streams/log.ts";
import { remotesSubject, Requests } from "../streams/requests.ts";

/** A remote worker that is registered. */
export interface RemoteWorker {
  readonly identity: string;
  readonly tenant: string;
  readonly capabilities: ReadonlyArray<string>;
  readonly department?: string;
  readonly heartbeatMs: number;
  readonly registeredAt: Timestamp;
  /** When it was last recorded that it is alive, which is done once a minute. */
  readonly aliveAt: number;
}

/** What a remote worker has. */
export interface RemoteWorkerStep {
  readonly step: string;
  readonly execution: string;
  readonly fence: number;
  /** When it loses the step, unless it says something before. */
  readonly leaseUntil: number;
}

export interface RemoteWorkerDescription extends RemoteWorker {
  /** When it is taken for gone, unless it says something before. */
  readonly aliveUntil: number;
  readonly steps: ReadonlyArray<RemoteWorkerStep>;
}

export interface RemoteOptions {
  readonly tenant?: string;
}

export interface Remotes {
  /** The remote workers of a tenant that are registered. */
  list(options?: RemoteOptions): Promise<ReadonlyArray<RemoteWorker>>;
  /** One of them and what it has; nothing, if it is not registered. */
  describe(identity: string, options?: RemoteOptions): Promise<RemoteWorkerDescription | undefined>;
  /** Removes one, and gives what it has to others; says whether it was registered. */
  deregister(identity: string, options?: RemoteOptions): Promise<boolean>;
}

/** What who keeps them is asked, and what he answers. */
export interface KeeperAnswers {
  readonly describe: Pick<RemoteWorkerDescription, "aliveUntil" | "steps"> | null;
  readonly deregister: boolean;
}

const answerWithinMs = 2_000;

const shown = ({ remote, at }: Errands.KeptRemote): RemoteWorker => {
  const { worker, tenant, capabilities, department, heartbeatMs, registeredAt }: RemoteRecord =
    remote;
  return {
    identity: worker,
    tenant,
    capabilities,
    ...(department === undefined ? {} : { department }),
    heartbeatMs,
    registeredAt,
    aliveAt: at,
  };
};

export const list = (tenant: Tenant) =>
  Effect.gen(function* () {
    const registered = yield* Errands.make(yield* Log).registered(tenant);
    return registered.map(shown).sort((a, b) => a.identity < b.identity ? -1 : 1);
  });

/** Asks who keeps the remote workers of a tenant; whoever asks may ask again. */
const askKeeper = <Verb extends keyof KeeperAnswers>(
  tenant: Tenant,
  verb: Verb,
  worker: WorkerInstanceId,
): Effect.Effect<KeeperAnswers[Verb], Unavailable, Log | Requests> =>
  Effect.gen(function* () {
    const { layout } = yield* Log;
    const subject = remotesSubject(layout, tenant, verb);
    const answer = yield* (yield* Requests).ask({ subject, body: worker }, answerWithinMs);
    if (answer !== undefined) return JSON.parse(answer) as KeeperAnswers[Verb];
    return yield* new Unavailable({
      operation: `${verb} of the remote worker ${worker}`,
      reason: `nobody keeps the remote workers of ${tenant} now`,
      landed: "unknown",
      cause: undefined,
    });
  });

const find = Effect.fnUntraced(function* (tenant: Tenant, identity: string) {
  const worker = yield* parse(WorkerInstanceId, "worker identity", identity);
  const found = yield* Errands.make(yield* Log).remote(tenant, worker);
  return found?.remote.state === "gone" ? undefined : found;
});

export const describe = Effect.fnUntraced(function* (tenant: Tenant, identity: string) {
  const found = yield* find(tenant, identity);
  if (found === undefined) return undefined;
  const more = yield* askKeeper(tenant, "describe", found.remote.worker);
  return more === null ? undefined : { ...shown(found), ...more };
});

export const deregister = Effect.fnUntraced(function* (tenant: Tenant, identity: string) {
  const found = yield* find(tenant, identity);
  return found === undefined ? false : yield* askKeeper(tenant, "deregister", found.remote.worker);
});

export const makeRemotes = (
  runtime: ManagedRuntime.ManagedRuntime<Log | Requests, unknown>,
  own: Tenant,
): Remotes => {
  const using = <A, E>(
    { tenant = own }: RemoteOptions,
    use: (tenant: Tenant) => Effect.Effect<A, E, Log | Requests>,
  ) => runtime.runPromise(Effect.flatMap(parse(Tenant, "tenant", tenant), use));
  return {
    list: (options = {}) => using(options, list),
    describe: (identity, options = {}) => using(options, (tenant) => describe(tenant, identity)),
    deregister: (identity, options = {}) =>
      using(options, (tenant) => deregister(tenant, identity)),
  };
};
