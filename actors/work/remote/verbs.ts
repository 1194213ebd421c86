/**
 * What remote workers ask, and what they are answered. What was stored is answered as it was stored; a
 * refusal is given by nobody but the keeper that the log says is one, since another may know better.
 */
import * as Effect from "effect/Effect";
import type { ErrandOutcome } from "../../../schema/errand_record.ts";
import {
  isRemoteVerb,
  missedHeartbeats,
  readRemoteRequest,
  refusal,
  type RemoteRefusal,
  type RemoteRequest,
  type RemoteVerb,
} from "../../../schema/remote_protocol.ts";
import type { ReadError } from "../../../streams/log.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import type { Keeper, KeepError } from "./keeper.ts";
import { type Errand, isClaimed, type Registered } from "./known.ts";

type Answer = { readonly ok: true } & Readonly<Record<string, unknown>> | RemoteRefusal;
type Answering = Effect.Effect<Answer, KeepError>;

const notRegistered = refusal(
  "not_registered",
  "no worker is registered under this session; register again, what it had is lost",
);
const leaseLost = (step: string, fence: number) =>
  refusal("lease_lost", `${step} is not held under the fence ${fence}, or is not wanted any more`);

type Steps = { readonly session: string; readonly step: string; readonly fence: number };

/** Whether this worker was the last to have it, by that fence. */
const isHis = ({ record }: Errand, { session, fence }: Steps): boolean =>
  record !== undefined && record.fence === fence && record.session === session;

export class Verbs {
  readonly #keeper: Keeper;
  readonly #clock: ServerClock["Service"];
  readonly #isOwned: Effect.Effect<boolean, ReadError>;

  constructor(
    keeper: Keeper,
    clock: ServerClock["Service"],
    isOwned: Effect.Effect<boolean, ReadError>,
  ) {
    this.#keeper = keeper;
    this.#clock = clock;
    this.#isOwned = isOwned;
  }

