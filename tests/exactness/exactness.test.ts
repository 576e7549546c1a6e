import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { findInterpreter, passedOver, usualVersion, VERSIONS } from '../support/interpreters.js'

const DRIVER = join(dirname(fileURLToPath(import.meta.url)), 'exactness.mjs')
const MINUTE = 60_000

function drive(...flags: string[]) {
  const done = spawnSync(process.execPath, [DRIVER, ...flags], { encoding: 'utf8', maxBuffer: 1 << 26 })
  return { code: done.status, text: done.stdout + done.stderr }
}

test('the comparison finds out stand-ins for thaw that are wrong', { timeout: 5 * MINUTE }, () => {
  const { code, text } = drive('--self-test')
  expect(code, text).toBe(0)
})

function sample(edits: string, share: string, ...flags: string[]) {
  const out = mkdtempSync(join(tmpdir(), 'thaw-exactness-out-'))
  const { code, text } = drive(
    '--edits',
    edits,
    '--seed',
    'sample',
    '--at-least',
    share,
    '--out',
    out,
    ...flags,
  )
  if (code === 0) rmSync(out, { recursive: true, force: true })
  expect(code, `${text}\nkept in ${out}`).toBe(0)
  process.stdout.write(text)
}

const usual = usualVersion()

test('a sample of random edits gives what cold runs give', { timeout: 10 * MINUTE, retry: 0 }, () => {
  // Other interpreters run cold every time, which is exact, and spares nothing.
  sample('20', usual !== null && VERSIONS.includes(usual) ? '0.5' : '0')
})

test(
  'so does one of programs with threads and connections, in sandboxes',
  { timeout: 5 * MINUTE, retry: 0 },
  () => {
    sample('8', '0', '--program', 'crowd', '--program', 'exchange')
  },
)

test.for(VERSIONS.filter((version) => version !== usual))(
  'so does a smaller one under CPython %s',
  { timeout: 10 * MINUTE, retry: 0 },
  (version, { skip }) => {
    const python = findInterpreter(version)
    const why = passedOver(version)
    if (python === null || why !== null) return skip(why ?? '')
    sample('10', '0.5', '--python', python, '--program', 'script', '--program', 'classes')
  },
)
