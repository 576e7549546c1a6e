/** Which tests failed, from what the runners print: pytest, unittest, node --test. */
export interface FailedTest {
  id: string
  message: string
}

const LISTED = 50
const FORMS: readonly ((line: string) => FailedTest | null)[] = [
  // FAILED tests/test_a.py::test_x - KeyError: 'k'
  form(/^(?:FAILED|ERROR) (\S+\.py(?:::.+?)?)(?: - (.*))?$/),
  // FAIL: test_x (tests.test_a.Case.test_x)
  form(/^(?:FAIL|ERROR): (.+ \([\w.]+\))(?: .*)?$/),
  // not ok 3 - adds numbers
  form(/^\s*not ok \d+ - (.+?)(?: # .*)?$/),
  // ✖ adds numbers (1.2ms)
  form(/^\s*✖ (.+?)(?: \([\d.]+m?s\))?$/),
]
const HEADINGS = /^failing tests:?$/

function form(pattern: RegExp): (line: string) => FailedTest | null {
  return (line) => {
    const match = pattern.exec(line)
    return match === null ? null : { id: match[1] ?? '', message: match[2] ?? '' }
  }
}

/** @param text the end of what was printed, both streams */
export function failedTests(text: string): FailedTest[] {
  const found = new Map<string, FailedTest>()
  // eslint-disable-next-line no-control-regex
  for (const line of text.replace(/\x1b\[[\d;]*m/g, '').split('\n')) {
    for (const of of FORMS) {
      const test = of(line)
      if (test === null || HEADINGS.test(test.id)) continue
      if (found.size < LISTED && !found.has(test.id)) found.set(test.id, test)
      break
    }
  }
  return [...found.values()]
}
