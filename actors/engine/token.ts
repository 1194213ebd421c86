/**
 * Asking for a token of a signal. The journal has what the token is made of and not the token, so that
 * who reads the log cannot use it; a replay makes the same again.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { millisOf } from "../../schema/duration.ts";
import { checkOptions, type OptionNames } from "../../schema/option_names.ts";
import { checkSignal } from "../executions/signals.ts";
import type { Host, Perform } from "./host.ts";
import type { Operations, TokenOptions } from "./operations.ts";

const optionNames: OptionNames<TokenOptions> = { expires: true };

const defaultExpiry = "7 days";

/** What the journal has of a token: when it expires, and by which key it was made. */
const Noted = Schema.Struct({ expires: Schema.Number, key: Schema.String });

export const tokenFor = (host: Host, perform: Perform): Operations["token"] =>
  Effect.fnUntraced(function* (signal, options = {}) {
    yield* checkSignal(signal, undefined);
    yield* checkOptions("token", options, optionNames);
    const lastsMs = yield* millisOf("expires", options.expires ?? defaultExpiry);
    const key = yield* host.tokens.current;
    const [asked, result] = yield* perform(
      `weir.token/${signal}`,
      "note",
      (asked) =>
        Effect.map(host.now, (now) => {
          const value: typeof Noted.Type = { expires: Math.ceil(now + lastsMs), key };
          host.submit({ kind: "noted", key: asked, what: "token", value });
        }),
    );
    const noted = yield* Effect.orDie(
      Schema.decodeUnknownEffect(Noted)(result.type === "value" ? result.value : undefined),
    );
    const { execution, tenant, life } = host;
    const scope = { tenant, execution, life, signal, key: asked, expires: noted.expires };
    return yield* host.tokens.make(scope, noted.key);
  });
