/**
 * Server-sent events from the families of an open door: each message has its cursor as `id`, what
 * happened as `event` and the event itself as `data`. The start is judged before the answer begins,
 * so that what is refused has a status; what goes wrong later is the last message of the stream.
 */
import * as Schema from "effect/Schema";
import { CompletionEvent } from "../schema/completion.ts";
import type { WeirError } from "../schema/errors.ts";
import { InstanceTagEvent } from "../schema/instance_tags.ts";
import { LeaseHistoryEvent } from "../schema/lease_history.ts";
import { SignalDeliveryEvent } from "../schema/signal_delivery.ts";
import type { Family, FamilyEvents, Tick } from "../streams/families.ts";

/** Which events a client asks for, as its query says; nothing of it was checked. */
export interface Asked {
  readonly family: Family;
  readonly tenant?: string;
  readonly executionId?: string;
  readonly tag?: { readonly name: string; readonly value?: string };
}

/** What a family is read with. */
export interface SourceOptions extends Omit<Asked, "family"> {
  readonly after?: string;
  readonly ticks: number;
}

/** Where events come from: an open `Weir`, or anything that reads like one. */
export type EventSources = {
  readonly [F in Family]: (options: SourceOptions) => AsyncIterable<FamilyEvents[F] | Tick>;
};

/** Whether a client may see what it asks for; whatever is not a verdict forbids it. */
export type Authorize = (
  request: Request,
  asked: Asked,
) => Verdict | Promise<Verdict>;
export type Verdict = "allowed" | "unauthenticated" | "forbidden";

export interface BridgeOptions {
  readonly weir: EventSources;
  /** Asked before anything is read; everybody may see everything, if left out. */
  readonly authorize?: Authorize;
  /** What the path begins with; `/v1/streams` if left out. */
  readonly path?: string;
  /** How long a client hears nothing at most, in milliseconds; 15,000 if left out. */
  readonly heartbeatMs?: number;
  /** Told of what went wrong here, of which the client hears no more than that. */
  readonly onError?: (error: unknown, request: Request) => void;
}

type AnyEvent = FamilyEvents[Family];

const encoders: { readonly [F in Family]: (event: never) => unknown } = {
  leaseHistory: Schema.encodeSync(LeaseHistoryEvent),
  completions: Schema.encodeSync(CompletionEvent),
  signalDeliveries: Schema.encodeSync(SignalDeliveryEvent),
  instanceTags: Schema.encodeSync(InstanceTagEvent),
};

export const isFamily = (text: string): text is Family => Object.hasOwn(encoders, text);

/** How often the judged start of an idle stream is asked for. */
const judgeEveryMs = 20;

const statuses: Readonly<Record<string, number>> = {
  InvalidInput: 400,
  InvalidCursor: 400,
  Forbidden: 403,
  CursorGap: 410,
  StreamDisconnected: 503,
  Unavailable: 503,
};

const isWeirError = (error: unknown): error is WeirError =>
  error instanceof Error && "code" in error && "_tag" in error;

const statusOf = (error: unknown): number => isWeirError(error) ? statuses[error._tag] ?? 500 : 500;

/** What a client is told in place of a message about the server's own matters. */
const unspecific: Readonly<Record<number, string>> = {
  500: "The server failed.",
  503: "The log cannot be reached. Try again later.",
};

/** What a client may know of an error: nothing of one that is none of ours. */
const problemOf = (error: unknown): Readonly<Record<string, unknown>> => {
  if (!isWeirError(error)) return { code: "WEIR_INTERNAL", message: unspecific[500] };
  const { code, retryable, _tag } = error;
  const message = unspecific[statusOf(error)] ?? error.message;
  const positions = {
    ...("cursor" in error ? { cursor: error.cursor } : {}),
    ..."requested" in error && "earliest" in error
      ? { requested: error.requested, earliest: error.earliest }
      : {},
  };
  return { code, error: _tag, message, retryable, ...positions };
};

const refuse = (
  status: number,
  problem: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): Response =>
  new Response(`${JSON.stringify(problem)}\n`, {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });

const named = (code: string, message: string) => ({ code, message });

/** What happened, in a word. */
const wordOf = (event: AnyEvent): string => {
  const word = "type" in event ? event.type : "outcome" in event ? event.outcome : event.effect;
  return typeof word === "string" ? word : word.type;
};

const isTick = (event: AnyEvent | Tick): event is Tick => "type" in event && event.type === "tick";

/** A message; of a tick, only what moves the place where a client resumes. */
const messageOf = (family: Family, event: AnyEvent | Tick): string =>
  isTick(event)
    ? `: still here\nid: ${event.cursor}\n\n`
    : `id: ${event.cursor}\nevent: ${wordOf(event)}\n` +
      `data: ${JSON.stringify(encoders[family](event as never))}\n\n`;

