/**
 * A state as a record, and back. Only what replaying the journal would give is in it: what lies in
 * the mailbox behind the last message taken up is read again. An execution that has ended leaves none.
 */
import * as HashMap from "effect/HashMap";
import type { StateRecord } from "../../schema/state_record.ts";
import { type ExecutionState, initial, type Mail, type Operation } from "./state.ts";
import type { StartRecord } from "../../schema/mail_record.ts";

type Content = Omit<StateRecord, "checksum">;

/** The state behind the journal record at a sequence. */
export const contentOf = (
  state: ExecutionState,
  sequence: number,
  previous: number | undefined,
): Content => {
  const { cancel, paused, promoted, retryAt } = state;
  return {
    kind: "state",
    life: state.life,
    index: state.index,
    sequence,
    mail: state.mail,
    ...(previous === undefined ? {} : { previous }),
    operations: [...HashMap.entries(state.operations)]
      .map(([key, operation]) => ({ key, ...operation }))
      .sort((a, b) => a.opened - b.opened),
    opened: state.opened,
    settled: state.settled,
    buffered: state.buffered,
    signalKeys: Object.fromEntries(HashMap.entries(state.signalKeys)),
    ...(HashMap.isEmpty(state.formerSignalKeys)
      ? {}
      : { formerSignalKeys: Object.fromEntries(HashMap.entries(state.formerSignalKeys)) }),
    signals: state.signals,
    cells: Object.fromEntries(HashMap.entries(state.cells)),
    tags: Object.fromEntries(HashMap.entries(state.tags)),
    ...(cancel === undefined ? {} : { cancel }),
    ...(paused === undefined ? {} : { paused }),
    failures: state.failures,
    ...(retryAt === undefined ? {} : { retryAt }),
    ...(promoted === undefined ? {} : { promoted }),
    attempt: state.attempt,
    epoch: state.epoch,
    replays: state.replays,
    joins: state.joins,
    reclaims: state.reclaims,
    ...(state.continued === undefined ? {} : { continued: state.continued }),
  };
};

const withoutKey = ({ key: _, ...operation }: Content["operations"][number]): Operation =>
  operation;

/** The state that a record tells, given the start that it does not repeat. */
export const stateOf = (content: Content, start: Mail<StartRecord>): ExecutionState => ({
  ...initial,
  life: content.life,
  start,
  index: content.index,
  mail: content.mail,
  operations: HashMap.fromIterable(
    content.operations.map((operation) => [operation.key, withoutKey(operation)] as const),
  ),
  opened: content.opened,
  settled: content.settled,
  buffered: content.buffered,
  signalKeys: HashMap.fromIterable(Object.entries(content.signalKeys)),
  formerSignalKeys: HashMap.fromIterable(Object.entries(content.formerSignalKeys ?? {})),
  signals: content.signals,
  cells: HashMap.fromIterable(Object.entries(content.cells)),
  tags: HashMap.fromIterable(Object.entries(content.tags)),
  cancel: content.cancel,
  paused: content.paused,
  failures: content.failures,
  retryAt: content.retryAt,
  promoted: content.promoted,
  attempt: content.attempt,
  epoch: content.epoch,
  replays: content.replays,
  joins: content.joins,
  reclaims: content.reclaims,
  continued: content.continued,
  progress: true,
});
