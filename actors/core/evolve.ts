/**
 * From records to state: the only place where an execution's state changes. Mailbox messages wait in
 * the inbox until a journal record says that its owner had taken them up, so that replay repeats the
 * owner's order and not the log's. It knows no clock and refuses nothing but a gap.
 */
import * as HashMap from "effect/HashMap";
import { SignalId, type Timestamp } from "../../schema/ids.ts";
import type {
  ClaimedRecord,
  DoneRecord,
  JournalRecord,
  SignalRecord,
} from "../../schema/journal_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import {
  beginOf,
  deadlineTimer,
  endOf,
  type ExecutionState,
  initial,
  isErrand,
  isSignal,
  type Mail,
  type Matter,
  type Operation,
  operation,
  type Result,
  startTag,
} from "./state.ts";

/** Lays a message into the mailbox; what is for another life, or comes before the start, is dropped. */
export const receive = (state: ExecutionState, mail: Mail): ExecutionState => {
  const { record, sequence } = mail;
  if (record.kind === "start") {
    if (state.life !== 0) return state;
    return {
      ...initial,
      life: sequence,
      start: { ...mail, record },
      mail: sequence,
      tags: HashMap.fromIterable(Object.entries(record.tags ?? {})),
    };
  }
  if (state.life === 0 || sequence <= state.mail) return state;
  if (record.life !== undefined && record.life !== state.life) return state;
  const last = state.inbox.at(-1);
  if (last !== undefined && last.sequence >= sequence) return state;
  return { ...state, inbox: [...state.inbox, mail] };
};

const put = (state: ExecutionState, key: string, value: Operation): ExecutionState => ({
  ...state,
  operations: HashMap.set(state.operations, key, value),
});

const open = (
  state: ExecutionState,
  key: string,
  matter: Matter,
  at: Timestamp,
): ExecutionState => {
  const { opened, since } = operation(state, key) ?? { opened: state.opened + 1, since: at };
  return {
    ...put(state, key, { ...matter, opened, since }),
    opened: Math.max(opened, state.opened),
  };
};

const settle = (state: ExecutionState, key: string, result: Result): ExecutionState => {
  const found = operation(state, key);
  if (found === undefined || found.settled !== undefined) return state;
  const order = state.settled + 1;
  return { ...put(state, key, { ...found, settled: { order, result } }), settled: order };
};

/** Everything that is open ends, at one place in the order of results. */
const giveUpAll = (state: ExecutionState): ExecutionState => {
  const order = state.settled + 1;
  return {
    ...state,
    settled: order,
    operations: HashMap.map(
      state.operations,
      (operation) =>
        operation.settled === undefined
          ? { ...operation, settled: { order, result: { type: "cancelled" } } }
          : operation,
    ),
  };
};

/** What a deadline does to the operation that it was set for. */
const elapse = (state: ExecutionState, key: string): ExecutionState => {
  switch (operation(state, key)?.kind) {
    case "sleep":
      return settle(state, key, { type: "value" });
    case "wait":
      return settle(state, key, { type: "timeout" });
    default:
      return state;
  }
};

/** A timer that was set for another deadline of the same name says nothing about this one. */
const isDueAt = (state: ExecutionState, key: string, due: Timestamp): boolean => {
  const found = operation(state, key);
  return (found?.kind === "sleep" || found?.kind === "wait") && found.due === due;
};

/** Whether a message that only the parent may send is from there. */
const isFrom = (state: ExecutionState, parent: ParentReference | undefined): boolean => {
  const own = state.start?.record.parent;
  return parent === undefined ||
    (own?.execution === parent.execution && own.tenant === parent.tenant &&
      own.life === parent.life);
};

/** Only who waits for its time is promoted, and by one message once, however late it is repeated. */
const promoted = (
  state: ExecutionState,
  at: Timestamp,
  key: string | undefined,
): ExecutionState => {
  const isKnown = key !== undefined &&
    (HashMap.has(state.signalKeys, key) || HashMap.has(state.formerSignalKeys, key));
  if (state.done !== undefined || isKnown) return state;
  return {
    ...state,
    ...(key === undefined
      ? {}
      : { signalKeys: HashMap.set(state.signalKeys, key, SignalId.make(key)) }),
    ...(beginOf(state) > at ? { promoted: at } : {}),
  };
};

