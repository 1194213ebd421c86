/**
 * Signals of those who have nothing but a token: it is all that is asked for, and whatever is wrong
 * with it has one answer.
 */
import { Json } from "../../../schema/json.ts";
import { Completed } from "../answers.ts";
import { type Route, route } from "../route.ts";

/** @param limit refuses what comes too fast, since anybody may come. */
export const tokenRoutes = (limit: (request: Request) => void): ReadonlyArray<Route> => [
  route({
    method: "POST",
    path: "/api/v1/tokens/{token}",
    verb: "tokens.complete",
    access: "anybody",
    limit,
    summary: "Sends the signal that a token is for, whose payload is the body",
    body: Json.annotate({ identifier: "SignalPayload" }),
    isBodyOptional: true,
    answers: { 202: { description: "It is in the mailbox", schema: Completed } },
    handle: async ({ weir, path: { token }, body }) => {
      const { signalId } = await weir.complete(token, body);
      return { status: 202, body: { signalId } };
    },
  }),
];
