import { execFile, execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { root } from '../support/home.js'

/** Why the tests of the agent cannot run here; null when they can. */
function whyNot(): string | null {
  try {
    const told = execFileSync(
      'python3',
      ['-c', 'import sys; print(sys.implementation.name, *sys.version_info[:2])'],
      {
        encoding: 'utf8',
      },
    )
    return told.trim() === 'cpython 3 11' ? null : `python3 is ${told.trim()}, not CPython 3.11`
  } catch (error) {
    return `python3 cannot be started: ${String(error)}`
  }
}

const directory = join(root, 'agents', 'python', 'tests')
const modules = readdirSync(directory)
  .filter((name) => /^test_.*\.py$/.test(name))
  .map((name) => name.slice(0, -'.py'.length))
const reason = whyNot()

// One process a module: a mistake in live interpreter structures may end it.
for (const module of modules) {
  it(module, { timeout: 120_000 }, async ({ skip }) => {
    if (reason !== null) skip(reason)
    const { code, report } = await unittest(module)
    expect(code, report).toBe(0)
    expect(report, 'something was tested').toMatch(/^Ran [1-9]\d* tests? in /m)
  })
}

function unittest(module: string): Promise<{ code: number | string; report: string }> {
  return new Promise((resolve) => {
    execFile(
      'python3',
      ['-X', 'dev', '-W', 'ignore::SyntaxWarning', '-B', '-m', 'unittest', module],
      { cwd: directory, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : (error.signal ?? error.code ?? 'unknown')
        resolve({ code, report: stdout + stderr })
      },
    )
  })
}
