/**
 * What each adapter makes of a peer, so that one client drives them all: client and worker in one
 * process, as a small service has them. An adapter has no clock and no loop of its own.
 */

/** Said by the code of an execution that waits. */
export interface Milestones {
  readonly parked: () => void;
  /** When the code went on, in milliseconds since 1970; now, if left out. */
  readonly resumed: (atMs?: number) => void;
}

export interface Waiting {
  readonly send: () => Promise<unknown>;
  /** Resolves with 1 when the execution has ended. */
  readonly result: Promise<unknown>;
}

export interface Peer {
  /** Runs an execution whose steps return 1, 2, 3 and so on; resolves with their sum. */
  readonly steps: (count: number, ballast: string) => Promise<unknown>;
  /** Starts an execution that waits for a signal; they are started one after another. */
  readonly wait?: (milestones: Milestones) => Promise<Waiting>;
  /** How many steps have run in this process. */
  readonly performed: () => number;
  /** How many executions have ended according to what the peer has stored. */
  readonly completed: () => Promise<number>;
  readonly close: () => Promise<void>;
}

export type Open<Settings> = (settings: Settings) => Promise<Peer>;

/** Milliseconds since 1970, finer than `Date.now`. */
export const wallMs = (): number => performance.timeOrigin + performance.now();

export const sumTo = (count: number): number => count * (count + 1) / 2;
