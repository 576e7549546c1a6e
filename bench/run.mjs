// Measures the ratios of SPECIFICATION.md, section 8, side by side with plain
// Python on this machine. Raw results go to bench/results, a table to
// docs/benchmarks.md. Options: --rounds N, --only TEXT (part of a case's
// name; then nothing but the raw results is written), --thaw FILE (another
// thaw than that of this clone), --python COMMAND (another interpreter than
// python3; its table goes to docs/benchmarks-cpython-X.Y.md).
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import * as branchesMemory from './cases/branches-memory.mjs'
import * as branchesTime from './cases/branches-time.mjs'
import * as firstOutputMcp from './cases/first-output-mcp.mjs'
import * as firstOutputSdk from './cases/first-output-sdk.mjs'
import * as firstOutputShell from './cases/first-output-shell.mjs'
import * as firstRun from './cases/first-run.mjs'
import * as fork from './cases/fork.mjs'
import * as imports from './cases/imports.mjs'
import * as lastTenth from './cases/last-tenth.mjs'
import * as processDump from './cases/process-dump.mjs'
import * as processRestore from './cases/process-restore.mjs'
import * as processRunc from './cases/process-runc.mjs'
import * as replay from './cases/replay.mjs'
import * as restoreSize from './cases/restore-size.mjs'
import * as steady from './cases/steady.mjs'
import { document, number, verdict } from './document.mjs'
import { Workbench } from './workbench.mjs'

const CASES = [
  firstRun,
  imports,
  steady,
  fork,
  lastTenth,
  firstOutputShell,
  firstOutputSdk,
  firstOutputMcp,
  replay,
  branchesTime,
  branchesMemory,
  processRestore,
  processDump,
  restoreSize,
  processRunc,
]
const here = dirname(fileURLToPath(import.meta.url))

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    only: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    thaw: { type: 'string', default: join(here, '../packages/thaw/bin/thaw.js') },
  },
})
const rounds = Number(options.rounds)
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a whole number of at least 1')
const chosen = CASES.filter((one) => options.only === undefined || one.name.includes(options.only))
if (chosen.length === 0)
  throw new Error(`no case has this in its name; there are: ${CASES.map((one) => one.name).join('; ')}`)

let bench = null
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(name, () => {
    bench?.close()
    process.exit(128 + os.constants.signals[name])
  })
}

const started = new Date()
const loadBefore = os.loadavg()[0].toFixed(2)
const cases = []
for (const one of chosen) cases.push(await measured(one))
const file = `${started.toISOString().slice(0, 19).replaceAll(':', '')}Z.json`
const results = { file, started_at: started.toISOString(), rounds, machine: machine(), cases }
mkdirSync(join(here, 'results'), { recursive: true })
writeFileSync(join(here, 'results', file), JSON.stringify(results, null, 1) + '\n')
console.log(`raw results: bench/results/${file}`)
if (options.only === undefined) {
  const version = results.machine.python.split('.').slice(0, 2).join('.')
  const table = options.python === 'python3' ? 'benchmarks.md' : `benchmarks-cpython-${version}.md`
  writeFileSync(join(here, '../docs', table), document(results))
  console.log(`table: docs/${table}`)
}
if (cases.some((one) => one.error !== undefined)) process.exitCode = 1

async function measured({ name, what, target, unit, measure }) {
  const head = { name, what, target, unit }
  process.stdout.write(`${name.padEnd(22)}`)
  bench = new Workbench(options.thaw, options.python)
  try {
    const result = { ...head, ...(await measure(bench, rounds)) }
    const remark = result.note === undefined ? '' : ` (${result.note})`
    console.log(
      `${number(result.value, unit).padStart(8)}  at most ${number(target, unit)}: ${verdict(result)}${remark}`,
    )
    return result
  } catch (error) {
    console.log(`failed: ${error.message}`)
    return { ...head, error: error.message }
  } finally {
    bench.close()
    bench = null
  }
}

function machine() {
  const python = spawnSync(options.python, ['-c', 'import platform; print(platform.python_version())'], {
    encoding: 'utf8',
  })
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.cpus().length,
    memory_gb: Math.round(os.totalmem() / 1e9),
    kernel: os.release().split('-')[0],
    node: process.versions.node,
    python: python.stdout?.trim() ?? 'missing',
    load_before: loadBefore,
    load_after: os.loadavg()[0].toFixed(2),
  }
}