  /** The answer to a request; none, if it is another's to answer. */
  answer(verb: string, body: string): Effect.Effect<string | undefined, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const answer = yield* Effect.catchTag(
        this.#said(verb, body),
        "PayloadTooLarge",
        ({ message }) => Effect.succeed(refusal("too_large", message)),
      );
      return answer.ok || (yield* this.#isOwned) ? JSON.stringify(answer) : undefined;
    });
  }

  /** The answer to who looks after remote workers; none, if it is another's to answer. */
  control(verb: string, name: string): Effect.Effect<string | undefined, KeepError> {
    const keeper = this.#keeper;
    return keeper.inTurn(Effect.gen({ self: this }, function* () {
      if (!(yield* this.#isOwned)) return undefined;
      const worker = keeper.byName(name);
      if (verb === "deregister") {
        if (worker !== undefined) yield* keeper.end(worker, "removed");
        return JSON.stringify(worker !== undefined);
      }
      const steps = [...worker?.has ?? []].flatMap(({ step, record, leaseUntil }) =>
        record === undefined
          ? []
          : [{ step, execution: record.execution, fence: record.fence, leaseUntil }]
      );
      return JSON.stringify(worker === undefined ? null : { aliveUntil: worker.aliveUntil, steps });
    }));
  }

  #said(verb: string, body: string): Answering {
    if (!isRemoteVerb(verb)) {
      return Effect.succeed(refusal("invalid_request", `there is no verb ${verb}`));
    }
    const request = readRemoteRequest(verb, body);
    return "ok" in request ? Effect.succeed(request) : this.#do(verb, request);
  }

  #do<Verb extends RemoteVerb>(verb: Verb, request: RemoteRequest<Verb>): Answering {
    const verbs: { readonly [Verb in RemoteVerb]: (request: RemoteRequest<Verb>) => Answering } = {
      register: (request) => this.#register(request),
      heartbeat: (request) => this.#heartbeat(request),
      claim: (request) => this.#claim(request),
      report: ({ progress, ...of }) =>
        this.#held(of, (errand) => this.#keeper.progress(errand, progress)),
      finish: ({ output, ...of }) =>
        this.#end(of, { type: "success", ...(output === undefined ? {} : { value: output }) }),
      fail: ({ error: { name = "RemoteError", ...error }, ...of }) =>
        this.#end(of, { type: "failure", failure: { name, ...error } }),
      release: (of) => this.#held(of, (errand) => this.#keeper.release(errand)),
      deregister: ({ session }) =>
        this.#inTurn(
          session,
          (worker) => Effect.as(this.#keeper.end(worker, "deregistered"), { ok: true }),
        ),
    };
    return verbs[verb](request);
  }

  #register(request: RemoteRequest<"register">): Answering {
    const keeper = this.#keeper;
    if (request.tenant !== undefined && request.tenant !== keeper.tenant) {
      const message = `register: this is the tenant ${keeper.tenant}, and not ${request.tenant}`;
      return Effect.succeed(refusal("invalid_request", message));
    }
    return Effect.map(
      keeper.inTurn(keeper.register(request)),
      ({ record: { session, heartbeatMs } }) => ({
        ok: true,
        session,
        heartbeatMs,
        goneAfterMs: missedHeartbeats * heartbeatMs,
      }),
    );
  }

  /** Has something done for a worker that is registered, unless it is done already. */
  #inTurn(
    session: string,
    use: (worker: Registered, now: number) => Answering,
    isDone: () => boolean = () => false,
  ): Answering {
    const keeper = this.#keeper;
    return Effect.flatMap(this.#clock.now, (now) => {
      // It is alive from when it was heard, however long others are served before it.
      const known = keeper.bySession(session);
      if (known !== undefined) keeper.heard(known, now);
      return keeper.inTurn(Effect.suspend(() => {
        if (isDone()) return Effect.succeed<Answer>({ ok: true });
        const worker = keeper.bySession(session);
        return worker === undefined ? Effect.succeed(notRegistered) : use(worker, now);
      }));
    });
  }

  #heartbeat({ session, steps = [] }: RemoteRequest<"heartbeat">): Answering {
    const keeper = this.#keeper;
    return this.#inTurn(session, (worker, now) => {
      const lost: Array<string> = [];
      for (const { step, fence } of steps) {
        const errand = keeper.errand(step);
        const has = errand !== undefined && isClaimed(errand) &&
          isHis(errand, { session, step, fence });
        if (has) keeper.extend(errand, now);
        else lost.push(step);
      }
      return Effect.as(keeper.noteAlive(worker, now), { ok: true, lost });
    });
  }

  #claim({ session, waitMs = 0 }: RemoteRequest<"claim">): Answering {
    const keeper = this.#keeper;
    return Effect.flatMap(this.#clock.now, (now) => {
      const worker = keeper.bySession(session);
      if (worker === undefined) return Effect.succeed(notRegistered);
      keeper.heard(worker, now);
      return Effect.map(
        keeper.ask(worker, waitMs),
        (given) =>
          given === "gone" ? notRegistered : { ok: true, step: given === "nothing" ? null : given },
      );
    });
  }

  /** Has something done with an errand that the worker has, unless it is done already. */
  #held(
    of: Steps,
    use: (errand: Errand) => Effect.Effect<void, KeepError>,
    isDone: () => boolean = () => false,
  ): Answering {
    return this.#inTurn(of.session, (_, now) => {
      const errand = this.#keeper.errand(of.step);
      if (errand === undefined || !isClaimed(errand) || !isHis(errand, of)) {
        return Effect.succeed(leaseLost(of.step, of.fence));
      }
      this.#keeper.extend(errand, now);
      return Effect.as(use(errand), { ok: true });
    }, isDone);
  }

  /** Ends an errand. */
  #end(of: Steps, outcome: ErrandOutcome): Answering {
    const keeper = this.#keeper;
    return this.#held(of, (errand) => keeper.finish(errand, outcome), () => this.#hasEnded(of));
  }

  /** Whether he has ended it: who was not answered, and says so again, is answered the same. */
  #hasEnded(of: Steps): boolean {
    const errand = this.#keeper.errand(of.step);
    return errand?.record?.state === "ended" && isHis(errand, of);
  }
}
