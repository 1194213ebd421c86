/**
 * Who is given what: the errands that wait and the workers that ask for one, matched by what is needed.
 * Errands that need the same wait in one line, and each worker knows the lines that it suffices for, so
 * that nobody looks at all that wait. It is pure: it knows no time and stores nothing.
 */
import { type RemoteNeeds, suffices } from "../../../schema/remote_needs.ts";
import { Heap } from "../queue/waiting_line.ts";

/** An errand that waits. */
export interface Waiting extends RemoteNeeds {
  readonly id: string;
  /** The greater comes first. */
  readonly priority: number;
  /** Its place among those of the same priority, which it keeps if it is taken back. */
  readonly order: number;
}

/** A worker that is registered. */
export interface Member extends RemoteNeeds {
  readonly id: string;
}

/** An errand, and who asked for one. */
export interface Match {
  readonly errand: Waiting;
  readonly seeker: number;
}

interface Line {
  readonly key: string;
  readonly needs: RemoteNeeds;
  /** Under which it is found by who joins: a capability that it needs, or none. */
  readonly token: string;
  readonly waiting: Heap<Waiting>;
  readonly workers: Set<Joined>;
  /** Who asks, by the number of the question. */
  readonly seekers: Map<number, Joined>;
}

interface Joined {
  readonly member: Member;
  readonly lines: Set<Line>;
  readonly seekers: Set<number>;
}

const isBefore = (a: Waiting, b: Waiting): boolean =>
  a.priority > b.priority || (a.priority === b.priority && a.order < b.order);

const needNothing = "";

const lineKey = ({ capabilities, department = "" }: RemoteNeeds): string =>
  [...[...new Set(capabilities)].sort(), ` ${department}`].join();

export class Pool {
  readonly #waiting = new Map<string, Waiting>();
  readonly #lines = new Map<string, Line>();
  readonly #linesByToken = new Map<string, Set<Line>>();
  readonly #members = new Map<string, Joined>();
  readonly #membersByToken = new Map<string, Set<Joined>>();
  readonly #seekers = new Map<number, Joined>();
  /** The lines in which somebody waits and for which somebody asks. */
  readonly #ready = new Set<Line>();

  get size(): number {
    return this.#waiting.size;
  }

  enter(errand: Waiting): void {
    this.#waiting.set(errand.id, errand);
    const line = this.#lines.get(lineKey(errand)) ?? this.#open(errand);
    line.waiting.push(errand);
    this.#update(line);
  }

  /** Takes out one that waits no more; what is taken out lazily leaves the line when it is met. */
  remove(id: string): void {
    const errand = this.#waiting.get(id);
    if (errand === undefined) return;
    this.#waiting.delete(id);
    const line = this.#lines.get(lineKey(errand));
    if (line !== undefined) this.#update(line);
  }

  /** A worker is there; or the same worker can do something else now. */
  join(member: Member): void {
    const seekers = [...this.#members.get(member.id)?.seekers ?? []];
    this.leave(member.id);
    const joined: Joined = { member, lines: new Set(), seekers: new Set() };
    this.#members.set(member.id, joined);
    for (const token of [needNothing, ...new Set(member.capabilities)]) {
      put(this.#membersByToken, token, joined);
      for (const line of this.#linesByToken.get(token) ?? []) {
        if (suffices(line.needs, member)) this.#tie(line, joined);
      }
    }
    for (const seeker of seekers) this.seek(member.id, seeker);
  }

  leave(id: string): void {
    const joined = this.#members.get(id);
    if (joined === undefined) return;
    for (const seeker of [...joined.seekers]) this.unseek(seeker);
    this.#members.delete(id);
    for (const line of joined.lines) line.workers.delete(joined);
    for (const token of [needNothing, ...joined.member.capabilities]) {
      drop(this.#membersByToken, token, joined);
    }
  }

  /** A worker asks for something to do, under a number that grows. */
  seek(id: string, seeker: number): void {
    const joined = this.#members.get(id);
    if (joined === undefined) return;
    joined.seekers.add(seeker);
    this.#seekers.set(seeker, joined);
    for (const line of joined.lines) {
      line.seekers.set(seeker, joined);
      this.#update(line);
    }
  }

  /** Says whether it still asked. */
  unseek(seeker: number): boolean {
    const joined = this.#seekers.get(seeker);
    if (joined === undefined) return false;
    this.#seekers.delete(seeker);
    joined.seekers.delete(seeker);
    for (const line of joined.lines) {
      line.seekers.delete(seeker);
      this.#update(line);
    }
    return true;
  }

  /** Takes out the next errand that somebody asks for, and who does. */
  match(): Match | undefined {
    const [line] = this.#ready;
    const [asked] = line?.seekers ?? [];
    if (asked === undefined) return undefined;
    const [seeker, joined] = asked;
    let best: { readonly line: Line; readonly errand: Waiting } | undefined;
    for (const each of joined.lines) {
      const errand = this.#firstOf(each);
      if (errand !== undefined && (best === undefined || isBefore(errand, best.errand))) {
        best = { line: each, errand };
      }
    }
    if (best === undefined) return undefined;
    best.line.waiting.pop();
    this.#waiting.delete(best.errand.id);
    this.unseek(seeker);
    this.#update(best.line);
    return { errand: best.errand, seeker };
  }

  #open({ capabilities, department }: Waiting): Line {
    const needs = { capabilities: [...new Set(capabilities)].sort(), department };
    const [token = needNothing] = needs.capabilities;
    const line: Line = {
      key: lineKey(needs),
      needs,
      token,
      waiting: new Heap(isBefore),
      workers: new Set(),
      seekers: new Map(),
    };
    this.#lines.set(line.key, line);
    put(this.#linesByToken, token, line);
    const rarest = [token, ...needs.capabilities]
      .map((each) => this.#membersByToken.get(each) ?? new Set<Joined>())
      .reduce((a, b) => b.size < a.size ? b : a);
    for (const joined of rarest) if (suffices(needs, joined.member)) this.#tie(line, joined);
    return line;
  }

  /** Who asks has asked in the order of the numbers, whatever the order of the lines. */
  #tie(line: Line, joined: Joined): void {
    joined.lines.add(line);
    line.workers.add(joined);
    if (joined.seekers.size === 0) return;
    const all = [...line.seekers, ...[...joined.seekers].map((each) => [each, joined] as const)]
      .sort(([a], [b]) => a - b);
    line.seekers.clear();
    for (const [seeker, by] of all) line.seekers.set(seeker, by);
  }

  #firstOf(line: Line): Waiting | undefined {
    for (;;) {
      const first = line.waiting.peek();
      if (first === undefined || this.#waiting.get(first.id) === first) return first;
      line.waiting.pop();
    }
  }

  #update(line: Line): void {
    if (this.#firstOf(line) === undefined) {
      this.#ready.delete(line);
      this.#lines.delete(line.key);
      drop(this.#linesByToken, line.token, line);
      for (const joined of line.workers) joined.lines.delete(line);
    } else if (line.seekers.size > 0) this.#ready.add(line);
    else this.#ready.delete(line);
  }
}

const put = <A>(all: Map<string, Set<A>>, key: string, value: A): void => {
  const found = all.get(key);
  if (found === undefined) all.set(key, new Set([value]));
  else found.add(value);
};

const drop = <A>(all: Map<string, Set<A>>, key: string, value: A): void => {
  const found = all.get(key);
  found?.delete(value);
  if (found?.size === 0) all.delete(key);
};
