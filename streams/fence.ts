/**
 * The fence of one activation: the exact lease key and the revision that the server checks on each
 * owner write. It is captured when the lease is claimed and handed on by reference, never looked up
 * by execution id, so that two activations in one process cannot borrow each other's. It grants
 * nothing by itself; only the server's verdict counts.
 */
export class Fence {
  /** The lease key, as a subject. */
  readonly subject: string;
  /** Drawn at random for each acquisition; every record of this activation carries it. */
  readonly nonce: string;
  #revision: number;
  #written = 0;
  #lost = false;

  constructor(subject: string, nonce: string, revision: number) {
    this.subject = subject;
    this.nonce = nonce;
    this.#revision = revision;
  }

  /** The lease revision that owner writes expect. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether the server has already refused this fence; nothing can bring it back. */
  get lost(): boolean {
    return this.#lost;
  }

  /** A message id that no other activation can produce. */
  nextId(): string {
    return `${this.nonce}.${this.#written++}`;
  }

  /** The owner's own renewal moved the revision. */
  advance(revision: number): void {
    this.#revision = revision;
  }

  /** The server refused the fence, or the owner gave the lease up. */
  lose(): void {
    this.#lost = true;
  }
}

/** The nonce of the owner that wrote a message id, or nothing for a client's id. */
export const nonceOfId = (id: string): string | undefined => {
  const dot = id.indexOf(".");
  return dot === -1 ? undefined : id.slice(0, dot);
};
