/**
 * What passes between a party and the server, by purpose. Pulls, sessions, readings of the server's
 * clock, words of patience and the index are left out: they go by time or in batches, not by
 * executions.
 */
import { setTimeout as pause } from "node:timers/promises";
import { type Frame, startProxy } from "../../tests/fixtures/proxy.ts";
import { eventually } from "../../tests/fixtures/server.ts";

/** How often each purpose was met: `append` and a kind of record, `read`, `offer` and so on. */
export type Traffic = ReadonlyMap<string, number>;

/** A way to the server that counts. */
export interface Counter {
  readonly url: string;
  readonly counts: Traffic;
  /** Records of sessions, which are not among the counts. */
  readonly sessions: () => number;
  readonly stop: () => Promise<void>;
}

const isByTime = /^\$JS\.API\.(CONSUMER\.MSG\.NEXT|STREAM\.INFO)\./;
const isOfIndex = /-list(\.|$)/;
const isOfMailbox = /^\$JS\.ACK\.[^.]+\.(mail|lane)-/;

/** What a client sends a frame for; nothing for what is not counted. */
const purposeOf = ({ verb, words, payload }: Frame): string | undefined => {
  const subject = words[0];
  if ((verb !== "PUB" && verb !== "HPUB") || subject === undefined) return undefined;
  if (isByTime.test(subject) || isOfIndex.test(subject) || payload.startsWith("+WPI")) {
    return undefined;
  }
  if (subject.startsWith("$JS.ACK.")) return "verdict";
  if (subject.startsWith("$JS.API.")) return "read";
  if (subject.startsWith("_INBOX.")) return undefined;
  const [first, second, third] = subject.split(".");
  if (first?.endsWith("-worker")) return "hand-over";
  const kind = first === "$KV" ? third : second;
  return `append ${kind}`;
};

const isOffer = ({ verb, words }: Frame): boolean =>
  (verb === "MSG" || verb === "HMSG") && words.some((word) => isOfMailbox.test(word));

export const countTraffic = async (serverPort: number): Promise<Counter> => {
  const counts = new Map<string, number>();
  let sessions = 0;
  const add = (purpose: string) => counts.set(purpose, (counts.get(purpose) ?? 0) + 1);
  const proxy = await startProxy(serverPort);
  proxy.toServer = (frame) => {
    const purpose = purposeOf(frame);
    if (purpose === "append worker") sessions++;
    else if (purpose !== undefined) add(purpose);
    return "pass";
  };
  proxy.toClient = (frame) => {
    if (isOffer(frame)) add("offer");
    return "pass";
  };
  return { url: proxy.url, counts, sessions: () => sessions, stop: proxy.stop };
};

/** Returns when nothing has passed for a while. */
export const quiet = async (counters: ReadonlyArray<Counter>): Promise<void> => {
  let seen = "";
  await eventually("nothing passes", async () => {
    const now = JSON.stringify(counters.map(({ counts }) => [...counts]));
    if (now === seen) return true;
    seen = now;
    await pause(250);
    return undefined;
  });
};