const optional = <const Name extends string>(name: Name, value: string | null) =>
  (value === null || value === "" ? {} : { [name]: value }) as { readonly [N in Name]?: string };

const tagOf = (text: string | null) => {
  if (text === null || text === "") return {};
  const at = text.indexOf("=");
  return {
    tag: at === -1 ? { name: text } : { name: text.slice(0, at), value: text.slice(at + 1) },
  };
};

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // What proxies in front of it would otherwise keep until there is more.
  "x-accel-buffering": "no",
};

/** The handler of a bridge. */
export const handlerOf = (
  { weir, authorize, path = "/v1/streams", heartbeatMs = 15_000, onError }: BridgeOptions,
): (request: Request) => Promise<Response> => {
  const tell = (error: unknown, request: Request) => {
    if (statusOf(error) < 500) return;
    try {
      onError?.(error, request);
    } catch {
      // Whoever is told must not fail the answer.
    }
  };

  const open = (family: Family, options: SourceOptions): AsyncIterator<AnyEvent | Tick> =>
    weir[family](options)[Symbol.asyncIterator]();

  /** The first event, or a tick, which shows that the start was accepted. */
  const begin = async (family: Family, options: Omit<SourceOptions, "ticks">) => {
    const judged = open(family, { ...options, ticks: judgeEveryMs });
    try {
      const { value, done } = await judged.next();
      return done === true ? undefined : value;
    } finally {
      await judged.return?.();
    }
  };

  /** Requests that are being answered: Node 20 does not abort the signal of one that nobody holds. */
  const answered = new Set<Request>();

  const stream = (
    family: Family,
    options: SourceOptions,
    first: AnyEvent | Tick,
    request: Request,
  ) => {
    const events = open(family, { ...options, after: first.cursor });
    const encoder = new TextEncoder();
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      answered.delete(request);
      request.signal.removeEventListener("abort", end);
      return events.return?.()?.then(() => undefined, () => undefined);
    };
    answered.add(request);
    request.signal.addEventListener("abort", end, { once: true });
    if (request.signal.aborted) end();
    return new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encoder.encode(messageOf(family, first))),
      pull: async (controller) => {
        if (isOver) return controller.close();
        try {
          const { value, done } = await events.next();
          if (done !== true && !isOver) {
            return controller.enqueue(encoder.encode(messageOf(family, value)));
          }
        } catch (error) {
          const problem = JSON.stringify(problemOf(error));
          if (!isOver) {
            controller.enqueue(encoder.encode(`event: error\ndata: ${problem}\n\n`));
            tell(error, request);
          }
        }
        controller.close();
        await end();
      },
      cancel: end,
    }, { highWaterMark: 0 });
  };

  const askedOf = (family: Family, { searchParams }: URL): Asked => ({
    family,
    ...optional("tenant", searchParams.get("tenant")),
    ...optional("executionId", searchParams.get("executionId")),
    ...tagOf(searchParams.get("tag")),
  });

  return async (request) => {
    const url = new URL(request.url);
    const name = url.pathname.startsWith(`${path}/`) ? url.pathname.slice(path.length + 1) : "";
    if (!isFamily(name)) {
      const families = Object.keys(encoders).join(", ");
      return refuse(404, named("WEIR_NOT_FOUND", `Ask for ${path}/ and one of ${families}.`));
    }
    if (request.method !== "GET") {
      const message = `${request.method} is refused. Read with GET.`;
      return refuse(405, named("WEIR_METHOD_NOT_ALLOWED", message), { allow: "GET" });
    }
    const asked = askedOf(name, url);
    try {
      const verdict = authorize === undefined ? "allowed" : await authorize(request, asked);
      if (verdict === "unauthenticated") {
        return refuse(401, named("WEIR_UNAUTHENTICATED", "Say who you are and try again."));
      }
      if (verdict !== "allowed") {
        return refuse(403, named("WEIR_FORBIDDEN", "Ask for what you may see."));
      }
      const { family, ...filter } = asked;
      const after = request.headers.get("last-event-id") || url.searchParams.get("cursor");
      const options = { ...filter, ...optional("after", after) };
      const first = await begin(family, options);
      if (first === undefined) throw new Error(`${family} ended before it began`);
      const body = stream(family, { ...options, ticks: heartbeatMs }, first, request);
      return new Response(body, { headers: streamHeaders });
    } catch (error) {
      tell(error, request);
      return refuse(statusOf(error), problemOf(error));
    }
  };
};
