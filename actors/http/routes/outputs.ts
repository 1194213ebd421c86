/**
 * The outputs of an execution as server-sent events: each frame with its cursor as `id`, until the
 * execution has ended. That there is one is judged before the answer begins; what goes wrong later is
 * the last message of the stream.
 */
import * as Schema from "effect/Schema";
import type { OutputFrame } from "../../../streams/output.ts";
import { runOf } from "../named.ts";
import { problemOf } from "../problem.ts";
import { tenantQuery } from "../query.ts";
import { type Route, route } from "../route.ts";

const OutputQuery = Schema.Struct({
  ...tenantQuery,
  cursor: Schema.optionalKey(
    Schema.String.annotate({
      description: "Behind which it begins, or earliest or now; earliest, if left out",
    }),
  ),
});

const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

const stillHere = ": still here\n\n";
const ended = "event: end\ndata: {}\n\n";

const messageOf = ({ cursor, ...frame }: OutputFrame): string =>
  `id: ${cursor}\nevent: frame\ndata: ${JSON.stringify(frame)}\n\n`;

/** Requests that are being answered: Node 20 does not abort the signal of one that nobody holds. */
const answered = new Set<Request>();

/** What is sent of the frames, for as long as somebody reads. */
const streamOf = (
  frames: AsyncIterator<OutputFrame>,
  request: Request,
  heartbeatMs: number,
  tell: (error: unknown) => void,
): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder();
  let isOver = false;
  let heart: ReturnType<typeof setInterval> | undefined;
  const end = () => {
    if (isOver) return;
    isOver = true;
    clearInterval(heart);
    answered.delete(request);
    request.signal.removeEventListener("abort", end);
    return frames.return?.()?.then(() => undefined, () => undefined);
  };
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      const send = (text: string) => {
        if (!isOver) controller.enqueue(encoder.encode(text));
      };
      answered.add(request);
      request.signal.addEventListener("abort", end, { once: true });
      if (request.signal.aborted) end();
      send(stillHere);
      // Whoever does not read is told nothing more.
      const beat = () => (controller.desiredSize ?? 0) >= 0 && send(stillHere);
      heart = setInterval(beat, heartbeatMs);
    },
    pull: async (controller) => {
      const close = async (text: string) => {
        if (!isOver) controller.enqueue(encoder.encode(text));
        controller.close();
        await end();
      };
      if (isOver) return controller.close();
      try {
        const { value, done } = await frames.next();
        if (done === true || isOver) return await close(ended);
        controller.enqueue(encoder.encode(messageOf(value)));
      } catch (error) {
        tell(error);
        await close(`event: error\ndata: ${JSON.stringify(problemOf(error).body.error)}\n\n`);
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
};

export const outputRoutes = (heartbeatMs = 15_000): ReadonlyArray<Route> => [
  route({
    method: "GET",
    path: "/api/v1/runs/{id}/outputs/{name}",
    verb: "runs.output",
    access: "read",
    summary: "The frames of an output as server-sent events, until the execution has ended",
    query: OutputQuery,
    headers: { "last-event-id": "Where a client goes on that was there before" },
    answers: { 200: { description: "Frames, then an end", mediaType: "text/event-stream" } },
    handle: async (call) => {
      const { request, path: { name }, query: { cursor } } = call;
      const run = runOf(call);
      await run.describe();
      const after = request.headers.get("last-event-id") || cursor;
      const frames = run.output(name, after === undefined ? {} : { after });
      const body = streamOf(frames[Symbol.asyncIterator](), request, heartbeatMs, call.tell);
      return new Response(body, { headers });
    },
  }),
];
