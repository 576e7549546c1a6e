// Real projects from Debian: each is run under thaw, edited in the middle, and run again, beside a second directory in
// which plain Python runs the same. Raw results go to bench/results, a table to docs/real-projects.md.
// Options: --only NAME[,NAME] (then nothing but the raw results is written), --python P, --thaw FILE, --keep DIR (bundles
// of differences), --page FILE[,FILE] (nothing is run: the table is made from raw results, parts of --only together).
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { Sequence } from '../../tests/exactness/driver/sequence.mjs'
import { interpreterWith, layOut } from './debian.mjs'
import { document } from './document.mjs'
import { changesOf, loadProjects } from './projects.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    thaw: { type: 'string', default: join(here, '../../packages/thaw/bin/thaw.js') },
    keep: { type: 'string' },
    page: { type: 'string' },
  },
})
const PAGE = join(here, '../../docs/real-projects.md')
if (options.page !== undefined) {
  const parts = options.page.split(',').map((file) => JSON.parse(readFileSync(file, 'utf8')))
  writeFileSync(PAGE, document(parts))
  process.exit()
}
const names = options.only?.split(',')
const projects = loadProjects().filter(({ name }) => names?.includes(name) ?? true)
if (projects.length === 0) throw new Error('no project of this name; see bench/real/projects')

const temp = mkdtempSync(join(os.tmpdir(), 'thaw-real-'))
const thaw = [process.execPath, options.thaw]
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PYTHON|THAW_)/.test(name))),
  PYTHONHASHSEED: '0',
  THAW_HOME: join(temp, 'home'),
  XDG_CACHE_HOME: join(temp, 'cache'),
  XDG_CONFIG_HOME: join(temp, 'config'),
}

function close() {
  spawnSync(thaw[0], [...thaw.slice(1), 'daemon', 'stop', '--force'], {
    env,
    stdio: 'ignore',
    timeout: 20_000,
  })
  rmSync(temp, { recursive: true, force: true, maxRetries: 5 })
}
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(name, () => {
    close()
    process.exit(128 + os.constants.signals[name])
  })
}

async function tried(project) {
  let root, python
  try {
    root = layOut(project)
    python = interpreterWith(options.python, project.libraries)
  } catch (error) {
    console.log(`${project.name}: not run: ${error.message}`)
    return { name: project.name, about: project.about, error: error.message, steps: [] }
  }
  const sequence = new Sequence({
    program: { ...project, root },
    seed: 'real',
    number: 0,
    directory: join(temp, project.name),
    commands: { thaw, python, env },
    kinds: null,
    out: options.keep ?? join(temp, 'out'),
  })
  const steps = []
  const note = (step) => {
    const { verdict, differences, coldSeconds, thawSeconds } = step
    const report = JSON.parse(JSON.stringify(step.report).replaceAll(temp, '<temp>'))
    steps.push({ what: step.what, verdict, differences, report, coldSeconds, thawSeconds })
    const head = `${project.name}: ${step.what}: ${verdict}, ${report?.outcome}`
    console.log(`${head}, ${thawSeconds.toFixed(2)} s, cold ${coldSeconds.toFixed(2)} s, ${place(report)}`)
    for (const difference of differences) console.log(`  ${difference}`)
  }
  console.log(`${project.name}: ${project.about}`)
  note(await sequence.start())
  const edits = [...project.edits, { what: 'nothing' }]
  for (const edit of edits) {
    const changes = edit.file === undefined ? {} : changesOf(edit, sequence.source)
    note(await sequence.play({ kind: 'text', what: edit.what, changes, touched: [] }))
  }
  sequence.close()
  return {
    name: project.name,
    about: project.about,
    versions: Object.keys(project.files),
    arguments: project.arguments,
    steps,
  }
}

function place(report) {
  const at = report?.checkpoint
  const where = at ? `before ${at.before} (${at.file.split('/').pop()}:${at.line})` : 'from the start'
  return report?.reason ? `${where}; ${report.reason}` : where
}

function machine() {
  const python = spawnSync(options.python, ['-c', 'import platform; print(platform.python_version())'], {
    encoding: 'utf8',
  })
  return { cores: os.cpus().length, node: process.versions.node, python: python.stdout.trim() }
}

const started = new Date()
const loadBefore = os.loadavg()[0].toFixed(2)
const results = {
  file: `real-${started.toISOString().slice(0, 19).replaceAll(':', '')}Z.json`,
  started_at: started.toISOString(),
  machine: machine(),
  projects: [],
}
try {
  for (const project of projects) {
    results.projects.push(await tried(project))
    keep()
  }
} finally {
  close()
}
console.log(`raw results: bench/results/${results.file}`)
if (options.only === undefined) {
  writeFileSync(PAGE, document([results]))
  console.log('table: docs/real-projects.md')
}

/** What is there so far: the whole takes many minutes. */
function keep() {
  results.machine.load = [loadBefore, os.loadavg()[0].toFixed(2)]
  mkdirSync(join(here, '../results'), { recursive: true })
  writeFileSync(join(here, '../results', results.file), JSON.stringify(results, null, 1) + '\n')
}

const wrong = results.projects.some(
  ({ steps }) => steps.length === 0 || steps.some(({ verdict }) => verdict === 'different'),
)
if (wrong) process.exitCode = 1
