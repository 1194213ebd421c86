/** The page on ActionQueue names each of its areas and defects, and a test of ours for each. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

/** The sources may lie elsewhere, compiled. */
const repository = (folder = dirname(fileURLToPath(import.meta.url))): string =>
  existsSync(join(folder, "README.md")) ? folder : repository(dirname(folder));
const root = repository();
const page = "docs/actionqueue.md";

/** Its tests as its specification names them, and its defects that we know of. */
const areas = `
  serde_roundtrip once_accounting repeat_accounting derive_repeat_boundaries
  proptest_run_accounting cron_scheduling run_instance_invariants proptest_state_machine
  state_transitions negative_transitions attempt_lineage handler_output_roundtrip retry_cap
  proptest_retry suspend_resume executor timeout codec proptest_wal_replay wal_partial_record
  concurrent_mutation_boundary wal_sequence_monotonicity_across_crashes mutation_authority
  multi_mutation_session fs_writer snapshot_corruption_recovery wal_corruption_recovery
  snapshot_model_parity workflow_crash_recovery dag_snapshot_recovery budget_recovery
  ledger_recovery kill_recovery dispatch_invariants concurrent_dispatch_stress engine_lifecycle
  selection_default lease_exclusive lease_expiry concurrency_same_key concurrency_diff_key
  suspended_concurrency_key dag_ordering dag_failure_propagation dag_cycle_rejection
  hierarchy_lifecycle dynamic_submission coordinator_multi_attempt budget_enforcement
  budget_replenishment cascading_budget budget_threshold_suspension
  subscription_triggered_promotion custom_event_subscription budget_threshold_subscription
  actor_registration capability_matching department_routing remote_actor_crash rbac_enforcement
  multi_tenant_isolation approval_workflow triad_mvp http_read_api cli_smoke observability
  metrics_parity
`.trim().split(/\s+/);
const defects = Array.from({ length: 12 }, (_, i) => `A${i + 1}`);

/** What is being built; whoever finishes it replaces the word by the test. */
const unfinished = "(in progress)";

interface Row {
  readonly name: string;
  readonly cells: ReadonlyArray<string>;
  readonly proofs: ReadonlyArray<{ readonly file: string; readonly title: string }>;
}

const rows = readFileSync(join(root, page), "utf8").split("\n").flatMap((line): Array<Row> => {
  const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
  const [, name] = /^`([a-zA-Z0-9_]+)`$/.exec(cells[0] ?? "") ?? [];
  if (name === undefined || cells.length < 3) return [];
  const proofs = [...cells.at(-1)!.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)].map((
    [, title = "", target = ""],
  ) => ({ title, file: join(dirname(page), target) }));
  return [{ name, cells, proofs }];
});

/** The titles of the tests of a file, where they stand as text. */
const titlesOf = (file: string): ReadonlyArray<string> =>
  [
    ...readFileSync(join(root, file), "utf8").matchAll(
      /\b(?:it|test)\(\s*(?:"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g,
    ),
  ].map(([, plain, template]) => plain ?? template!);

describe("the page on ActionQueue", () => {
  it("has each area and each defect once", () => {
    assert.deepEqual(rows.map(({ name }) => name).sort(), [...areas, ...defects].sort());
  });

  it("shows each by a test, or says that it is being built", () => {
    const bare = rows.filter(({ cells, proofs }) =>
      proofs.length === 0 && !cells.at(-1)!.includes(unfinished)
    );
    assert.deepEqual(bare.map(({ name }) => name), []);
  });

  it("names tests that there are", () => {
    const missing = rows.flatMap(({ name, proofs }) =>
      proofs.filter(({ file, title }) =>
        !file.startsWith("tests/") || !existsSync(join(root, file)) || title.length < 11 ||
        !titlesOf(file).some((each) => each.includes(title))
      ).map(({ file, title }) => `${name}: ${file}: ${title}`)
    );
    assert.deepEqual(missing, []);
  });
});
