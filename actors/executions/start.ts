/**
 * Starting executions: everything that the start says is checked before it is sent, and the start is
 * sent once, whoever else starts the same. Signals that come with it are in the mailbox from the
 * beginning.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { optionalMillis } from "../../schema/duration.ts";
import { InvalidInput } from "../../schema/errors.ts";
import {
  DependencyCycle,
  ExecutionNotFound,
  HierarchyTooDeep,
  NobodyKeepsQueues,
  UnknownActor,
} from "../../schema/execution_errors.ts";
import {
  type ActorName,
  ExecutionId,
  ForeignActorName,
  namedExecution,
  parse,
  type Tenant,
  Timestamp,
} from "../../schema/ids.ts";
import { Json } from "../../schema/json.ts";
import { mailRecord, type StartRecord } from "../../schema/mail_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import { Requires, routeOf } from "../../schema/route.ts";
import { boundLike, type Task } from "../../schema/task.ts";
import { maxBatchSize, type Message } from "../../streams/log.ts";
import type { Mailboxes } from "../../streams/mailbox.ts";
import { queueActor, queueTenant } from "../../streams/seats.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import { belowKey } from "../core/state.ts";
import type { Executions, Named, StartOptions } from "../executions.ts";
import { belowTag, Tags } from "../tags.ts";
import { traced } from "../traced.ts";
import { inOrder } from "../work/in_order.ts";
import { schedulesTag } from "../work/schedule.ts";
import type { Means, Presence } from "./present.ts";
import { checkSignal, signalMail } from "./signals.ts";
import { checkComes, taskOf, type TaskOptions } from "./task.ts";

const Priority = Schema.Int.check(Schema.isBetween({ minimum: -1_000, maximum: 1_000 }));

/** So many executions may be below each other. */
const deepest = 8;

/**
 * By these the executions below one and the schedules are listed; the first of its tags, since a list
 * searches a number.
 */
const reservedTags = (parent: ParentReference | undefined, task: Task | undefined) => ({
  ...(parent === undefined ? {} : { [belowTag]: parent.execution }),
  ...(task?.schedule === undefined ? {} : { [schedulesTag.name]: schedulesTag.value }),
});

/** An execution below which something is submitted, and what that is bound to like it. */
interface Above {
  readonly reference: ParentReference;
  readonly bound: Pick<Task, "budgets">;
}

/** A start as it will be sent. */
interface Prepared {
  readonly named: Named;
  readonly record: StartRecord;
}

