/**
 * A route as the table has it: where it is, what it takes and gives, what one must be allowed to do,
 * and how it is served. The same entry is matched, judged, checked and described, so that no two of
 * these can differ.
 */
import type * as Schema from "effect/Schema";
import type { EventSources } from "../live_bridge.ts";
import type { Weir } from "../weir.ts";
import type { Access, Caller } from "./authorize.ts";

/** What is served: an open `Weir`, also one in memory, or one that acts as a principal. */
export type ServedWeir =
  & Pick<
    Weir,
    | "tenant"
    | "submit"
    | "submitAll"
    | "schedule"
    | "schedules"
    | "getSchedule"
    | "get"
    | "complete"
    | "list"
    | "workers"
    | "engine"
    | "queues"
    | "budgets"
    | "subscriptions"
    | "tenants"
    | "grants"
    | "ledgers"
    | "remotes"
    | "triggers"
    | "emit"
  >
  & EventSources;

/** What a body asks for besides its own route: another, and the execution that it would name. */
export interface Besides {
  readonly verb: string;
  readonly execution?: string;
}

/** The names in a path, like `id` in `/api/v1/runs/{id}`. */
export type NameOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | NameOf<Rest>
  : never;

/** A request that was let in and checked. */
export interface Call<Name extends string = never, Query = unknown, Body = unknown> {
  readonly request: Request;
  /** The connection that acts for whoever asks. */
  readonly weir: ServedWeir;
  readonly caller: Caller;
  readonly tenant: string;
  readonly path: Readonly<Record<Name, string>>;
  readonly query: Query;
  readonly body: Body;
  /** Tells whoever runs the server of what goes wrong once the answer has begun. */
  readonly tell: (error: unknown) => void;
}

/** On whose behalf a client does something. */
export const byOf = ({ caller: { principal } }: Pick<Call, "caller">) =>
  principal === undefined ? {} : { by: principal };

/** What is answered, as JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What an answer is, for those who read of it. */
export interface Described {
  readonly description: string;
  /** Of JSON. */
  readonly schema?: Schema.Top;
  /** Of anything else. */
  readonly mediaType?: string;
}

type Codec<A> = Schema.Codec<A, unknown>;

interface Shape {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  /** The name of the route, as `authorize` is told it. */
  readonly verb: string;
  readonly access: Access | "anybody";
  /** Whether it changes what holds for a whole namespace, which needs `control` as well. */
  readonly steers?: boolean;
  readonly summary: string;
  readonly answers: Readonly<Record<number, Described>>;
  /** Refuses what comes too fast, before anything is read. */
  readonly limit?: (request: Request) => void;
  /** Request headers that mean something. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** An entry of the table. */
export interface Route extends Shape {
  readonly query: Schema.Top | undefined;
  readonly body: Schema.Top | undefined;
  /** Whether the body may be left out. */
  readonly isBodyOptional: boolean;
  readonly besides: ((body: never) => Besides) | undefined;
  readonly handle: (call: Call<string, never, never>) => Promise<Answer | Response>;
}

export interface RouteOptions<Path extends string, Query, Body> extends Shape {
  readonly path: Path;
  readonly query?: Codec<Query>;
  readonly body?: Codec<Body>;
  readonly isBodyOptional?: boolean;
  /** What one must be allowed to do as well, by what the body says. */
  readonly besides?: (body: Body) => Besides;
  readonly handle: (
    call: Call<NameOf<Path>, Query, Body>,
  ) => Answer | Response | Promise<Answer | Response>;
}

/** An entry of the table, whose handler gets what its schemas say. */
export const route = <const Path extends string, Query = Record<never, never>, Body = undefined>(
  { query, body, isBodyOptional = false, besides, handle, ...shape }: RouteOptions<
    Path,
    Query,
    Body
  >,
): Route => ({
  ...shape,
  query,
  body,
  isBodyOptional,
  besides,
  handle: async (call) => await handle(call as unknown as Call<NameOf<Path>, Query, Body>),
});
