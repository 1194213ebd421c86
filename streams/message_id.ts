/**
 * Message ids of clients. JetStream keeps one id space per stream, across all subjects and beyond a
 * purge, so an idempotency key alone would swallow a stranger's message; the id therefore covers the
 * subject, the life of the execution and the verb as well. Owners' ids come from their fence.
 */
import { createHash, randomUUID } from "node:crypto";

/** The id under which a client's idempotency key is known to the server. */
export const clientMessageId = (
  scope: { readonly subject: string; readonly life?: number; readonly verb: string },
  key: string,
): string =>
  createHash("sha256")
    .update(JSON.stringify([scope.subject, scope.life ?? 0, scope.verb, key]))
    .digest("base64url");

/** An id for an append that nobody will repeat but the log itself. */
export const randomMessageId = (): string => randomUUID();
