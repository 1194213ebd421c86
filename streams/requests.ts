/**
 * Requests by subject, outside of every stream: who serves a subject answers what is asked there. An
 * answer says nothing that is not stored elsewhere; a request that nobody answers is asked again by
 * whoever needs it.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Layer from "effect/Layer";
import type * as Scope from "effect/Scope";
import type { Tenant } from "../schema/ids.ts";
import { decodeToken, encodeToken } from "../schema/token.ts";
import { Connection } from "./connection.ts";
import { type Layout, matches } from "./subjects.ts";

/** What is asked: the subject, and the body of the message. */
export interface Asked {
  readonly subject: string;
  readonly body: string;
}

export class Requests extends Context.Service<Requests, {
  /** How much an answer may weigh. */
  readonly maxBytes: number;
  /**
   * Answers requests on a subject, which may have wildcards, while the scope is open; with a group,
   * each goes to one of it alone. Who gives nothing does not answer.
   */
  readonly serve: (
    subject: string,
    answer: (asked: Asked) => Effect.Effect<string | undefined>,
    options?: { readonly group?: string },
  ) => Effect.Effect<void, never, Scope.Scope>;
  /** The first answer; nothing, if none comes in time. */
  readonly ask: (asked: Asked, withinMs: number) => Effect.Effect<string | undefined>;
}>()("@weir/weir/streams/Requests") {}

/** Behind a "-" that no namespace has: outside the subjects of every stream. */
const root = ({ namespace }: Layout, use: "remote" | "remotes"): string => `${namespace}-${use}`;

/** Where the remote workers of a tenant, or of all, ask for something. */
export const remoteSubject = (layout: Layout, tenant: Tenant | "*", verb: string): string =>
  `${root(layout, "remote")}.${tenant === "*" ? tenant : encodeToken(tenant)}.${verb}`;

/** Where those ask who look after remote workers. */
export const remotesSubject = (layout: Layout, tenant: Tenant, verb: string): string =>
  `${root(layout, "remotes")}.${encodeToken(tenant)}.${verb}`;

/** The tenant and the verb of such a subject. */
export const remoteVerbOf = (
  subject: string,
): { readonly tenant: string | undefined; readonly verb: string } => {
  const [, tenant = "", verb = ""] = subject.split(".");
  return { tenant: decodeToken(tenant), verb };
};

/**
 * Where an answer may go: no namespace begins with "_", so that no request has its answer stored in
 * a stream of ours.
 */
const isInbox = (reply: string | undefined): boolean => reply?.startsWith("_") === true;

const makeJetStream = Effect.gen(function* () {
  const { nats } = yield* Connection;
  return Requests.of({
    get maxBytes() {
      return nats.info!.max_payload;
    },
    serve: Effect.fnUntraced(function* (subject, answer, { group } = {}) {
      const respond = yield* FiberSet.makeRuntime<never>();
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          nats.subscribe(subject, {
            ...(group === undefined ? {} : { queue: group }),
            callback: (error, message) => {
              if (error !== null || !isInbox(message.reply)) return;
              const asked = { subject: message.subject, body: message.string() };
              respond(Effect.map(answer(asked), (said) => {
                if (said !== undefined && !nats.isClosed()) message.respond(said);
              }));
            },
          })
        ),
        (subscription) => Effect.sync(() => nats.isClosed() || subscription.unsubscribe()),
      );
    }),
    ask: ({ subject, body }, withinMs) =>
      Effect.tryPromise(() => nats.request(subject, body, { timeout: withinMs })).pipe(
        Effect.match({ onFailure: () => undefined, onSuccess: (message) => message.string() }),
      ),
  });
});

/** Between processes, over the connection of the namespace. */
export const layerJetStream: Layer.Layer<Requests, never, Connection> = Layer.effect(
  Requests,
  makeJetStream,
);

interface Served {
  readonly subject: string;
  readonly group: string | undefined;
  readonly hear: (asked: Asked, respond: (said: string) => void) => void;
}

/** Within this process, for the log in memory. */
export const layerMemory: Layer.Layer<Requests> = Layer.sync(Requests, () => {
  const all = new Set<Served>();
  /** Who hears a request: all that serve its subject, but one of each group. */
  const hearing = ({ subject }: Asked): ReadonlyArray<Served> => {
    const groups = new Map<string | Served, Served>();
    for (const served of all) {
      if (matches(served.subject, subject)) groups.set(served.group ?? served, served);
    }
    return [...groups.values()];
  };
  return Requests.of({
    maxBytes: 1024 * 1024,
    serve: Effect.fnUntraced(function* (subject, answer, { group } = {}) {
      const run = yield* FiberSet.makeRuntime<never>();
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const served: Served = {
            subject,
            group,
            hear: (asked, respond) =>
              run(Effect.map(answer(asked), (said) => {
                if (said !== undefined) respond(said);
              })),
          };
          all.add(served);
          return served;
        }),
        (served) => Effect.sync(() => all.delete(served)),
      );
    }),
    ask: (asked, withinMs) =>
      Effect.callback<string | undefined>((resume) => {
        const served = hearing(asked);
        if (served.length === 0) return resume(Effect.undefined);
        for (const { hear } of served) hear(asked, (said) => resume(Effect.succeed(said)));
      }).pipe(
        Effect.timeoutOrElse({ duration: withinMs, orElse: () => Effect.undefined }),
      ),
  });
});
