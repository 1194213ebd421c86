/**
 * Everything that runs executions in one namespace, wired once for every door: on a server, or in
 * memory with the same contracts.
 */
import * as Layer from "effect/Layer";
import * as Scheduler from "effect/Scheduler";
import { Namespace } from "../schema/ids.ts";
import * as Budgets from "../streams/budgets.ts";
import * as EngineControl from "../streams/engine_control.ts";
import * as EventStore from "../streams/event_store.ts";
import * as ExecutionIndex from "../streams/execution_index.ts";
import * as Families from "../streams/families.ts";
import * as Grants from "../streams/grants.ts";
import * as HandOver from "../streams/hand_over.ts";
import * as Leases from "../streams/lease.ts";
import * as Ledgers from "../streams/ledgers.ts";
import { layerMemory as layerLogMemory, type MemoryOptions } from "../streams/log_memory.ts";
import * as MailboxesOnJetStream from "../streams/mailbox/jetstream.ts";
import * as MailboxesInMemory from "../streams/mailbox/memory.ts";
import { layer as layerNamespace, type NamespaceServicesOptions } from "../streams/namespace.ts";
import * as ExpiriesOnJetStream from "../streams/retention/jetstream.ts";
import * as ExpiriesInMemory from "../streams/retention/memory.ts";
import * as Requests from "../streams/requests.ts";
import * as ServerClock from "../streams/server_clock.ts";
import * as Sessions from "../streams/session.ts";
import * as SubscriptionsOnJetStream from "../streams/subscriptions/jetstream.ts";
import * as SubscriptionsInMemory from "../streams/subscriptions/memory.ts";
import * as Tenants from "../streams/tenants.ts";
import { scheduler } from "./engine/next_turn.ts";
import * as Executions from "./executions.ts";
import { layer as layerTokenKeys, type TokenKey } from "./signal_tokens.ts";

/** Who may do what, and what was done, on whichever log. */
const platform = Layer.mergeAll(Layer.provideMerge(Grants.layer, Tenants.layer), Ledgers.layer);

export interface TokenKeyOptions {
  /**
   * The keys of tokens for signals; `WEIR_TOKEN_KEYS`, if left out. The first makes tokens, those of
   * the others are taken as well.
   */
  readonly tokenKeys?: ReadonlyArray<TokenKey>;
}

/** The engine on a server. */
export const layer = (options: NamespaceServicesOptions & TokenKeyOptions = {}) =>
  Layer.mergeAll(
    ExecutionIndex.layerJetStream,
    Families.layerJetStream,
    HandOver.layerJetStream,
    Requests.layerJetStream,
    Executions.layer.pipe(Layer.provideMerge(MailboxesOnJetStream.layerJetStream)),
    ExpiriesOnJetStream.layerJetStream,
    SubscriptionsOnJetStream.layerJetStream,
    platform,
    Budgets.layer,
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(ServerClock.layer, EngineControl.layer)),
    Layer.provideMerge(layerNamespace(options)),
    Layer.provideMerge(layerTokenKeys(options.tokenKeys)),
    Layer.provideMerge(Layer.succeed(Scheduler.Scheduler, scheduler)),
  );

/** The engine in memory, by Effect's clock: it forgets everything with its scope. */
export const layerMemory = (
  { tokenKeys, ...options }: Partial<MemoryOptions> & TokenKeyOptions = {},
) =>
  Layer.mergeAll(
    Executions.layer,
    ExecutionIndex.layerMemory,
    Families.layerMemory,
    ExpiriesInMemory.layerMemory,
    SubscriptionsInMemory.layerMemory,
    EventStore.layer,
    platform,
    Budgets.layer,
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(Leases.layer, ServerClock.layer, EngineControl.layer)),
    Layer.provideMerge(Layer.mergeAll(
      Sessions.layer,
      HandOver.layerMemory,
      Requests.layerMemory,
      MailboxesInMemory.layerMemory,
    )),
    Layer.provideMerge(layerLogMemory({
      layout: { namespace: Namespace.make("memory"), shards: 1, parts: 4 },
      ...options,
    })),
    // Keys that are none are a mistake in the test.
    Layer.provideMerge(Layer.orDie(layerTokenKeys(tokenKeys))),
  );
