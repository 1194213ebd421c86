/** Effect's `KeyValueStore` in the log's bucket: text and bytes as they were set, under any key. */
import * as Base64 from "effect/encoding/Base64";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { KeyValueStore, KeyValueStoreError, make } from "effect/persistence/KeyValueStore";
import * as Result from "effect/Result";
import { Log } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { type Content, make as makeValues } from "./keyed_values.ts";

export interface KeyValueStoreOptions {
  /** Which store of the namespace; whoever names the same has the same values. */
  readonly store?: string;
}

const encoder = new TextEncoder();

const textOf = (content: Content): string => "text" in content ? content.text : content.base64;

const bytesOf = (content: Content): Uint8Array =>
  "text" in content
    ? encoder.encode(content.text)
    : Result.getOrThrow(Base64.decode(content.base64));

const contentOf = (value: string | Uint8Array): Content =>
  typeof value === "string" ? { text: value } : { base64: Base64.encode(value) };

const failed =
  (method: string, key?: string) =>
  <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>) =>
    Effect.mapError(effect, (cause) => {
      const { message } = cause;
      return new KeyValueStoreError({
        message,
        method,
        cause,
        ...(key === undefined ? {} : { key }),
      });
    });

/** A store of the namespace. Nothing of it is lost that was acknowledged, as in the log. */
export const layer = (
  { store = "default" }: KeyValueStoreOptions = {},
): Layer.Layer<KeyValueStore, never, Log | ServerClock> =>
  Layer.effect(
    KeyValueStore,
    Effect.gen(function* () {
      const values = makeValues(yield* Log, yield* ServerClock, "kv", store);

      /** No two who modify at once lose the change of one. */
      const modify = <A extends string | Uint8Array>(
        method: string,
        read: (content: Content) => A,
      ) =>
      (key: string, change: (value: A) => A) =>
        values.update(key, (kept) => {
          if (kept === undefined) return [undefined, undefined];
          const next = change(read(kept.content));
          return [next, { content: contentOf(next) }];
        }).pipe(failed(method, key));

      const read = <A>(method: string, key: string, as: (content: Content) => A) =>
        Effect.map(
          failed(method, key)(values.get(key)),
          (content) => content === undefined ? undefined : as(content),
        );

      return make({
        get: (key) => read("get", key, textOf),
        getUint8Array: (key) => read("getUint8Array", key, bytesOf),
        set: (key, value) =>
          Effect.suspend(() => values.set(key, { content: contentOf(value) })).pipe(
            failed("set", key),
          ),
        remove: (key) => failed("remove", key)(values.remove(key)),
        clear: failed("clear")(values.clear),
        size: Effect.map(failed("size")(values.keys), ({ length }) => length),
        keys: failed("keys")(values.keys),
        modify: modify("modify", textOf),
        modifyUint8Array: modify("modifyUint8Array", bytesOf),
      });
    }),
  );
