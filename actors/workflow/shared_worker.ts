/**
 * The workers of a process's workflows: those that are registered in one turn of the event loop share
 * one. When one of them is no longer to be served, their worker is drained, and those that are left
 * have another a moment later; who ends all of them at once begins nothing again.
 */
import * as Cause from "effect/Cause";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { nextTurn } from "../engine/next_turn.ts";
import type { ActorCode } from "../engine/operations.ts";

/** Starts a worker that serves until the scope ends. */
export type Start = (
  codes: ReadonlyArray<ActorCode>,
) => Effect.Effect<unknown, never, Scope.Scope>;

/** Serves a workflow until the scope ends. */
export type Serve = (code: ActorCode) => Effect.Effect<void, never, Scope.Scope>;

interface Member {
  readonly code: ActorCode;
  readonly served: Deferred.Deferred<void>;
  group: Group;
}

interface Group {
  readonly members: Set<Member>;
  readonly scope: Scope.Closeable;
  readonly ended: Deferred.Deferred<void>;
  isEnding: boolean;
}

/** Until then whoever ends everything has come to the others. */
const beforeNext = "1 second";

const turn = Effect.callback<void>((resume) => {
  const takeBack = nextTurn(() => resume(Effect.void));
  return Effect.sync(takeBack);
});

export const make = Effect.fnUntraced(function* (start: Start) {
  const scope = yield* Effect.scope;
  let gathering: Group | undefined;

  const launch = Effect.fnUntraced(function* (group: Group) {
    yield* turn;
    if (gathering === group) gathering = undefined;
    if (group.members.size === 0) return;
    const exit = yield* Effect.exit(start(Array.from(group.members, ({ code }) => code)));
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return;
    for (const { served } of group.members) Deferred.doneUnsafe(served, Exit.asVoid(exit));
  });

  /** The group that gathers now, if it has nobody of that name. */
  const groupFor = Effect.fnUntraced(function* ({ name }: ActorCode) {
    const isFree = gathering !== undefined &&
      Array.from(gathering.members).every(({ code }) => code.name !== name);
    if (gathering !== undefined && isFree) return gathering;
    const group: Group = {
      members: new Set(),
      scope: yield* Scope.fork(scope),
      ended: Deferred.makeUnsafe(),
      isEnding: false,
    };
    gathering = group;
    yield* Effect.forkIn(Scope.provide(launch(group), group.scope), group.scope);
    return group;
  });

  const join = Effect.fnUntraced(function* (code: ActorCode) {
    const group = yield* groupFor(code);
    const member: Member = { code, served: Deferred.makeUnsafe(), group };
    group.members.add(member);
    return member;
  });

  const joinAgain = Effect.fnUntraced(function* (members: Set<Member>) {
    for (const member of members) {
      const group = yield* groupFor(member.code);
      // It may have left meanwhile.
      if (!members.delete(member)) continue;
      group.members.add(member);
      member.group = group;
    }
  });

  const leave = Effect.fnUntraced(function* (member: Member) {
    const { group } = member;
    group.members.delete(member);
    if (group.isEnding) return yield* Deferred.await(group.ended);
    group.isEnding = true;
    if (gathering === group) gathering = undefined;
    yield* Deferred.into(Scope.close(group.scope, Exit.void), group.ended);
    yield* Effect.forkIn(Effect.delay(joinAgain(group.members), beforeNext), scope);
  });

  const serve: Serve = (code) =>
    Effect.flatMap(
      Effect.acquireRelease(join(code), leave),
      ({ served }) => Deferred.await(served),
    );
  return serve;
});
