/**
 * The contract of `EventStore`, as it must be kept on every log. A log's test file calls it with the
 * log and its surroundings; nothing here knows which one it is.
 */
import { appendSuite } from "./event_store/append.ts";
import { expectationSuite } from "./event_store/expectation.ts";
import { foreignRecordsSuite } from "./event_store/foreign_records.ts";
import { journalSuite } from "./event_store/journal.ts";
import { listingSuite } from "./event_store/listing.ts";
import type { Services } from "./event_store/matter.ts";
import type { Run } from "./subject_matter.ts";

export const eventStoreSuite = (name: string, run: Run<Services>): void => {
  appendSuite(name, run);
  expectationSuite(name, run);
  foreignRecordsSuite(name, run);
  journalSuite(name, run);
  listingSuite(name, run);
};
