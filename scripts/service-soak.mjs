// `npm run service-soak`: calls by several clients at once, with edits, resets, freezes, crashes, cancellations and deadlines in
// between. Every call has to get one answer, of a kind that it can have; the answer is what that version of the code gives; no version
// is older than what was saved before the call; nothing is executed twice, and nothing leaks. Ends by itself.
//
//   --calls N (10000)   --clients N (8)   --seconds N (840: most time)   --seed N   --engine process|plain (auto)   --report FILE
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Daemon } from './soak/daemon.mjs'
import { Caller } from './soak/caller.mjs'
import { SOURCES } from './soak/sources.mjs'
import { randomOf } from './soak/random.mjs'

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '10000' },
    clients: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '840' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
    engine: { type: 'string', default: 'auto' },
    report: { type: 'string' },
  },
})
const CALLS = Number(values.calls)
const CLIENTS = Number(values.clients)
const SECONDS = Number(values.seconds)
const SEED = Number(values.seed)
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const home = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-soak-')))
const project = join(home, 'project')
const NAME = 'soak'

const faults = []
const fault = (what) => {
  if (faults.length < 50) faults.push(what)
  console.error(`FAULT: ${what}`)
}
const begun = performance.now()
const elapsed = () => (performance.now() - begun) / 1000
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** What the files hold: which edit of each is saved, and what every version of both gives. */
class Code {
  saved = { main: 0, helper: 0 }
  /** The last that has begun to be saved. */
  coming = { main: 0, helper: 0 }
  #shas = { main: new Map(), helper: new Map() }

  write(which) {
    const edit = ++this.coming[which]
    const text = SOURCES[which](edit)
    this.#shas[which].set(edit, createHash('sha256').update(text).digest('hex'))
    place(`${which}.py`, text)
    this.saved[which] = edit
  }

  /** Which edits a version is of, as the digest of both files has it. */
  editsOf(version) {
    for (let main = this.coming.main; main > 0; main--) {
      for (let helper = this.coming.helper; helper > 0; helper--) {
        const hash = createHash('sha256')
        hash.update(`helper.py\0${this.#shas.helper.get(helper)}\n`)
        hash.update(`main.py\0${this.#shas.main.get(main)}\n`)
        if (hash.digest('hex').startsWith(version)) return { main, helper }
      }
    }
    return null
  }
}

function place(name, text) {
  writeFileSync(join(project, `.${name}.new`), text)
  renameSync(join(project, `.${name}.new`), join(project, name))
}

/** When something was done that ends calls of others. */
class Disturbances {
  #all = []

  async during(work) {
    const one = { from: performance.now(), to: Infinity }
    this.#all.push(one)
    try {
      return await work()
    } finally {
      // The end of a process is known a little later.
      one.to = performance.now() + 500
    }
  }

  met(from, to) {
    return this.#all.some((one) => one.from <= to && one.to >= from)
  }
}

mkdirSync(project)
const code = new Code()
code.write('helper')
code.write('main')
const disturbances = new Disturbances()
const daemon = new Daemon(root, home)
const counts = {}
const count = (what) => (counts[what] = (counts[what] ?? 0) + 1)
const bumps = new Map()
let asked = 0
let answered = 0
const over = new AbortController()

/** Everything that may be asked, and what may come of it. Weights are of a hundred. */
const KINDS = [
  ['mark', 40], ['bump', 14], ['echo', 10], ['nap', 6], ['later', 6], ['prints', 5], ['raises', 4], ['misfit', 2],
  ['unknown', 2], ['strange', 2], ['alone', 3], ['cancelled', 3], ['deadline', 2], ['exits', 0.6], ['killed', 0.4],
] // prettier-ignore

async function one(caller, random) {
  const kind = random.weighted(KINDS)
  const floor = { ...code.saved }
  const from = performance.now()
  const got = await caller.call(kind, random)
  const to = performance.now()
  answered++
  count(`${kind}: ${got.code ?? 'answered'}`)
  const where = `${kind} at ${elapsed().toFixed(1)} s: ${JSON.stringify(got).slice(0, 300)}`
  if (got.code !== undefined) {
    if (got.expected.includes(got.code)) return
    if (got.code === 'WORKER_CRASHED' && disturbances.met(from, to)) return
    return fault(`an answer of a kind that it cannot have: ${where}`)
  }
  if (!got.expected.includes('answered')) return fault(`it was answered: ${where}`)
  if (got.wrong) return fault(`not what the function gives: ${where}`)
  const edits = code.editsOf(got.version)
  if (edits === null) return fault(`a version that was never saved: ${where}`)
  for (const which of ['main', 'helper']) {
    if (edits[which] < floor[which]) {
      fault(`${which} as of edit ${edits[which]}, while ${floor[which]} was saved before: ${where}`)
    }
  }
  if (kind === 'mark') {
    const expected = [edits.main, edits.helper, edits.main]
    if (JSON.stringify(got.result) !== JSON.stringify(expected))
      fault(`${JSON.stringify(expected)} expected: ${where}`)
  } else if (kind === 'bump') {
    const key = got.result.join(':')
    if (bumps.has(key)) fault(`executed twice, or a state that was gone: ${where}`)
    bumps.set(key, true)
  }
}

