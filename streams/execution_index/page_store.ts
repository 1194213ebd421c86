/**
 * Where the index keeps its pages: one stream per shard beside the log, each page under its key and
 * replaced as a whole. Writes are all or nothing and refused if a page has moved on, so that two
 * projectors cannot mix; whatever is in it can be built anew from the log.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type { NoSpace } from "../../schema/errors.ts";
import type { ReadError } from "../log.ts";

/** A page as it is stored. */
export interface StoredPage {
  /** Empty, if the page is on its way out. */
  readonly body: Uint8Array;
  /** Changes with each write of the page; 0 stands for a page that is not there. */
  readonly revision: number;
  /** By the server's clock. */
  readonly at: number;
}

export interface PageWrite {
  readonly key: string;
  /** What the page must still be at. */
  readonly revision: number;
  /** Nothing if the page is to go. */
  readonly body: Uint8Array | undefined;
}

/** An execution that is to leave the index. */
export interface ForgetMark {
  readonly life: number;
  readonly sequence: number;
}

export type StoreError = ReadError | NoSpace;

/** The most pages, and bytes, that one write holds. */
export const maxWritePages = 900;
export const maxWriteBytes = 8 * 1024 * 1024;

export class PageStore extends Context.Service<PageStore, {
  /** Creates what is missing of the store. */
  readonly prepare: (shard: number) => Effect.Effect<void, StoreError>;
  /** Those of the pages that exist; from any replica, or as the leader has them. */
  readonly read: (
    shard: number,
    keys: ReadonlyArray<string>,
    from: "any" | "leader",
  ) => Effect.Effect<ReadonlyMap<string, StoredPage>, StoreError>;
  /** Stores all pages and gives the last one's revision; or none, if one of them has moved on. */
  readonly write: (
    shard: number,
    writes: ReadonlyArray<PageWrite>,
  ) => Effect.Effect<number | undefined, StoreError>;
  /** Removes all pages, and no mark. */
  readonly clear: (shard: number) => Effect.Effect<void, StoreError>;
  readonly mark: (shard: number, life: number) => Effect.Effect<void, StoreError>;
  /** Some of the marks, oldest first. */
  readonly marks: (shard: number) => Effect.Effect<ReadonlyArray<ForgetMark>, StoreError>;
  /** Removes the marks up to one. */
  readonly unmark: (shard: number, upTo: ForgetMark) => Effect.Effect<void, StoreError>;
}>()("@weir/weir/streams/PageStore") {}