/** What a message changes at the moment in which it is taken up. */
const act = (state: ExecutionState, { record, at }: Mail): ExecutionState => {
  switch (record.kind) {
    case "timer":
      if (record.key === deadlineTimer) {
        return state.done === undefined ? { ...state, expired: true } : state;
      }
      return isDueAt(state, record.key, record.due) ? elapse(state, record.key) : state;
    case "child": {
      // An earlier attempt may have called another child under the same key.
      const called = operation(state, record.key);
      return called !== undefined && "execution" in called && called.execution === record.execution
        ? settle(state, record.key, { type: "ended", outcome: record.outcome })
        : state;
    }
    case "cancel": {
      const { reason, force = false, parent } = record;
      if (state.done !== undefined || !isFrom(state, parent)) return state;
      if (state.cancel !== undefined) {
        return force ? { ...state, cancel: { ...state.cancel, force } } : state;
      }
      const given = giveUpAll(state);
      return {
        ...given,
        cancel: { order: given.settled, force, ...(reason === undefined ? {} : { reason }) },
      };
    }
    case "pause": {
      const { reason } = record;
      return state.done === undefined
        ? { ...state, paused: reason === undefined ? {} : { reason } }
        : state;
    }
    case "resume":
      return { ...state, paused: undefined };
    case "promote":
      return promoted(state, at, record.key);
    case "retry":
      return state.done === undefined ? state : { ...state, retry: record.from };
    case "join":
      return { ...state, joins: [...state.joins, record.parent] };
    case "start":
    case "signal":
      return state;
  }
};

/** Takes up the first message of the inbox. */
export const takeUp = (state: ExecutionState): ExecutionState => {
  const [mail, ...inbox] = state.inbox;
  return mail === undefined ? state : { ...act(state, mail), inbox, mail: mail.sequence };
};

const takeUpThrough = (state: ExecutionState, sequence: number): ExecutionState => {
  let next = state;
  while (next.inbox.length > 0 && next.inbox[0]!.sequence <= sequence) next = takeUp(next);
  return next.mail < sequence ? { ...next, mail: sequence } : next;
};

const signalled = (
  state: ExecutionState,
  record: SignalRecord,
  at: Timestamp,
): ExecutionState => {
  const mail = state.inbox.find(({ sequence }) => sequence === record.sequence);
  const counted: ExecutionState = {
    ...takeUpThrough(state, record.mail),
    signals: record.count,
  };
  const known = mail !== undefined && isSignal(mail)
    ? { ...mail.record, sequence: mail.sequence }
    : state.buffered.find(({ sequence }) => sequence === record.sequence);
  if (known === undefined) return counted;
  const { payload, signalId, name, source, sequence } = known;
  const signal = {
    sequence,
    signalId,
    name,
    ...(payload === undefined ? {} : { payload }),
    ...(source === undefined ? {} : { source }),
  };
  const key = mail !== undefined && isSignal(mail) ? mail.record.key : undefined;
  const isAccepted = record.effect === "buffered" || record.effect === "satisfied";
  // What was refused may be sent again under its key.
  const remembered = key === undefined || !isAccepted ? counted : {
    ...counted,
    signalKeys: HashMap.set(counted.signalKeys, key, signalId),
  };
  switch (record.effect) {
    case "buffered":
      return { ...remembered, buffered: [...remembered.buffered, signal] };
    case "satisfied": {
      const taken = {
        ...remembered,
        buffered: remembered.buffered.filter((other) => other.sequence !== sequence),
      };
      if (record.key === undefined) return taken;
      const waiting = operation(taken, record.key) === undefined
        ? open(taken, record.key, { kind: "wait", signal: name }, at)
        : taken;
      return settle(waiting, record.key, {
        type: "value",
        ...(payload === undefined ? {} : { value: payload }),
      });
    }
    default:
      return remembered;
  }
};

const isWorthKeeping = (found: Operation): boolean => {
  if (found.settled === undefined) return found.kind !== "run" && !isErrand(found);
  const { result } = found.settled;
  return result.type === "value" || result.type === "timeout" ||
    (result.type === "ended" && result.outcome.type === "success");
};

/** What an end leaves behind: it has cancelled the children that were awaited, whatever they say of it. */
const outlivesEnd = (found: Operation): boolean =>
  isWorthKeeping(found) &&
  (found.settled !== undefined || !("onParentEnd" in found) || found.onParentEnd === "abandon");

/**
 * A new attempt begins with what succeeded, and with what is still awaited; it fails anew. What was
 * spawned goes with its end, or else nobody would spawn it again and its end would never come.
 */
const keepOnly = (
  state: ExecutionState,
  isKept: (operation: Operation) => boolean,
): ExecutionState => ({
  ...state,
  operations: HashMap.filter(state.operations, (found, key) => {
    const end = found.kind === "spawn" ? operation(state, endOf(key)) : undefined;
    return isKept(found) && (end === undefined || isKept(end));
  }),
});

/**
 * Waits go over to the next run of the code with the signals that they have or will have, so that none
 * is lost in between. A sender's key is remembered for one such run more, which bounds them.
 */
