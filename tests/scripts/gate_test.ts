import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { countTests } from "../../scripts/gate/junit.ts";
import { type Result, runTestFile } from "../../scripts/gate/test_file.ts";

const runShell = (script: string, limitSeconds = 20): Promise<Result> =>
  runTestFile({
    part: "gate",
    name: script,
    program: "sh",
    args: (report) => ["-c", script, "sh", report],
    limitSeconds,
  });

/** A process that ended counts as gone, even when nobody has asked for its exit code yet. */
const isGone = async (id: string): Promise<boolean> => {
  const deadline = performance.now() + 20_000;
  do {
    const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", id.trim()], { encoding: "utf8" });
    if (/^(Z|\s*$)/.test(stdout)) return true;
    await delay(20);
  } while (performance.now() < deadline);
  return false;
};

const writeOnePassed = `echo '<testsuites><testcase name="a"/></testsuites>' > "$1"`;

describe("the tests in a report", () => {
  it("are the leaves of what Node nests", () => {
    const report = `<testsuites>
      <testsuite name="suite" tests="4" failures="2" skipped="2">
        <testcase name="passes /> &lt;" time="0.1" classname="test"/>
        <testcase name="fails" classname="test" failure="no"><failure type="x">no</failure></testcase>
        <testcase name="is skipped"><skipped type="skipped" message="true"/></testcase>
        <testcase name="is to do"><skipped type="todo"/><failure type="x">no</failure></testcase>
        <testsuite name="inner"><testcase name="is cancelled"><failure
          type="cancelledByParent" message="never ended"></failure></testcase></testsuite>
      </testsuite>
    </testsuites>`;
    assert.deepEqual(countTests(report), { passed: 1, failed: 2, skipped: 2 });
  });

  it("are the leaves of what Deno lists side by side", () => {
    const report = `<testsuites name="deno test" tests="6">
      <testsuite name="./a_test.ts">
        <testcase name="suite"><failure message="1 test step failed">…</failure></testcase>
        <testcase name="alone"></testcase>
      </testsuite>
      <testsuite name="ext:deno_node/testing.ts">
        <testcase name="suite &gt; inner"></testcase>
        <testcase name="suite &gt; inner &gt; passes"></testcase>
        <testcase name="suite &gt; inner &gt; is skipped"><skipped/></testcase>
        <testcase name="suite &gt; fails"><failure message="no">no</failure></testcase>
      </testsuite>
    </testsuites>`;
    assert.deepEqual(countTests(report), { passed: 2, failed: 1, skipped: 1 });
  });

  it("are none where there is no report", () => {
    assert.deepEqual(countTests(""), { passed: 0, failed: 0, skipped: 0 });
  });
});

describe("a test file", () => {
  it("passes when its tests do and it ends well", async () => {
    const { passed, failed, problems } = await runShell(writeOnePassed);
    assert.deepEqual({ passed, failed, problems }, { passed: 1, failed: 0, problems: [] });
  });

  it("fails when it ends badly though no test failed", async () => {
    const { failed, problems } = await runShell(`${writeOnePassed}; exit 3`);
    assert.equal(failed, 1);
    assert.match(problems.join(), /ended with 3/);
  });

  it("fails when a signal ends it, and says which", async () => {
    const { problems } = await runShell(`${writeOnePassed}; kill -KILL $$`);
    assert.match(problems.join(), /ended with SIGKILL/);
  });

  it("fails when it runs no test", async () => {
    assert.match((await runShell("true")).problems.join(), /ran no test/);
  });

  it("fails when it overstays its limit, and ends with all that it started", async () => {
    const { failed, problems, output } = await runShell("sleep 300 & echo $!; wait", 1);
    assert.equal(failed, 1);
    assert.match(problems.join(), /did not end within 1 s/);
    assert.ok(await isGone(output));
  });

  if (process.platform === "linux") {
    it("fails when it leaves a process behind, which is then ended", async () => {
      const leave = `setsid sh -c 'echo $$; exec sleep 300' >"$1.id" 2>&1 &`;
      const wait = `while [ ! -s "$1.id" ]; do :; done; cat "$1.id"`;
      const { failed, problems, output } = await runShell(`${writeOnePassed}; ${leave} ${wait}`);
      assert.equal(failed, 1);
      assert.match(problems.join(), /left processes: \d+ sleep 300/);
      assert.ok(await isGone(output));
    });
  }
});
