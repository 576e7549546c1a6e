// Shares edits out over programs and sequences, and runs these in parallel.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { EditGenerator } from './edits.mjs'
import { interpreterFor } from './libraries.mjs'
import { Sequence } from './sequence.mjs'
import { Tally } from './tally.mjs'

const LONGEST = 25
const PATIENCE = 5

/** The interpreter behind a command, past version managers' shims. */
export function resolvePython(command) {
  const asked = spawnSync(command, ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' })
  if (asked.status !== 0) throw new Error(`${command} does not run: ${asked.error?.message ?? asked.stderr}`)
  return asked.stdout.trim()
}

/** The environment of both sides: nothing in it that concerns Python, Node or thaw. */
export function environment(home) {
  const kept = Object.entries(process.env).filter(([name]) => !/^(THAW|PYTHON|PYTEST|NODE|npm)_?/.test(name))
  return { ...Object.fromEntries(kept), THAW_HOME: home }
}

/** Sequences for `edits` edits: [program, number, length], programs taking turns. */
export function plan(programs, edits) {
  const shares = programs.reduce((sum, program) => sum + program.share, 0)
  const left = new Map()
  let reached = 0
  for (const program of programs) {
    const next = reached + program.share
    // Rounding the running sum, not each part, makes the parts add up.
    left.set(program, Math.round((edits * next) / shares) - Math.round((edits * reached) / shares))
    reached = next
  }
  let rest = programs.length > 0 ? edits : 0
  const sequences = []
  for (let number = 0; rest > 0; number++) {
    for (const program of programs) {
      const length = Math.min(LONGEST, left.get(program), rest)
      if (length <= 0) continue
      left.set(program, left.get(program) - length)
      rest -= length
      sequences.push({ program, number, length })
    }
  }
  return sequences
}

/** Whether programs can run in sandboxes here; what that needs is fetched. */
const canCopy = once((thaw) => {
  const home = mkdtempSync(join(tmpdir(), 'thaw-exactness-'))
  const ask = (...words) =>
    spawnSync(thaw[0], [...thaw.slice(1), ...words], { env: environment(home), stdio: 'ignore' })
  const { status } = ask('setup')
  ask('daemon', 'stop')
  rmSync(home, { recursive: true, force: true })
  return status === 0
})

function once(ask) {
  let answer
  return (...words) => (answer ??= ask(...words))
}

/**
 * @param {object} options
 * @param {import('./programs.mjs').Program[]} options.programs
 * @param {string[]} options.thaw command line of thaw
 * @param {string} options.python
 * @param {boolean=} options.fetch whether libraries that the interpreter lacks may be installed
 * @param {(line: string) => void} options.say
 * @returns {Promise<Tally>}
 */
export async function runCampaign({
  programs,
  edits,
  seed,
  jobs,
  kinds,
  thaw,
  python,
  fetch = false,
  out,
  say,
}) {
  const tally = new Tally()
  const runnable = programs.filter((program) => !program.flags.includes('process') || canCopy(thaw))
  for (const { name } of programs.filter((program) => !runnable.includes(program)))
    tally.skipped.push({ program: name, reason: 'there is no criu that works here' })
  const able = runnable.flatMap((program) => {
    const found = interpreterFor(program, python, fetch, say)
    if (found.reason) tally.skipped.push({ program: program.name, reason: found.reason })
    return found.python ? [{ ...program, python: found.python }] : []
  })
  const queue = plan(able, edits)
  const root = mkdtempSync(join(tmpdir(), 'thaw-exactness-'))
  const worker = async (id) => {
    const home = join(root, `h${id}`)
    mkdirSync(home, { mode: 0o700 })
    const env = environment(home)
    const generator = new EditGenerator(python)
    try {
      for (let task = queue.shift(); task; task = queue.shift()) {
        const directory = join(root, `${task.program.name}-${task.number}-${id}`)
        const again = await runSequence(
          {
            ...task,
            seed,
            directory,
            commands: { thaw, python: task.program.python, env },
            generator,
            kinds,
            out,
          },
          tally,
          say,
        )
        if (again > 0) queue.unshift({ ...task, number: task.number + 1000, length: again })
      }
    } finally {
      generator.close()
      spawnSync(thaw[0], [...thaw.slice(1), 'daemon', 'stop'], {
        env,
        stdio: 'ignore',
        timeout: 20_000,
      })
      for (const left of await processesOf(home)) {
        tally.leftBehind(`process ${left.pid} (${left.command}) outlived the daemon`)
        process.kill(left.pid, 'SIGKILL')
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: jobs }, (_, id) => worker(id)))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
  return tally
}

/** Runs a sequence; after a difference it ends, and the number of edits still owed is returned. */
async function runSequence({ program, number, length, ...rest }, tally, say) {
  const sequence = new Sequence({ program, number, ...rest })
  const counts = { done: 0, different: 0 }
  const record = (step) => {
    tally.add(program.name, number, step)
    if (step.verdict === 'different') counts.different += 1
    return step.verdict === 'different' || step.verdict === 'unstable'
  }
  try {
    if (record(await sequence.start())) return 0
    let discarded = 0
    while (counts.done < length) {
      const step = await sequence.next()
      const over = record(step)
      // A program that never ends is no edit made; but a seed that finds only those must end, too.
      if (step.verdict === 'discarded' && ++discarded <= PATIENCE) continue
      counts.done += 1
      if (over) return length - counts.done
    }
    return 0
  } finally {
    sequence.close()
    say(`${program.name} ${number}: ${counts.done} edits${counts.different ? ', DIFFERENT' : ''}`)
  }
}

/** Processes whose environment names the home, once they have had time to go. */
async function processesOf(home) {
  let found = []
  for (let attempt = 0; attempt < 30; attempt++) {
    found = scan(`THAW_HOME=${home}\0`)
    if (found.length === 0) return []
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return found
}

function scan(needle) {
  const found = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      if (!`${readFileSync(`/proc/${name}/environ`, 'latin1')}\0`.includes(needle)) continue
      const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0').slice(0, 4).join(' ')
      found.push({ pid: Number(name), command })
    } catch {
      // Gone meanwhile, or not ours to read.
    }
  }
  return found
}
