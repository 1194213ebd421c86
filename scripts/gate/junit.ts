/**
 * Counts the tests in a JUnit report, the one format that Deno and every Node write. A test is a
 * leaf: an `it`, or a `test` without subtests; suites are not counted, so both runtimes agree.
 * What a report cannot hold (a failing hook, a crash) shows in the exit code alone.
 */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const testCase = /<testcase\b((?:\s+[\w-]+="[^"]*")*)\s*(?:\/>|>([^]*?)<\/testcase>)/g;

/** Deno lists a suite beside its own tests, and tells them apart by name only: `suite > test`. */
const suiteNames = (names: ReadonlyArray<string>): ReadonlySet<string> => {
  const suites = new Set<string>();
  for (const name of names) {
    const path = name.split(" &gt; ");
    for (let length = 1; length < path.length; length++) {
      suites.add(path.slice(0, length).join(" &gt; "));
    }
  }
  return suites;
};

export const countTests = (report: string): Counts => {
  const cases = [...report.matchAll(testCase)].map(([, attributes = "", body = ""]) => ({
    name: /\sname="([^"]*)"/.exec(attributes)?.[1] ?? "",
    body,
  }));
  const suites = report.includes('<testsuites name="deno test"')
    ? suiteNames(cases.map(({ name }) => name))
    : new Set<string>();
  const tests = cases.filter(({ name }) => !suites.has(name));
  const skipped = tests.filter(({ body }) => body.includes("<skipped"));
  const failed = tests.filter(({ body }) =>
    /<(failure|error)\b/.test(body) && !body.includes("<skipped")
  );
  return {
    passed: tests.length - failed.length - skipped.length,
    failed: failed.length,
    skipped: skipped.length,
  };
};
