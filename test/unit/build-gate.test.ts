import { expect, test } from "bun:test";
import { readReport } from "../../scripts/test-report.ts";

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="6" assertions="2" failures="2" skipped="2" time="0.2">
  <testsuite name="test/unit/a.test.ts" file="test/unit/a.test.ts" tests="5" failures="1" skipped="2">
    <testsuite name="outer" file="test/unit/a.test.ts" line="2" tests="5" failures="1" skipped="2">
      <testcase name="passes &amp; &lt;well&gt;" classname="outer" time="0.00003" file="test/unit/a.test.ts" line="3" assertions="1" />
      <testcase name="mounts (needs root)" classname="outer" time="0" file="test/unit/a.test.ts" line="4" assertions="0">
        <skipped />
      </testcase>
      <testcase name="is to come" classname="outer" time="0" file="test/unit/a.test.ts" line="6" assertions="0">
        <skipped message="TODO" />
      </testcase>
      <testsuite name="inner" file="test/unit/a.test.ts" line="7" tests="2" failures="1" skipped="0">
        <testcase name="fails" classname="inner &gt; outer" time="0.000072" file="test/unit/a.test.ts" line="7" assertions="1">
          <failure type="AssertionError" message="&lt;skipped /&gt;&#10;">AssertionError: &lt;testcase&gt;&#10;</failure>
        </testcase>
        <testcase name="also passes" classname="inner &gt; outer" time="0.000004" file="test/unit/a.test.ts" line="7" assertions="0" />
      </testsuite>
    </testsuite>
  </testsuite>
  <testsuite name="test/unit/b.test.ts" file="test/unit/b.test.ts" tests="1" failures="1" skipped="0">
    <testcase name="hangs" classname="" time="0.2" file="test/unit/b.test.ts" line="1" assertions="0">
      <failure type="TimeoutError" message="test timed out" />
    </testcase>
  </testsuite>
</testsuites>`;

test("the report of the tests is counted by name, groups from the outside in", () => {
  expect(readReport(report)).toEqual({
    passed: 2,
    failed: ["test/unit/a.test.ts: outer > inner > fails", "test/unit/b.test.ts: hangs"],
    skipped: ["test/unit/a.test.ts: outer > mounts (needs root)", "test/unit/a.test.ts: outer > is to come (TODO)"],
    files: new Set(["test/unit/a.test.ts", "test/unit/b.test.ts"]),
  });
});

test("a report without tests counts nothing", () => {
  expect(readReport(`<testsuites name="bun test" tests="0" />`)).toEqual({ passed: 0, failed: [], skipped: [], files: new Set() });
});
