// One program, ten edits, several ways to see what an edit does: what each prints, whether that is what a cold run
// prints, and how long it takes from the saved edit to the answer. Writes docs/comparison.md and bench/results.
// Options: --python P (with pytest), --ipython P (a Python with IPython), --thaw FILE.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { maskAddresses, normalise } from '../../tests/exactness/driver/compare.mjs'
import { execute } from '../../tests/exactness/driver/execute.mjs'
import { edit } from '../workbench.mjs'
import { document } from './document.mjs'
import { EDITS } from './edits.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    ipython: { type: 'string', default: 'python3' },
    thaw: { type: 'string', default: join(here, '../../packages/thaw/bin/thaw.js') },
  },
})
const temp = mkdtempSync(join(os.tmpdir(), 'thaw-comparison-'))
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PYTHON|THAW_)/.test(name))),
  // Edits of equal length within one second would else meet a stale .pyc in a plain run.
  PYTHONDONTWRITEBYTECODE: '1',
  THAW_HOME: join(temp, 'home'),
  XDG_CACHE_HOME: join(temp, 'cache'),
  XDG_CONFIG_HOME: join(temp, 'config'),
  IPYTHONDIR: join(temp, 'ipython'),
}
const PROGRAM = ['main.py']
const SUITE = ['-m', 'pytest', '-p', 'no:cacheprovider']

function tree(name) {
  const directory = join(temp, name)
  cpSync(join(here, 'program'), directory, {
    recursive: true,
    filter: (path) => !path.endsWith('__pycache__'),
  })
  return directory
}

/** Addresses differ between any two processes; a failing test shows them. */
function told(result, directory) {
  const { stdout, stderr } = maskAddresses(result)
  const text = normalise(Buffer.concat([stdout, stderr]), directory, ['pytest-elapsed'])
  return { seconds: result.seconds, code: result.code, text }
}

/** A new process every time. */
function cold(directory) {
  return async (args) =>
    told(await execute([options.python, ...args], { cwd: directory, env, deadline: 120 }), directory)
}

function thaw(directory) {
  const report = join(temp, 'report.json')
  return async (args) => {
    const argv = [process.execPath, options.thaw, 'run', '-q', '--report', report, '--', options.python]
    const result = await execute([...argv, ...args], { cwd: directory, env, deadline: 120 })
    const { outcome, reason } = JSON.parse(readFileSync(report, 'utf8'))
    return { ...told(result, directory), outcome, reason }
  }
}

/** A session that stays, and calls main() again. */
function session(directory) {
  const child = spawn(options.ipython, [join(here, 'notebook.py')], {
    cwd: directory,
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the session with IPython ended')
    return JSON.parse(value)
  }
  return {
    ready: answer(),
    ask: async () => {
      child.stdin.write('\n')
      const { seconds, stdout } = await answer()
      return { seconds, text: stdout }
    },
    end: () => child.stdin.end(),
  }
}

function versionOf(python, module) {
  const code = `import importlib.metadata as m; print(m.version(${JSON.stringify(module)}))`
  return spawnSync(python, ['-c', code], { encoding: 'utf8' }).stdout.trim() || null
}

const versions = {
  python: spawnSync(options.python, ['-c', 'import platform; print(platform.python_version())'], {
    encoding: 'utf8',
  }).stdout.trim(),
  pytest: versionOf(options.python, 'pytest'),
  ipython: versionOf(options.ipython, 'ipython'),
}

const places = { cold: tree('cold'), thaw: tree('thaw'), kept: tree('kept') }
const ways = { cold: cold(places.cold), thaw: thaw(places.thaw) }
let notebook = null

/** A session as after a restart: imported, and called once. */
async function restarted() {
  notebook?.end()
  notebook = session(places.kept)
  await notebook.ready
  return notebook.ask()
}
const rows = []

async function look(what) {
  const row = { what, program: {}, suite: {} }
  // In turn, so that none has the machine to itself.
  row.program.cold = await ways.cold(PROGRAM)
  row.program.thaw = await ways.thaw(PROGRAM)
  if (versions.ipython !== null) {
    row.program.autoreload = notebook === null ? await restarted() : await notebook.ask()
  }
  row.suite.cold = await ways.cold(SUITE)
  row.suite.thaw = await ways.thaw(SUITE)
  for (const part of [row.program, row.suite]) {
    for (const one of Object.values(part)) one.right = one.text === part.cold.text
  }
  rows.push(row)
  // Who sees a wrong answer restarts; the next edit starts from a right one.
  if (row.program.autoreload?.right === false) await restarted()
  const shown = (part) =>
    Object.entries(part)
      .map(([way, { seconds, right }]) => `${way} ${seconds.toFixed(2)} s ${right ? 'right' : 'WRONG'}`)
      .join(', ')
  console.log(`${what}: ${shown(row.program)}; suite: ${shown(row.suite)}`)
}

const started = new Date()
const loadBefore = os.loadavg()[0].toFixed(2)
try {
  await look('before any edit')
  for (const [what, changes] of EDITS) {
    for (const [file, before, after] of changes) {
      for (const place of Object.values(places)) edit(join(place, file), before, after)
    }
    await look(what)
  }
} finally {
  notebook?.end()
  spawnSync(process.execPath, [options.thaw, 'daemon', 'stop', '--force'], {
    env,
    stdio: 'ignore',
    timeout: 20_000,
  })
  rmSync(temp, { recursive: true, force: true, maxRetries: 5 })
}

const results = {
  file: `comparison-${started.toISOString().slice(0, 19).replaceAll(':', '')}Z.json`,
  started_at: started.toISOString(),
  versions,
  load: [loadBefore, os.loadavg()[0].toFixed(2)],
  rows,
}
mkdirSync(join(here, '../results'), { recursive: true })
writeFileSync(join(here, '../results', results.file), JSON.stringify(results, null, 1) + '\n')
writeFileSync(join(here, '../../docs/comparison.md'), document(results))
console.log(`raw results: bench/results/${results.file}; page: docs/comparison.md`)
if (rows.some(({ program, suite }) => !program.thaw.right || !suite.thaw.right)) process.exitCode = 1
