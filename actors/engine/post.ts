/**
 * Sending mail to executions: by clients, by parents and by children. Each message has an id from
 * which the server, and later the receiver, knows a repetition; nothing that is sent twice acts
 * twice. Who may send what is decided by whoever sends.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { type ExecutionId, SignalId, type Tenant, Timestamp } from "../../schema/ids.ts";
import { journalRecord } from "../../schema/journal_record.ts";
import { type MailRecord, mailRecord, type StartRecord } from "../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Log, Message } from "../../streams/log.ts";
import { clientMessageId } from "../../streams/message_id.ts";
import {
  type Address,
  executionAddress,
  executionFilter,
  subjectOf,
} from "../../streams/subjects.ts";
import { type ErrandOutcome, type ErrandRecord, errandSignal } from "../../schema/errand_record.ts";
import type { SeatRecord } from "../../schema/seat_record.ts";
import * as Errands from "../../streams/errands.ts";
import * as Seats from "../../streams/seats.ts";
import type { BudgetName } from "../../schema/budget.ts";
import type { WaiterRecord } from "../../schema/budget_record.ts";
import { giveUp as giveUpWaiting } from "../../streams/budgets/waiting.ts";
import type { Turn } from "../core/decide.ts";
import { type Lack, type Mail, roomSignal, turnSignal } from "../core/state.ts";
import { readAll, unread } from "./history.ts";

/** An id for a message that says the same whenever it is sent. */
const idOf = (to: Address, life: number | undefined, verb: string, key: string): string =>
  clientMessageId(
    { subject: subjectOf(to, "mail"), ...(life === undefined ? {} : { life }), verb },
    key,
  );

