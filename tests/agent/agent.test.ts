import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from '../support/home.js'
import { findInterpreter, passedOver, usualVersion, VERSIONS } from '../support/interpreters.js'

const directory = join(root, 'agents', 'python', 'tests')
const modules = readdirSync(directory)
  .filter((name) => /^test_.*\.py$/.test(name))
  .map((name) => name.slice(0, -'.py'.length))
const usual = usualVersion()

// One process a module: a mistake in live interpreter structures may end it.
describe.each(VERSIONS)('CPython %s', (version) => {
  const python = findInterpreter(version)
  const why = passedOver(version)
  for (const module of modules) {
    it(module, { timeout: 240_000 }, async ({ skip }) => {
      if (python === null || why !== null) return skip(why ?? '')
      // All the random edits are made by AGENT_TEST_PART=1 python3 -m unittest, in agents/python/tests.
      const { code, report } = await unittest(python, module, version === usual ? '3' : '9')
      expect(code, report).toBe(0)
      expect(report, 'something was tested').toMatch(/^Ran [1-9]\d* tests? in /m)
    })
  }
})

function unittest(
  python: string,
  module: string,
  part: string,
): Promise<{ code: number | string; report: string }> {
  return new Promise((resolve) => {
    execFile(
      python,
      ['-X', 'dev', '-W', 'ignore::SyntaxWarning', '-B', '-m', 'unittest', module],
      { cwd: directory, maxBuffer: 64 << 20, env: { ...process.env, AGENT_TEST_PART: part } },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : (error.signal ?? error.code ?? 'unknown')
        resolve({ code, report: stdout + stderr })
      },
    )
  })
}