const continued = (
  state: ExecutionState,
  { input, taken, cleared }: Extract<JournalRecord, { readonly kind: "continued" }>,
): ExecutionState => {
  const over = new Set(taken);
  const unread = new Set(cleared);
  const waiting = new Set(state.buffered.map(({ signalId }) => signalId));
  const isWaiting = (signalId: SignalId) => waiting.has(signalId);
  return {
    ...state,
    operations: HashMap.filter(
      state.operations,
      ({ kind }, key) => kind === "wait" ? !over.has(key) : key.startsWith(startTag("")),
    ),
    cells: HashMap.filter(state.cells, (_, name) => !unread.has(name)),
    // Nobody has acted on what still waits, so that its sender may well send it again.
    signalKeys: HashMap.union(
      HashMap.filter(state.formerSignalKeys, isWaiting),
      HashMap.filter(state.signalKeys, isWaiting),
    ),
    formerSignalKeys: state.signalKeys,
    signals: 0,
    failures: 0,
    continued: {
      count: (state.continued?.count ?? 0) + 1,
      opened: state.opened,
      ...(input === undefined ? {} : { input }),
    },
  };
};

const finished = (state: ExecutionState, record: DoneRecord, at: Timestamp): ExecutionState => ({
  ...state,
  done: { record, at },
  paused: undefined,
  retryAt: undefined,
  promoted: undefined,
  retry: undefined,
});

const apply = (
  state: ExecutionState,
  record: Exclude<JournalRecord, ClaimedRecord>,
  at: Timestamp,
): ExecutionState => {
  switch (record.kind) {
    case "step":
      return settle(
        operation(state, record.key) === undefined
          ? open(state, record.key, { kind: "run", tries: record.tries }, at)
          : state,
        record.key,
        record.result,
      );
    case "stepFailed": {
      const { kind: _, key, life: _life, index: _index, mail: _mail, ...tried } = record;
      return open(state, key, { kind: "run", ...tried }, at);
    }
    case "sleeping":
      return open(state, record.key, { kind: "sleep", due: record.due }, at);
    case "waiting": {
      const { key, signal, due } = record;
      return open(state, key, { kind: "wait", signal, ...(due === undefined ? {} : { due }) }, at);
    }
    case "elapsed":
      return elapse(state, record.key);
    case "calling": {
      const { key, verb, actor, execution, tenant, route, onParentEnd } = record;
      const child = {
        actor,
        execution,
        tenant,
        ...(route === undefined ? {} : { route }),
        onParentEnd,
      };
      const kind = verb === "spawn" ? verb : "call";
      const opened = open(state, key, { kind, ...child }, at);
      return kind === "call"
        ? opened
        : open(settle(opened, key, { type: "value" }), endOf(key), { kind: "end", ...child }, at);
    }
    case "callFailed":
      return settle(state, record.key, { type: "failure", failure: record.failure });
    case "noted":
      return settle(open(state, record.key, { kind: "note" }, at), record.key, {
        type: "value",
        value: record.value,
      });
    case "cell": {
      const { key, name, value } = record;
      const cells = value === undefined
        ? HashMap.remove(state.cells, name)
        : HashMap.set(state.cells, name, value);
      return settle({ ...open(state, key, { kind: "cell" }, at), cells }, key, { type: "value" });
    }
    case "tag": {
      const { key, name, change, value = "" } = record;
      const tags = change === "attached"
        ? HashMap.set(state.tags, name, value)
        : HashMap.remove(state.tags, name);
      return settle({ ...open(state, key, { kind: "tag" }, at), tags }, key, { type: "value" });
    }
    case "attemptFailed":
      return {
        ...keepOnly(state, isWorthKeeping),
        failures: state.failures + 1,
        attempt: state.attempt + 1,
        retryAt: record.retryAt,
        promoted: undefined,
      };
    case "continued":
      return continued(state, record);
    case "replayed":
      return {
        ...(record.from === "start"
          ? {
            ...state,
            operations: HashMap.empty(),
            cells: HashMap.empty(),
            continued: undefined,
          }
          : keepOnly(state, outlivesEnd)),
        done: undefined,
        retry: undefined,
        cancel: undefined,
        expired: false,
        failures: 0,
        attempt: state.attempt + 1,
        replays: state.replays + 1,
      };
    case "signal":
      return state;
    case "done":
      return finished(state, record, at);
  }
};

/** The lease need not have heard of the attempts that the journal has begun. */
const attemptOf = (state: ExecutionState, { attempt, reclaims }: ClaimedRecord): number =>
  Math.max(attempt, state.attempt + (reclaims > 0 ? 1 : 0));

/** The state behind one more journal record of this life, which must be the next. */
export const record = (
  state: ExecutionState,
  record: JournalRecord,
  at: Timestamp,
): ExecutionState => {
  if (record.kind === "claimed") {
    const { epoch, reclaims } = record;
    // A snapshot may hold it already, although the last numbered record is before it.
    if (epoch <= state.epoch) return state;
    return { ...state, epoch, attempt: attemptOf(state, record), reclaims, progress: false };
  }
  const numbered = { ...state, index: record.index, progress: true };
  return record.kind === "signal"
    ? signalled(numbered, record, at)
    : apply(takeUpThrough(numbered, record.mail), record, at);
};
