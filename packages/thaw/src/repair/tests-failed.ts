/** Which tests failed, from what the runners print: pytest, unittest, node --test. */
export interface FailedTest {
  id: string
  message: string
}

const LISTED = 50
/** Of what stands below a test's name. */
const BELOW = 600
const TAP = form(/^\s*not ok \d+ - (.+?)(?: # .*)?$/)
const SPEC = form(/^\s*✖ (.+?)(?: \([\d.]+m?s\))?$/)
const FORMS: readonly ((line: string) => FailedTest | null)[] = [
  // FAILED tests/test_a.py::test_x - KeyError: 'k'
  form(/^(?:FAILED|ERROR) (\S+\.py(?:::.+?)?)(?: - (.*))?$/),
  // FAIL: test_x (tests.test_a.Case.test_x)
  form(/^(?:FAIL|ERROR): (.+ \([\w.]+\))(?: .*)?$/),
  // not ok 3 - adds numbers
  TAP,
  // ✖ adds numbers (1.2ms)
  SPEC,
]
const HEADINGS = /^failing tests:?$/

function form(pattern: RegExp): (line: string) => FailedTest | null {
  return (line) => {
    const match = pattern.exec(line)
    return match === null ? null : { id: match[1] ?? '', message: match[2] ?? '' }
  }
}

/** What a runner says of a test in the lines below its name, further in than it. */
function saidBelow(lines: readonly string[], at: number): string {
  const depth = (line: string) => line.search(/\S/)
  const own = depth(lines[at] ?? '')
  const said: string[] = []
  for (const line of lines.slice(at + 1)) {
    const there = depth(line)
    if (there >= 0 && there <= own) break
    if (there >= 0 && !/^(---|\.\.\.|duration_ms:.*|type: .*)$/.test(line.trim())) said.push(line.trim())
  }
  return said.join('\n').slice(0, BELOW)
}

/** @param text the end of what was printed, both streams */
export function failedTests(text: string): FailedTest[] {
  const found = new Map<string, FailedTest>()
  // eslint-disable-next-line no-control-regex
  const lines = text.replace(/\x1b\[[\d;]*m/g, '').split('\n')
  for (const [at, line] of lines.entries()) {
    for (const of of FORMS) {
      const test = of(line)
      if (test === null || HEADINGS.test(test.id)) continue
      const known = found.get(test.id)
      // node lists them first, and tells of each at the end.
      const message = test.message || (of === TAP || of === SPEC ? saidBelow(lines, at) : '')
      if (known === undefined ? found.size < LISTED : known.message === '')
        found.set(test.id, { id: test.id, message })
      break
    }
  }
  return [...found.values()]
}
