import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import { layerMemory as layerLog } from "../../streams/log_memory.ts";
import { layerMemory } from "../../streams/mailbox/memory.ts";
import * as Sessions from "../../streams/session.ts";
import { mailboxSuite } from "../conformance/mailbox_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 2, parts: 4 };
const layer = Layer.mergeAll(layerMemory, Sessions.layer).pipe(
  Layer.provideMerge(layerLog({ layout })),
);

mailboxSuite("memory", (effect) => Effect.runPromise(Effect.provide(effect, layer)));
