/**
 * A process that serves calls. It loads the code, says so on descriptor 3, and waits on stdin until it is told its name;
 * from then on it speaks with the daemon: on one line for changes, and on one for each call at a time.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { writeSync, closeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { argumentsOf, describe, encoded, Refused, Service } from './service_calls.mjs'
import { Project } from './service_code.mjs'
import { Debugging } from './service_debug.mjs'
import { Line } from './service_line.mjs'

/** Output is sent in pieces of so many bytes at most. */
const PIECE = 64 * 1024
const REPORT = 3

const running = new AsyncLocalStorage()

/** What a call prints goes with the call, all else to the service's log. */
function capture(name, debugging) {
  const stream = process[name]
  const below = stream.write.bind(stream)
  stream.write = (chunk, encoding, done) => {
    const call = running.getStore()
    if (call === undefined || call.over) return below(chunk, encoding, done)
    const bytes =
      typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : chunk
    if (!debugging.take(bytes))
      for (let at = 0; at < bytes.length; at += PIECE)
        call.line.send({ t: 'out', id: call.id, stream: name }, bytes.subarray(at, at + PIECE))
    const told = typeof encoding === 'function' ? encoding : done
    if (told !== undefined) process.nextTick(told)
    return true
  }
}

class Slot {
  #worker
  #call = null
  /** Cancelled before it was read. */
  #revoked = null
  #line

  constructor(worker, number) {
    this.#worker = worker
    const { socket, name } = worker
    this.#line = new Line(socket, { t: 'hello', role: 'slot', worker: name, slot: number, pid: process.pid })
    this.#line.onMessage = (message, body) => {
      if (message.do === 'call') void this.#answer(message, body)
      else if (message.do === 'part') this.#line.part()
    }
  }

  cancel(id) {
    if (this.#call?.id === id) this.#call.abort.abort()
    else this.#revoked = id
  }

  async #answer({ id, fn, kind }, body) {
    const { service } = this.#worker
    const call = { id, fn, line: this.#line, abort: new AbortController(), over: false, hasStopped: false }
    this.#call = call
    // Its cancelling may have come at the same time, on another connection.
    await new Promise(setImmediate)
    const { version } = service
    const before = process.memoryUsage.rss()
    const begun = performance.now()
    let answer
    try {
      if (this.#revoked === id) call.abort.abort()
      call.abort.signal.throwIfAborted()
      const found = service.functions.get(fn)
      if (found === undefined) {
        const names = [...service.functions.keys()].sort().join(', ') || 'none'
        throw new Refused('unknown', `There is no ${fn}; there are ${names}.`)
      }
      const [value, self] = found
      const given = argumentsOf(value, kind, body, call.abort.signal)
      answer = encoded(await running.run(call, () => value.apply(self, given)))
    } catch (error) {
      answer = error
    }
    call.over = true
    this.#call = null
    this.#worker.debugging.over(call)
    const seconds = (performance.now() - begun) / 1000
    const told = { id, version, seconds, grown: process.memoryUsage.rss() - before }
    if (Array.isArray(answer)) return this.#line.send({ t: 'result', kind: answer[0], ...told }, answer[1])
    const error = call.abort.signal.aborted
      ? { ...describe(new Refused('cancelled', 'The call was cancelled.')), type: 'Cancelled' }
      : describe(answer)
    this.#line.send({ t: 'error', error, ...told })
  }
}

class Worker {
  static serve(...given) {
    return new Worker(...given)
  }

  socket
  name
  service
  debugging
  #project
  #slots = new Map()

  constructor(socket, name, service, project, debugging) {
    this.socket = socket
    this.name = name
    this.service = service
    this.debugging = debugging
    this.#project = project
    const line = new Line(socket, { t: 'hello', role: 'worker', worker: name, pid: process.pid })
    this.#slots.set(0, new Slot(this, 0))
    line.onMessage = (message, body) => {
      if (message.do === 'slot') this.#slots.set(message.slot, new Slot(this, message.slot))
      else if (message.do === 'cancel') this.#slots.get(message.slot)?.cancel(message.id)
      else if (message.do === 'ping') line.send({ t: 'pong' })
      else if (message.do === 'part') line.part()
      else if (message.do === 'patch')
        void this.#patch(message, JSON.parse(body)).then((reply) => line.send(reply))
    }
  }

  async #patch({ version, callables }, given) {
    const sources = Object.fromEntries(
      Object.entries(given).map(([path, source]) => [path, Buffer.from(source, 'base64')]),
    )
    const before = new Map(this.service.functions)
    try {
      await this.debugging.install(Object.values(sources))
      const { module, executed } = await this.#project.apply(sources)
      await this.service.take(module, callables)
      this.service.version = version
      const removed = [...before.keys()].filter((name) => !this.service.functions.has(name))
      const report = {
        patched: [],
        executed: executed.map((file) => ({ file, line: 1, text: 'the module, evaluated anew' })),
        removed,
      }
      return { t: 'patched', report, callables: this.service.listed(), files: this.#project.files() }
    } catch (error) {
      return { t: 'refused', error: describe(error) }
    }
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { setting, sources } = JSON.parse((await lines.next()).value)
process.setSourceMapsEnabled(true)
process.argv.splice(1, process.argv.length, setting.file)
const report = (message) => {
  writeSync(REPORT, `${JSON.stringify(message)}\n`)
  closeSync(REPORT)
}
const begun = performance.now()
const service = new Service(setting)
const project = new Project(setting, sources)
const debugging = new Debugging(running, project, setting.socket)
try {
  await service.take(await project.load())
} catch (error) {
  report({ t: 'failed', error: describe(error) })
  process.exit(1)
}
report({
  t: 'loaded',
  pid: process.pid,
  callables: service.listed(),
  files: project.files(),
  sources: project.sources(),
  seconds: (performance.now() - begun) / 1000,
  threads: 1,
  bytes: process.memoryUsage.rss(),
})
const named = await lines.next()
if (named.done === true) process.exit(0)
const { worker, version } = JSON.parse(named.value)
service.version = version
await debugging.install(project.contents())
capture('stdout', debugging)
capture('stderr', debugging)
Worker.serve(setting.socket, worker, service, project, debugging)
// The keeper is gone.
await lines.next()
process.exit(0)
