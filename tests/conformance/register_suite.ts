/** The contract of registers, on whichever log. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { record } from "../../schema/record.ts";
import { Log } from "../../streams/log.ts";
import * as Register from "../../streams/register.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { body, type Run, tenant, uniqueExecution } from "./subject_matter.ts";

const counter = record(
  1,
  Schema.Union([Schema.Struct({ kind: Schema.tag("counter"), count: Schema.Int })]),
);

const scene = Effect.gen(function* () {
  const log = yield* Log;
  return {
    log,
    register: Register.make(log, "budget", counter),
    address: executionAddress(log.layout, tenant, uniqueExecution()),
  };
});

type Counter = { readonly kind: "counter"; readonly count: number };

const add = (by: number) => ({ value }: Register.Held<Counter>) => {
  const count = (value?.count ?? 0) + by;
  return Effect.succeed({ result: count, next: { kind: "counter" as const, count } });
};

export const registerSuite = (name: string, run: Run<Log>) => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Log>) =>
    it(title, () => run(Effect.asVoid(effect)));

  describe(`registers: ${name}`, () => {
    test(
      "what never was is held as nothing, and a change begins it",
      Effect.gen(function* () {
        const { register, address } = yield* scene;
        assert.deepEqual(yield* register.read(address), { value: undefined, revision: 0, at: 0 });
        assert.equal(yield* register.revise(address, add(3)), 3);
        const held = yield* register.read(address);
        assert.deepEqual(held.value, { kind: "counter", count: 3 });
        assert.ok(held.revision > 0 && held.at > 0);
      }),
    );

    test(
      "of many who change it at once, each builds on another, and none is lost",
      Effect.gen(function* () {
        const { log, address } = yield* scene;
        // Each has a register of its own, as processes do, so that only the server keeps them apart.
        const registers = Array.from({ length: 24 }, () => Register.make(log, "budget", counter));
        const results = yield* Effect.forEach(
          registers,
          (register) => register.revise(address, add(1)),
          { concurrency: "unbounded" },
        );
        assert.deepEqual(
          [...results].sort((a, b) => a - b),
          Array.from({ length: 24 }, (_, i) => i + 1),
        );
      }),
    );

    test(
      "what is decided to stay is not stored",
      Effect.gen(function* () {
        const { register, address } = yield* scene;
        yield* register.revise(address, add(1));
        const { revision } = yield* register.read(address);
        const result = yield* register.revise(address, () => Effect.succeed({ result: "kept" }));
        assert.equal(result, "kept");
        assert.equal((yield* register.read(address)).revision, revision);
      }),
    );

    test(
      "what is stored along is stored with it, or neither is",
      Effect.gen(function* () {
        const { log, register, address } = yield* scene;
        const mail = { kind: "mail", body: body("along"), guard: { after: 0 } } as const;
        const withMail = (held: Register.Held<Counter>) =>
          Effect.map(add(1)(held), (revised) => ({ ...revised, along: [mail] }));
        assert.equal(yield* register.revise(address, withMail), 1);
        const held = yield* register.read(address);
        const [mailbox] = [...(yield* log.lastSequences(address, ["mail"])).values()];
        assert.equal(mailbox, held.revision + 1);

        const refused = yield* Effect.flip(register.revise(address, withMail));
        assert.match(refused._tag, /AlreadyExists|SequenceConflict/);
        assert.deepEqual(yield* register.read(address), held);
      }),
    );

    test(
      "a change that fails stores nothing",
      Effect.gen(function* () {
        const { register, address } = yield* scene;
        assert.equal(yield* Effect.flip(register.revise(address, () => Effect.fail("no"))), "no");
        assert.equal((yield* register.read(address)).revision, 0);
      }),
    );
  });
};
