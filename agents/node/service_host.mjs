/**
 * The keeper of a service of Node modules. Node cannot be copied by a fork: a worker is a process that has loaded the code
 * anew, from the same bytes. What the keeper holds is those bytes, so that what is started later is what serves.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe } from './service_calls.mjs'
import { Line } from './service_line.mjs'
import { check, useEsbuild } from './service_syntax.mjs'

const WORKER = fileURLToPath(new URL('service_worker.mjs', import.meta.url))
/** So long a worker may take to be gone after its connections are. Milliseconds. */
const REAP = 2000

const setting = JSON.parse(process.env.THAW_SERVICE)
delete process.env.THAW_SERVICE
useEsbuild(setting.esbuild)

/** Of the code that serves: base64 by path. */
let sources = {}
let { callables } = setting
/** Workers, by pid: how each has ended. */
const ended = new Map()

/** A process that has loaded the code, or failed to. */
function start() {
  const child = spawn(process.execPath, [WORKER], { stdio: ['pipe', 'inherit', 'inherit', 'pipe'] })
  child.stdin.on('error', () => {})
  child.stdin.write(`${JSON.stringify({ setting: { ...setting, callables }, sources })}\n`)
  ended.set(
    child.pid,
    new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal }))),
  )
  const loaded = new Promise((resolve) => {
    const lines = createInterface({ input: child.stdio[3] })
    lines.once('line', (line) => resolve(JSON.parse(line)))
    lines.once('close', () => resolve(null))
  })
  return { child, loaded }
}

/** One that has been started and has no name yet. */
let spare = start()

async function fork({ worker, version }) {
  const { child, loaded } = spare ?? start()
  spare = null
  const told = await loaded
  if (told?.t === 'failed') return told
  // Whoever waits for its connections learns of its end from `pid`, which nobody has.
  if (told === null) return { t: 'failed', error: describe(new Error('A worker ended while it started.')) }
  child.stdin.write(`${JSON.stringify({ worker, version })}\n`)
  return { t: 'forked', worker, pid: child.pid }
}

async function reap({ pid }) {
  const late = new Promise((resolve) => setTimeout(resolve, REAP, { code: null, signal: null }))
  const how = await Promise.race([ended.get(pid) ?? { code: null, signal: null }, late])
  ended.delete(pid)
  return { t: 'reaped', pid, ...how }
}

function checked(body, then) {
  const given = JSON.parse(body)
  try {
    check(
      Object.fromEntries(Object.entries(given).map(([path, text]) => [path, Buffer.from(text, 'base64')])),
    )
  } catch (error) {
    return { t: 'refused', error: describe(error) }
  }
  return then(given)
}

const tasks = {
  fork,
  reap,
  patch: (message, body) => checked(body, () => ({ t: 'checked' })),
  // Every worker has taken it.
  keep: (message, body) => {
    sources = { ...sources, ...JSON.parse(body) }
    callables = message.callables
    return null
  },
  plan: (message, body) => checked(body, () => ({ t: 'planned', first: {} })),
  kill: ({ pid }) => {
    try {
      if (ended.has(pid)) process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
    return null
  },
}

// Its other end is the daemon's.
process.stdin.on('end', () => process.kill(0, 'SIGKILL'))
process.stdin.resume()

const first = await spare.loaded
const line = new Line(setting.socket, { t: 'hello', role: 'keeper', pid: process.pid })
if (first === null) process.exit(1)
const { sources: read = {}, ...rest } = first
sources = read
line.send(rest)
/** Answers come in the order of the questions. */
let last = Promise.resolve()
line.onMessage = (message, body) => {
  if (message.do === 'part') return line.part()
  const answer = Promise.resolve(tasks[message.do]?.(message, body) ?? null)
  last = last.then(() => answer).then((told) => told !== null && line.send(told))
}
