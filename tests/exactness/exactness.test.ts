import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const DRIVER = join(dirname(fileURLToPath(import.meta.url)), 'exactness.mjs')
const MINUTE = 60_000

function drive(...flags: string[]) {
  const done = spawnSync(process.execPath, [DRIVER, ...flags], { encoding: 'utf8', maxBuffer: 1 << 26 })
  return { code: done.status, text: done.stdout + done.stderr }
}

function pythonVersion(): string {
  return spawnSync('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], {
    encoding: 'utf8',
  }).stdout.trim()
}

test('the comparison finds out stand-ins for thaw that are wrong', { timeout: 5 * MINUTE }, () => {
  const { code, text } = drive('--self-test')
  expect(code, text).toBe(0)
})

test('a sample of random edits gives what cold runs give', { timeout: 10 * MINUTE }, () => {
  const out = mkdtempSync(join(tmpdir(), 'thaw-exactness-out-'))
  // Other interpreters run cold every time, which is exact, and spares nothing.
  const share = pythonVersion() === '3.11' ? '0.5' : '0'
  const { code, text } = drive('--edits', '110', '--seed', 'sample', '--at-least', share, '--out', out)
  if (code === 0) rmSync(out, { recursive: true, force: true })
  expect(code, `${text}\nkept in ${out}`).toBe(0)
  process.stdout.write(text)
})
