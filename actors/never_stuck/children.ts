/**
 * Whether the children that an execution awaits will tell it how they end: each must have been
 * started by it, or have been asked; and one that has ended must have told it, or still be about to.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Log } from "../../streams/log.ts";
import type { Fate, Mailboxes } from "../../streams/mailbox.ts";
import { executionAddress, executionFilter } from "../../streams/subjects.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { type ExecutionState, openOperations, type Operation } from "../core/state.ts";
import type { Trouble } from "./verdict.ts";

/** Of several messages, the fate of the one that is best off. */
export const bestOf = (fates: Iterable<Fate>): Fate => {
  const all = new Set(fates);
  return all.has("unacked") ? "unacked" : all.has("unknown") ? "unknown" : "acked";
};

const isSame = (a: ParentReference | undefined, b: ParentReference): boolean =>
  a?.execution === b.execution && a.tenant === b.tenant && a.life === b.life && a.key === b.key;

type Child = Extract<Operation, { readonly kind: "call" | "spawn" | "end" }>;

const isChild = (operation: Operation): operation is Child =>
  operation.kind === "call" || operation.kind === "end";

export const make = (log: Log["Service"], mailboxes: Mailboxes["Service"]) => {
  /** Why a child will not tell; nothing if it will. */
  const silence = Effect.fnUntraced(function* (child: Child, parent: ParentReference) {
    const { execution } = child;
    const address = executionAddress(log.layout, child.tenant, execution);
    const mail = yield* log.read(executionFilter(address, "mail")).pipe(
      Stream.mapEffect((entry) =>
        Effect.all({
          entry: Effect.succeed(entry),
          fate: mailboxes.fate(entry),
          record: Effect.option(mailRecord.decode(entry.body, entry)),
        })
      ),
      Stream.runFold(
        () => ({ life: 0, knows: false, fates: new Set<Fate>() }),
        (known, { entry, fate, record }) => {
          known.fates.add(fate);
          if (record._tag === "None") return known;
          const { value } = record;
          const isFirst = value.kind === "start" && known.life === 0;
          if (isFirst) known.life = entry.sequence;
          if (isFirst || value.kind === "join") known.knows ||= isSame(value.parent, parent);
          return known;
        },
      ),
    );
    if (mail.life === 0) return `${execution} was never started`;
    if (!mail.knows) return `${execution} does not know that it is awaited`;
    const last = yield* log.lastOfEach(address, ["done", "log"]);
    const done = last.get("done")?.sequence ?? 0;
    const hasEnded = done > mail.life && done > (last.get("log")?.sequence ?? 0);
    return hasEnded && bestOf(mail.fates) === "acked"
      ? `${execution} has ended, and has not told`
      : undefined;
  });

  /** The children that keep an execution waiting for ever. */
  return Effect.fnUntraced(function* (
    state: ExecutionState,
    parent: Omit<ParentReference, "key" | "route">,
  ) {
    const found = yield* Effect.forEach(
      openOperations(state),
      ([key, operation]) =>
        isChild(operation)
          ? Effect.map(
            silence(operation, { ...parent, key }),
            (why): ReadonlyArray<Trouble> =>
              why === undefined ? [] : [{ type: "lostChild", key, why }],
          )
          : Effect.succeed([]),
    );
    return found.flat();
  });
};