export const makeStart = (
  { log, post }: Means,
  { addressOf, living, present, checkIntake }: Presence,
  { mailboxes, clock, signal }: {
    readonly mailboxes: Mailboxes["Service"];
    readonly clock: ServerClock["Service"];
    readonly signal: Executions["Service"]["signal"];
  },
) => {
  /** The execution below which something is submitted, if it goes on and is not too deep itself. */
  const parentOf = Effect.fnUntraced(function* (given: TaskOptions["parent"], tenant: Tenant) {
    if (given === undefined) return undefined;
    const { id, tenant: named = tenant } = typeof given === "string" ? { id: given } : given;
    const execution = yield* parse(ExecutionId, "parent", id);
    if (named !== tenant) return yield* new ExecutionNotFound({ execution });
    const { life, start } = yield* living({ execution, tenant });
    let above = start.parent;
    for (let depth = 1; above !== undefined; depth++) {
      if (depth >= deepest) return yield* new HierarchyTooDeep({ parent: execution, deepest });
      const found = yield* post.findStart(post.addressOf(above.execution, above.tenant));
      // What has been forgotten has nothing above it that anybody knows.
      above = Option.getOrUndefined(found)?.record.parent;
    }
    const reference: ParentReference = {
      execution,
      tenant,
      life,
      key: belowKey,
      ...(start.route === undefined ? {} : { route: start.route }),
    };
    const found: Above = { reference, bound: start.task ?? {} };
    return found;
  });

  const prepare = Effect.fnUntraced(function* (
    actor: ActorName,
    tenant: Tenant,
    input: unknown,
    options: Omit<StartOptions, "parent" | "signals">,
    above?: Above,
  ) {
    const parent = above?.reference;
    const { id = randomUUID(), lane, requires, tags, priority } = options;
    const isOwn = actor === queueActor && tenant === queueTenant;
    if (!isOwn) yield* parse(ForeignActorName, "actor name", actor);
    const { execution } = yield* namedExecution(actor, id);
    const value = yield* (input === undefined ? Effect.undefined : parse(Json, "input", input));
    const delayMs = yield* optionalMillis("delay", options.delay);
    const deadlineMs = yield* optionalMillis("deadline", options.deadline);
    const required = requires === undefined
      ? undefined
      : yield* parse(Requires, "requires", requires);
    const route = routeOf(lane, required);
    const now = delayMs === undefined && deadlineMs === undefined ? 0 : yield* clock.now;
    const task = boundLike(
      above?.bound ?? {},
      yield* taskOf(options, execution, clock.now, delayMs),
    );
    const reserved = reservedTags(parent, task);
    const record: StartRecord = {
      kind: "start",
      seed: randomUUID(),
      ...(value === undefined ? {} : { input: value }),
      ...(tags === undefined && Object.keys(reserved).length === 0 ? {} : {
        tags: { ...reserved, ...yield* parse(Tags, "tags", tags ?? {}), ...reserved },
      }),
      ...(route === undefined ? {} : { route }),
      ...(required === undefined ? {} : { requires: required }),
      ...(priority === undefined ? {} : { priority: yield* parse(Priority, "priority", priority) }),
      ...(delayMs === undefined ? {} : { notBefore: Timestamp.make(Math.ceil(now + delayMs)) }),
      ...(deadlineMs === undefined
        ? {}
        : { deadline: Timestamp.make(Math.ceil(now + deadlineMs)) }),
      ...(parent === undefined ? {} : { parent }),
      ...(task === undefined ? {} : { task }),
    };
    const prepared: Prepared = { named: { execution, tenant }, record };
    return prepared;
  });

  /** That there is a worker for it, or was; otherwise it is a typing error, or the wrong namespace. */
  const checkServed = Effect.fnUntraced(function* (
    actor: ActorName,
    { task }: StartRecord,
    { unserved = false }: Pick<StartOptions, "unserved">,
  ) {
    if (unserved) return;
    if (!(yield* mailboxes.isServed(actor))) return yield* new UnknownActor({ actor });
    if (task?.queue !== undefined && !(yield* mailboxes.isServed(queueActor as ActorName))) {
      return yield* new NobodyKeepsQueues({ queue: task.queue.name, of: "task" });
    }
  });

  const checkSchedule = Effect.fnUntraced(function* ({ task, notBefore }: StartRecord) {
    if (task?.schedule === undefined) return;
    yield* checkComes(task.schedule.policy, notBefore ?? (yield* clock.now));
  });

  /** Nothing new where somebody or its calendar has that end; what is there is given as ever. */
  const checkAccepted = ({ named, record }: Prepared) =>
    Effect.andThen(checkIntake(named, record), checkSchedule(record)).pipe(
      Effect.catchTag(["IntakeClosed", "InvalidInput"], (refusal) =>
        Effect.catchTag(
          Effect.asVoid(present(named)),
          "ExecutionNotFound",
          () => Effect.fail(refusal),
        )),
    );

  /** What an execution comes after must be there, or it would wait for a typing error. */
  const checkAfter = (
    { named: { tenant }, record }: Prepared,
    others: ReadonlySet<ExecutionId> = new Set(),
  ) =>
    Effect.forEach(
      (record.task?.after ?? []).filter((execution) => !others.has(execution)),
      (execution) => present({ execution, tenant }),
      { concurrency: 16, discard: true },
    );

  const prepareOnly: Executions["Service"]["prepare"] = Effect.fnUntraced(
    function* (actor, tenant, input, options = {}) {
      const { record } = yield* prepare(actor, tenant, input, options);
      yield* checkServed(actor, record, options);
      return record;
    },
  );

  const start: Executions["Service"]["start"] = Effect.fnUntraced(
    function* (actor, tenant, input, options = {}) {
      const given = yield* Effect.forEach(
        options.signals ?? [],
        ({ name, payload, ...rest }) =>
          Effect.map(checkSignal(name, payload), (value) => signalMail(name, value, rest)),
      );
      const parent = yield* parentOf(options.parent, tenant);
      const prepared = yield* prepare(actor, tenant, input, options, parent);
      const { named, record } = prepared;
      const { route } = record;
      const signals = given.map((mail) => ({ ...mail, ...(route === undefined ? {} : { route }) }));
      yield* checkServed(actor, record, options);
      if (actor !== queueActor) yield* checkAccepted(prepared);
      yield* checkAfter(prepared);
      const { created, life } = yield* post.start(addressOf(named), record, signals);
      if (!created) {
        yield* Effect.forEach(
          options.signals ?? [],
          ({ name, payload, ...rest }) => signal(named, name, payload, rest),
          { discard: true },
        );
      }
      return { ...named, created, life };
    },
    traced("Executions.start"),
  );

  /** All of them in one step; nothing, if one of them is there already. */
  const putTogether = Effect.fnUntraced(function* (ordered: ReadonlyArray<Prepared>) {
    const [first] = ordered;
    if (first === undefined) return [];
    const messages = ordered.map(({ named, record }): Message => ({
      kind: "mail",
      of: addressOf(named),
      body: mailRecord.encode(record),
      guard: { after: 0 },
    }));
    const { sequence } = yield* log.appendBatch(addressOf(first.named), messages);
    return ordered.map(({ named }, i) => ({ ...named, created: true, life: sequence + i }));
  });

  const putEach = (ordered: ReadonlyArray<Prepared>) =>
    Effect.forEach(ordered, ({ named, record }) =>
      Effect.map(
        post.start(addressOf(named), record),
        ({ created, life }) => ({ ...named, created, life }),
      ));

  const startAll: Executions["Service"]["startAll"] = Effect.fnUntraced(
    function* (tenant, requests) {
      const prepared = yield* Effect.forEach(
        requests,
        ({ actor, input, options = {} }) =>
          Effect.flatMap(
            parentOf(options.parent, tenant),
            (parent) => prepare(actor, tenant, input, options, parent),
          ),
      );
      const ids = new Set(prepared.map(({ named }) => named.execution));
      if (ids.size < prepared.length) {
        return yield* new InvalidInput({
          what: "tasks",
          value: `${prepared.length - ids.size} ids that occur twice`,
          rule: "each has an id of its own",
        });
      }
      const order = inOrder(
        prepared.map(({ named, record }) => ({
          id: named.execution,
          after: record.task?.after ?? [],
        })),
      );
      if ("cycle" in order) return yield* new DependencyCycle({ executions: order.cycle });
      yield* Effect.forEach(
        requests,
        ({ actor, options = {} }, i) => checkServed(actor, prepared[i]!.record, options),
        { discard: true },
      );
      yield* Effect.forEach(prepared, checkAccepted, { discard: true });
      const byName = new Map(prepared.map((each) => [each.named.execution, each]));
      const ordered = order.ids.map((id) => byName.get(id)!);
      yield* Effect.forEach(prepared, (each) => checkAfter(each, ids), {
        concurrency: 16,
        discard: true,
      });
      const shards = new Set(prepared.map(({ named }) => addressOf(named).shard));
      const isOneStep = shards.size === 1 && prepared.length <= maxBatchSize;
      const started = yield* isOneStep
        ? Effect.catchTag(putTogether(ordered), "AlreadyExists", () => putEach(ordered))
        : putEach(ordered);
      const byId = new Map(started.map((each) => [each.execution, each]));
      return prepared.map(({ named }) => byId.get(named.execution)!);
    },
    traced("Executions.startAll"),
  );

  return { prepare: prepareOnly, start, startAll };
};
