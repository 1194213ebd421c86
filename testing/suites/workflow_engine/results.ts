/** What a workflow gives, to whom, and how often it runs for that. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import {
  act,
  Approval,
  approve,
  assertDeclined,
  byId,
  Declined,
  Id,
  note,
  parked,
} from "./program.ts";

export const resultCases = (test: Case<WorkflowEngine>): void => {
  test(
    "a workflow gives its result, and is the same execution whenever it is executed again",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Hello = Workflow.make("Hello", {
        payload: { name: Schema.String, at: Schema.Date },
        success: Schema.Struct({ greeting: Schema.String, at: Schema.Date }),
        idempotencyKey: ({ name }) => name,
      });
      const live = Hello.toLayer(Effect.fnUntraced(function* ({ name, at }) {
        const greeting = yield* Activity.make({
          name: "greet",
          success: Schema.String,
          execute: Effect.as(note(ran, "greet"), `hello ${name}`),
        });
        return { greeting, at };
      }));
      const at = new Date(1_700_000_000_000);
      yield* Effect.gen(function* () {
        const first = yield* Hello.execute({ name: "ana", at });
        assert.deepEqual(first, { greeting: "hello ana", at });
        const again = yield* Hello.execute({ name: "ana", at: new Date(0) });
        assert.deepEqual(again, first);
        assert.deepEqual(ran, ["greet"]);
        const id = yield* Hello.execute({ name: "bo", at }, { discard: true });
        assert.equal(id, yield* Hello.executionId({ name: "bo", at }));
        assert.equal((yield* Hello.execute({ name: "bo", at })).greeting, "hello bo");
        const found = yield* Hello.poll(id);
        assert.ok(Option.isSome(found) && found.value._tag === "Complete");
        assert.deepEqual(yield* Hello.poll("0".repeat(32)), Option.none());
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an error is of its class again at the caller, and a defect is a defect",
    Effect.gen(function* () {
      const Fails = Workflow.make("Fails", {
        payload: { how: Schema.Literals(["declines", "dies"]) },
        error: Declined,
        idempotencyKey: ({ how }) => how,
      });
      const live = Fails.toLayer(({ how }) =>
        how === "dies"
          ? Effect.die(new Error("a bug"))
          : Activity.make({ name: "charge", error: Declined, execute: new Declined({ code: 7 }) })
      );
      yield* Effect.gen(function* () {
        const error = yield* Effect.flip(Fails.execute({ how: "declines" }));
        assert.ok(error instanceof Declined);
        assert.equal(error.code, 7);
        const exit = yield* Effect.exit(Fails.execute({ how: "dies" }));
        assert.ok(Exit.isFailure(exit) && Cause.hasDies(exit.cause));
        assert.match(Cause.pretty(exit.cause), /a bug/);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "who executes it at once with others is given what they are, and it runs once",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Shared = Workflow.make("Shared", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Shared.toLayer(({ id }) => act(ran, `of ${id}`));
      yield* Effect.gen(function* () {
        const results = yield* Effect.all(
          Array.from({ length: 8 }, () => Shared.execute({ id: "1" })),
          { concurrency: "unbounded" },
        );
        assert.deepEqual(new Set(results), new Set(["of 1"]));
        assert.equal(yield* Shared.execute({ id: "2" }), "of 2");
        assert.deepEqual(ran, ["of 1", "of 2"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "workflows have executions of their own, whatever they are called",
    Effect.gen(function* () {
      const tags = ["Plain", "with spaces/and.dots > *", "é☃"];
      for (const tag of tags) {
        const Named = Workflow.make(tag, {
          payload: Id,
          success: Schema.String,
          idempotencyKey: byId,
        });
        const live = Named.toLayer(() => act([], `${tag}: a step / with. a name`));
        const result = yield* Named.execute({ id: "1" }).pipe(Effect.provide(live));
        assert.equal(result, `${tag}: a step / with. a name`);
      }
    }),
  );

  test(
    "the body has the services that it was registered with",
    Effect.gen(function* () {
      const Greeting = Context.Service<{ readonly greet: string }>("test/Greeting");
      const Greets = Workflow.make("Greets", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Greets.toLayer(Effect.fnUntraced(function* ({ id }) {
        const { greet } = yield* Greeting;
        const again = yield* Activity.make({
          name: "greet",
          success: Schema.String,
          execute: Effect.map(Greeting, ({ greet }) => greet),
        });
        return `${greet} ${again} ${id}`;
      })).pipe(Layer.provide(Layer.succeed(Greeting, { greet: "salve" })));
      assert.equal(
        yield* Greets.execute({ id: "ana" }).pipe(Effect.provide(live)),
        "salve salve ana",
      );
    }),
  );

  test(
    "a look tells of what runs and of what is unknown nothing, and of the rest how it stands",
    Effect.gen(function* () {
      const isRunning = yield* Deferred.make<void>();
      const mayGoOn = yield* Deferred.make<void>();
      const Looked = Workflow.make("Looked", {
        payload: { id: Schema.String, fails: Schema.Boolean },
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Looked.toLayer(Effect.fnUntraced(function* ({ fails }) {
        yield* Activity.make({
          name: "work",
          execute: Effect.andThen(
            Deferred.succeed(isRunning, undefined),
            Deferred.await(mayGoOn),
          ),
        });
        const { by } = yield* DurableDeferred.await(Approval);
        return fails ? yield* new Declined({ code: 3 }) : by;
      }));
      yield* Effect.gen(function* () {
        const payload = { id: "1", fails: false };
        const id = yield* Looked.executionId(payload);
        assert.deepEqual(yield* Looked.poll(id), Option.none());
        yield* Looked.execute(payload, { discard: true });
        yield* Deferred.await(isRunning);
        assert.deepEqual(yield* Looked.poll(id), Option.none());
        yield* Deferred.succeed(mayGoOn, undefined);
        yield* parked(Looked.poll(id));
        yield* approve(Looked, payload, "ana");
        yield* Looked.execute(payload);
        assert.deepEqual(
          yield* Looked.poll(id),
          Option.some(new Workflow.Complete({ exit: Exit.succeed("ana") })),
        );

        const failing = { id: "2", fails: true };
        yield* approve(Looked, failing, "ana");
        assertDeclined(yield* Effect.exit(Looked.execute(failing)), 3);
        const found = yield* Looked.poll(yield* Looked.executionId(failing));
        assert.ok(Option.isSome(found) && found.value._tag === "Complete");
        assertDeclined(found.value.exit, 3);
      }).pipe(Effect.provide(live));
    }),
  );
};