export const make = (log: Log["Service"]) => {
  const addressOf = (execution: ExecutionId, tenant: Tenant): Address =>
    executionAddress(log.layout, tenant, execution);

  /** The start of an execution's present life: the first message, or what anybody sent came before. */
  const findStart = Effect.fnUntraced(function* (to: Address) {
    const first = yield* log.first(to, "mail");
    if (Option.isNone(first)) return Option.none<Mail<StartRecord>>();
    const { body, sequence, at } = first.value;
    const record = yield* Effect.option(mailRecord.decode(body, first.value));
    if (Option.isSome(record) && record.value.kind === "start") {
      return Option.some({ sequence, at: Timestamp.make(at), record: record.value });
    }
    return yield* log.read(executionFilter(to, "mail")).pipe(
      Stream.mapAccumEffect(
        () => unread,
        (history, entry) =>
          Effect.map(readAll(history, [entry]), (next) => [next, [next.state.start]] as const),
      ),
      Stream.filter((start) => start !== undefined),
      Stream.runHead,
    );
  });

  const send = (to: Address, record: MailRecord, more: Pick<Message, "guard" | "id"> = {}) =>
    log.append(to, { kind: "mail", body: mailRecord.encode(record), ...more });

  /**
   * Starts an execution unless there is one; then its own start is the answer. What is to lie in its
   * mailbox from the beginning comes with it, or not at all.
   */
  const start = Effect.fnUntraced(function* (
    to: Address,
    record: StartRecord,
    along: ReadonlyArray<MailRecord> = [],
  ) {
    const messages = [record, ...along].map((record): Message => ({
      kind: "mail",
      body: mailRecord.encode(record),
    }));
    const put = (after: number) => {
      const [first, ...rest] = messages;
      const guarded = { ...first!, guard: { after } };
      return rest.length === 0 ? log.append(to, guarded) : log.appendBatch(to, [guarded, ...rest]);
    };
    let after = 0;
    for (;;) {
      const appended = yield* put(after).pipe(
        Effect.map(({ sequence }) => ({ sequence })),
        Effect.catchTags({
          AlreadyExists: ({ sequence }) => Effect.succeed({ actual: sequence }),
          SequenceConflict: ({ actual }) => Effect.succeed({ actual }),
        }),
      );
      if ("sequence" in appended) {
        return { created: true, life: appended.sequence, record };
      }
      const found = yield* findStart(to);
      if (Option.isSome(found)) {
        return { created: false, life: found.value.sequence, record: found.value.record };
      }
      // A message came before any start: it does not keep the start out.
      after = appended.actual;
    }
  });

  /** Tells a parent how its child has ended. */
  const notify = (parent: ParentReference, child: ExecutionId, outcome: OutcomeRecord) => {
    const to = addressOf(parent.execution, parent.tenant);
    const { life, key, call, route } = parent;
    return send(
      to,
      {
        kind: "child",
        life,
        key,
        execution: child,
        outcome,
        ...(route === undefined ? {} : { route }),
      },
      { id: idOf(to, life, "child", `${child}\n${key}\n${call}`) },
    );
  };

  /**
   * How an execution has ended, unless mail that came since may have it run again. Whoever needs to
   * know that alone leaves nothing in its mailbox, which would grow with all who ask.
   */
  const endOf = Effect.fnUntraced(function* (of: Address, life: number) {
    const last = yield* log.lastOfEach(of, ["done", "log", "mail"]);
    const done = last.get("done");
    if (done === undefined || (last.get("log")?.sequence ?? 0) > done.sequence) return undefined;
    const record = Option.getOrUndefined(
      yield* Effect.option(journalRecord.decode(done.body, done)),
    );
    if (record?.kind !== "done" || record.life !== life) return undefined;
    const through = last.get("mail")?.sequence ?? 0;
    if (through <= record.mail) return record.outcome;
    const since = yield* log.readThrough(executionFilter(of, "mail"), {
      after: record.mail,
      through,
    });
    const mail = yield* Effect.forEach(
      since,
      (entry) => Effect.option(mailRecord.decode(entry.body, entry)),
    );
    const isRetried = mail.some((each) => Option.isNone(each) || each.value.kind === "retry");
    return isRetried ? undefined : record.outcome;
  });

  /** Asks an execution that exists already to tell its end. */
  const join = (
    to: Address,
    start: { readonly life: number; readonly record: StartRecord },
    parent: ParentReference,
  ) => {
    const { route } = start.record;
    return send(
      to,
      { kind: "join", life: start.life, parent, ...(route === undefined ? {} : { route }) },
      {
        id: idOf(
          to,
          start.life,
          "join",
          [parent.tenant, parent.execution, parent.life, parent.key, parent.call].join("\n"),
        ),
      },
    );
  };

  /** Asks a child to stop, if it is one's own. */
  const cancelChild = (
    to: Address,
    parent: ParentReference,
    route: StartRecord["route"],
  ) =>
    send(
      to,
      {
        kind: "cancel",
        parent,
        reason: "its parent has ended",
        ...(route === undefined ? {} : { route }),
      },
      {
        id: idOf(
          to,
          undefined,
          "cancel",
          [parent.tenant, parent.execution, parent.life, parent.key].join("\n"),
        ),
      },
    );

  const seats = Seats.make(log);
  /** The queues of which a keeper was started by this process, or found. */
  const kept = new Set<string>();

  /** Has somebody keep a queue, if nobody does. */
  const keep = Effect.fnUntraced(function* (queue: string) {
    if (kept.has(queue)) return;
    yield* start(seats.keeperOf(queue), { kind: "start", seed: queue });
    kept.add(queue);
  });

  const seatOf = ({ turn }: Turn, { tenant, execution, life }: ParentReference) => ({
    tenant,
    execution,
    life,
    turn,
  });

  /** Takes a seat in a queue. */
  const enter = Effect.fnUntraced(function* (turn: Turn, as: ParentReference, more: {
    readonly priority: number;
    readonly since: Timestamp;
    readonly mail: number;
  }) {
    const { key, name } = turn.queue;
    yield* seats.enter(name, {
      kind: "seat",
      state: "waiting",
      ...seatOf(turn, as),
      ...(key === undefined ? {} : { key }),
      ...(as.route === undefined ? {} : { route: as.route }),
      ...more,
    });
    yield* keep(name);
  });

  /** Gives a seat up. */
  const leave = (turn: Turn, as: ParentReference) => seats.leave(turn.queue.name, seatOf(turn, as));

  /**
   * Tells an execution that it is its turn; right behind what it has read, if nothing else has come,
   * which spares its owner a look at what may lie between.
   */
  const admit = ({ tenant, execution, life, turn, route, mail }: SeatRecord) => {
    const to = addressOf(execution, tenant);
    const id = idOf(to, life, "turn", turn);
    const signal = {
      kind: "signal" as const,
      life,
      signalId: SignalId.make(id),
      name: turnSignal(turn),
      ...(route === undefined ? {} : { route }),
    };
    return mail === undefined ? send(to, signal, { id }) : Effect.catchTag(
      send(to, signal, { id, guard: { after: mail } }),
      ["SequenceConflict", "AlreadyExists"],
      () => send(to, signal, { id }),
    );
  };

  /** Tells an execution that there is room in a budget for which it waits. */
  const rouse = (
    tenant: Tenant,
    budget: BudgetName,
    { execution, life, turn, dimension, route }: WaiterRecord,
  ) => {
    const to = addressOf(execution, tenant);
    const name = roomSignal(turn, { budget, dimension });
    const id = idOf(to, life, "room", name);
    return send(to, {
      kind: "signal",
      life,
      signalId: SignalId.make(id),
      name,
      ...(route === undefined ? {} : { route }),
    }, { id });
  };

  /** Waits for a budget no more. */
  const giveUp = (
    { turn, budget }: Lack & { readonly turn: string },
    { tenant, execution, life }: ParentReference,
  ) => giveUpWaiting(log, tenant, budget as BudgetName, { execution, life, turn });

  const errands = Errands.make(log);

  /** Has somebody keep a tenant's remote workers, if nobody does. */
  const keepRemotes = Effect.fnUntraced(function* (tenant: Tenant) {
    const execution = Errands.remoteKeeperOf(tenant);
    if (kept.has(execution)) return;
    yield* start(errands.keeperOf(tenant), { kind: "start", seed: execution });
    kept.add(execution);
  });

  /** Enters an errand. */
  const enterErrand = Effect.fnUntraced(function* (errand: ErrandRecord) {
    yield* errands.enter(errand);
    yield* keepRemotes(errand.tenant);
  });

  const withdraw = (turn: string, { tenant, execution, life }: ParentReference) =>
    errands.withdraw({ tenant, execution, life, turn });

  /** Tells an execution how its errand ended. */
  const report = (
    { tenant, execution, life, turn, route }: ErrandRecord,
    outcome: ErrandOutcome,
  ) => {
    const to = addressOf(execution, tenant);
    const id = idOf(to, life, "errand", turn);
    return send(to, {
      kind: "signal",
      life,
      signalId: SignalId.make(id),
      name: errandSignal(turn),
      payload: outcome,
      ...(route === undefined ? {} : { route }),
    }, { id });
  };

  return {
    addressOf,
    findStart,
    send,
    start,
    notify,
    endOf,
    join,
    cancelChild,
    idOf,
    seats,
    keep,
    enter,
    leave,
    admit,
    rouse,
    giveUp,
    errands,
    keepRemotes,
    enterErrand,
    withdraw,
    report,
  };
};

export type Post = ReturnType<typeof make>;
