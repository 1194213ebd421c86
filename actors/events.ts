/**
 * The event store for callers that use promises: the same verbs as the `EventStore` service, taking
 * plain strings, which are checked before anything is sent. A left-out tenant is the connection's.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { Cursor } from "../schema/cursor.ts";
import type { ExecutionEventInput } from "../schema/execution_event.ts";
import { EventId, ExecutionId, parse, Tenant } from "../schema/ids.ts";
import type { StoredEvent } from "../schema/stored_event.ts";
import { EventStore, type ExecutionPage, type ListedExecution } from "../streams/event_store.ts";
import { iterate } from "./iterate.ts";

export interface AppendEventOptions {
  /** The sequence that the last event must have; 0 for an execution without events. */
  readonly expectedSequence?: number;
  /** Makes a repeated append harmless: it answers with the sequence of the first. */
  readonly eventId?: string;
}

export interface AppendEventsOptions {
  readonly expectedSequence?: number;
  /** One for each event. */
  readonly eventIds?: ReadonlyArray<string>;
}

export interface Events {
  /** Stores one event, durably when it resolves, and gives its sequence, counted from 1. */
  append(
    executionId: string,
    tenant: string | undefined,
    event: ExecutionEventInput,
    options?: AppendEventOptions,
  ): Promise<number>;
  /** Stores all events with consecutive sequences, of which it gives the first, or none. */
  appendBatch(
    executionId: string,
    tenant: string | undefined,
    events: ReadonlyArray<ExecutionEventInput>,
    options?: AppendEventsOptions,
  ): Promise<number>;
  loadEvents(executionId: string, tenant?: string): Promise<ReadonlyArray<StoredEvent>>;
  /** The events with a sequence above the given one. */
  loadEventsAfter(
    executionId: string,
    sequence: number,
    tenant?: string,
  ): Promise<ReadonlyArray<StoredEvent>>;
  /** The events one by one, for histories that do not fit in memory. */
  iterate(
    executionId: string,
    options?: { readonly after?: number; readonly tenant?: string },
  ): AsyncIterable<StoredEvent>;
  /** The sequence of the last event, or undefined if there is none. */
  latestSequence(executionId: string, tenant?: string): Promise<number | undefined>;
  executionExists(executionId: string, tenant?: string): Promise<boolean>;
  countEvents(executionId: string, tenant?: string): Promise<number>;
  /** A tenant's executions, newest first. */
  listExecutions(
    tenant: string | undefined,
    limit: number,
    offset: number,
  ): Promise<ReadonlyArray<ListedExecution>>;
  /** The same in pages that do not drift while executions are added. */
  pageExecutions(
    tenant: string | undefined,
    options: { readonly limit: number; readonly from?: Cursor },
  ): Promise<ExecutionPage>;
}

/** The promise door to the event store. */
export const makeEvents = (
  runtime: ManagedRuntime.ManagedRuntime<EventStore, unknown>,
  defaultTenant: Tenant,
): Events => {
  const addressed = Effect.fnUntraced(function* (executionId: string, tenant: string | undefined) {
    return {
      execution: yield* parse(ExecutionId, "execution id", executionId),
      tenant: yield* tenantOf(tenant),
    };
  });

  const tenantOf = (tenant: string | undefined) =>
    tenant === undefined ? Effect.succeed(defaultTenant) : parse(Tenant, "tenant", tenant);

  const run = <A, E>(
    executionId: string,
    tenant: string | undefined,
    use: (
      store: EventStore["Service"],
      execution: ExecutionId,
      tenant: Tenant,
    ) => Effect.Effect<A, E>,
  ): Promise<A> =>
    runtime.runPromise(Effect.gen(function* () {
      const address = yield* addressed(executionId, tenant);
      return yield* use(yield* EventStore, address.execution, address.tenant);
    }));

  const parseEventId = (eventId: string) => parse(EventId, "event id", eventId);

  return {
    append: (executionId, tenant, event, { expectedSequence, eventId } = {}) =>
      run(executionId, tenant, (store, execution, tenant) =>
        Effect.gen(function* () {
          return yield* store.append(execution, tenant, event, {
            ...(expectedSequence === undefined ? {} : { expectedSequence }),
            ...(eventId === undefined ? {} : { eventId: yield* parseEventId(eventId) }),
          });
        })),
    appendBatch: (executionId, tenant, events, { expectedSequence, eventIds } = {}) =>
      run(executionId, tenant, (store, execution, tenant) =>
        Effect.gen(function* () {
          return yield* store.appendBatch(execution, tenant, events, {
            ...(expectedSequence === undefined ? {} : { expectedSequence }),
            ...(eventIds === undefined
              ? {}
              : { eventIds: yield* Effect.forEach(eventIds, parseEventId) }),
          });
        })),
    loadEvents: (executionId, tenant) =>
      run(executionId, tenant, (store, ...address) => store.loadEvents(...address)),
    loadEventsAfter: (executionId, sequence, tenant) =>
      run(
        executionId,
        tenant,
        (store, execution, tenant) => store.loadEventsAfter(execution, sequence, tenant),
      ),
    iterate: (executionId, { after = 0, tenant } = {}) =>
      iterate(
        runtime,
        Stream.unwrap(Effect.gen(function* () {
          const address = yield* addressed(executionId, tenant);
          return (yield* EventStore).events(address.execution, address.tenant, { after });
        })),
      ),
    latestSequence: (executionId, tenant) =>
      run(
        executionId,
        tenant,
        (store, ...address) => Effect.map(store.latestSequence(...address), Option.getOrUndefined),
      ),
    executionExists: (executionId, tenant) =>
      run(executionId, tenant, (store, ...address) => store.executionExists(...address)),
    countEvents: (executionId, tenant) =>
      run(executionId, tenant, (store, ...address) => store.countEvents(...address)),
    listExecutions: (tenant, limit, offset) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* EventStore).listExecutions(yield* tenantOf(tenant), limit, offset);
      })),
    pageExecutions: (tenant, options) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* EventStore).pageExecutions(yield* tenantOf(tenant), options);
      })),
  };
};