async function client(number) {
  const random = randomOf(SEED * 1000 + number)
  const caller = new Caller(daemon.socket, NAME, disturbances)
  try {
    while (asked < CALLS && elapsed() < SECONDS) {
      asked++
      await one(caller, random)
    }
  } finally {
    caller.close()
  }
}

/** Edits and changes of the service, one after the other. */
async function changes(isFrozen) {
  const random = randomOf(SEED * 1000 + 999)
  const kinds = [['main', 40], ['helper', 25], ['broken', 8], ['reset', 10], ['restart', 3], ['stop', 2], ['freeze', isFrozen ? 6 : 0], ['deploy', 3], ['kill', 3]] // prettier-ignore
  // Spread over all calls, however fast they are.
  const gap = Math.max(20, CALLS / 200)
  for (let next = gap; !over.signal.aborted;) {
    if (answered < next) {
      await pause(20)
      continue
    }
    next = answered + gap
    const kind = random.weighted(kinds)
    count(`change: ${kind}`)
    try {
      if (kind === 'main' || kind === 'helper') code.write(kind)
      else if (kind === 'broken') {
        place('main.py', 'def mark(:\n')
        await pause(random.below(300))
        code.write('main')
      } else if (kind === 'freeze') await daemon.verb(NAME, 'freeze')
      else if (kind === 'deploy') await daemon.deploy(NAME, join(project, 'main.py'), values.engine)
      else if (kind === 'kill') {
        await disturbances
          .during(async () => {
            const { workers } = await daemon.show(NAME)
            if (workers.length > 0) process.kill(workers[random.below(workers.length)].pid, 'SIGKILL')
          })
          .catch(() => {})
      } else await disturbances.during(() => daemon.verb(NAME, kind))
    } catch (error) {
      fault(`${kind} failed at ${elapsed().toFixed(1)} s: ${error.message}`)
    }
  }
}

let figures
try {
  await daemon.start()
  const service = await daemon.deploy(NAME, join(project, 'main.py'), values.engine)
  // Caches fill first: what is measured is growth from then on.
  const warm = new Caller(daemon.socket, NAME, disturbances)
  for (let i = 0; i < Math.min(200, CALLS / 10); i++) await warm.call('mark', randomOf(i))
  warm.close()
  const before = await daemon.measure(NAME)
  const changing = changes(service.engine === 'process')
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)))
  over.abort()
  await changing
  if (answered !== asked) fault(`${asked - answered} calls were lost`)
  const seconds = elapsed()
  await daemon.verb(NAME, 'thaw')
  for (let i = 0; i < 40; i++) {
    const { running, waiting } = await daemon.show(NAME)
    if (running === 0 && waiting === 0) break
    if (i === 39) fault(`${running} calls run and ${waiting} wait still`)
    await pause(250)
  }
  await daemon.verb(NAME, 'reset')
  // Killed processes are collected, and copies for calls of their own end.
  await pause(1500)
  const after = await daemon.measure(NAME)
  for (const [what, most] of [
    ['descriptors', 6],
    ['processes', 1],
    ['daemon_mb', 150],
    ['service_mb', 40],
    ['sockets', 0],
  ]) {
    if (after[what] - before[what] > most) fault(`${what} grew from ${before[what]} to ${after[what]}`)
  }
  await daemon.remove(NAME)
  for (const left of await daemon.left(after.pids)) fault(`left after rm: ${left}`)
  const { pids: _before, ...start } = before
  const { pids: _after, ...end } = after
  figures = {
    seed: SEED,
    engine: service.engine,
    calls: answered,
    clients: CLIENTS,
    seconds: Math.round(seconds),
    counts,
    start,
    end,
    faults,
  }
} finally {
  await daemon.stop()
  rmSync(home, { recursive: true, force: true })
}
figures.counts = Object.fromEntries(Object.entries(figures.counts).sort(([a], [b]) => (a < b ? -1 : 1)))
console.log(JSON.stringify(figures, null, 2))
if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(figures, null, 2)}\n`)
process.exitCode = faults.length > 0 || figures.calls < Math.min(CALLS, asked) ? 1 : 0
if (figures.calls < CALLS) {
  console.error(`Only ${figures.calls} of ${CALLS} calls within ${SECONDS} s.`)
  process.exitCode = 1
}
