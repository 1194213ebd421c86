/**
 * Which workers may take an execution up: a lane, and the capabilities that it requires, in one
 * canonical text, so that equal demands have one name. An execution without a route goes to any
 * worker that has its actor.
 */
import * as Schema from "effect/Schema";

export const Route = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e]{1,400}$/, { expected: "1 to 400 printable ASCII characters" }),
).pipe(Schema.brand("Route"));
export type Route = typeof Route.Type;
