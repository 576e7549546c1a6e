/**
 * The thread beside that of a worker: it learns from V8 that a call stands at `debugger`, tells the daemon, and does what whoever
 * attaches asks for. A call's connection lasts from its first stop to its end.
 */
import { Session } from 'node:inspector/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { Line } from './service_line.mjs'
import { Prompt } from './service_prompt.mjs'

const UNCOPIED = 'Node cannot be copied by a fork'

const session = new Session()
session.connectToMainThread()

/** What the other thread has to tell (service_debug.mjs). */
async function ask(name, ...given) {
  const { result, exceptionDetails } = await session.post('Runtime.callFunctionOn', {
    functionDeclaration: 'function (name, given) { return this[name](...given) }',
    objectId: hooks,
    arguments: [{ value: name }, { value: given }],
    returnByValue: true,
  })
  if (exceptionDetails !== undefined)
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
  return result.value
}

/** Addresses of scripts, by id. */
const scripts = new Map()
/** By call. */
const debuggers = new Map()
/** The one whose call stands. */
let standing = null
/** Whose call was told to go on to its next line. */
let stepping = null

class Debugger {
  typed = ''
  attached = false
  /** Nothing more will be typed. */
  ended = false
  /** Whether an editor may come. */
  listens = false
  prompt = null
  #line
  /** One thing after the other. */
  #last = Promise.resolve()

  constructor({ id, fn }) {
    this.fn = fn
    this.#line = new Line(workerData.socket, { t: 'hello', role: 'debug', call: id, pid: process.pid })
    this.#line.onMessage = ({ do: what }, body) => this.#then(() => this.#hear(what, body))
    this.#line.onGone = () => this.#then(() => this.#hear('go'))
  }

  halt(frames) {
    this.prompt = new Prompt(session, ask, frames)
    const { file, line, name } = frames[0]
    this.#line.send({ t: 'stop', fn: this.fn, file, line, function: name, uncopied: UNCOPIED, whole: true })
    if (this.attached) this.#then(() => this.#attend(true))
  }

  went() {
    this.prompt = null
    this.#line.send({ t: 'went' })
  }

  close() {
    this.#line.end()
  }

  #then(work) {
    this.#last = this.#last.then(work).catch((error) => console.error('thaw: a debugger failed:', error))
  }

  async #hear(what, body) {
    switch (what) {
      case 'attach':
        Object.assign(this, { attached: true, ended: false, typed: '' })
        return await this.#attend(true)
      case 'stdin':
        this.typed += body.toString()
        return await this.#attend(false)
      case 'eof':
        this.ended = true
        return await this.#attend(false)
      case 'dap':
        return await this.#listen()
      case 'detach':
        return await this.#detach()
      case 'go':
        await this.#detach()
        if (this.prompt !== null) await session.post('Debugger.resume')
    }
  }

  async #detach() {
    this.attached = false
    if (!this.listens) return
    this.listens = false
    // Else it is closed when the call ends.
    if (this.prompt !== null) await ask('close')
  }

  async #listen() {
    try {
      this.#line.send({ t: 'dap', port: await ask('listen') })
      this.listens = true
    } catch (error) {
      this.#line.send({ t: 'refused', message: `it cannot listen: ${error.message}` })
    }
  }

  /** Does what was typed, as far as the call stands. Whoever has nothing more to type is detached, and the call waits for another. */
  async #attend(isNew) {
    if (this.prompt !== null && isNew) this.#print(`${await this.prompt.shown()}\n${Prompt.SIGN}`)
    while (this.prompt !== null && this.attached) {
      const line = this.#next()
      if (line === null) break
      await this.#command(line)
    }
    if (this.ended && this.attached && this.typed === '') this.#leave()
  }

  /** A line that was typed; null: there is none. */
  #next() {
    const at = this.typed.indexOf('\n')
    if (at < 0 && !(this.ended && this.typed !== '')) return null
    const line = at < 0 ? this.typed : this.typed.slice(0, at)
    this.typed = at < 0 ? '' : this.typed.slice(at + 1)
    return line
  }

  async #command(text) {
    const { said, step = null, leave = false } = await this.prompt.command(text)
    if (said !== '') this.#print(`${said}\n`)
    if (leave) return this.#leave()
    if (step === null) return this.#print(Prompt.SIGN)
    stepping = step === 'Debugger.resume' ? null : this
    // It stands no more from here on, whenever V8 says so.
    const gone = new Promise((resolve) => session.once('Debugger.resumed', resolve))
    await session.post(step)
    await gone
  }

  #leave() {
    this.attached = false
    this.#line.send({ t: 'detached' })
  }

  #print(text) {
    this.#line.send({ t: 'print' }, Buffer.from(text))
  }
}

async function paused({ callFrames }) {
  const call = await ask('call')
  const placed = await Promise.all(callFrames.map(framed))
  const frames = placed.filter((one) => one !== null)
  const known = call === null ? undefined : debuggers.get(call.id)
  // A step out of one call may end in another.
  const isStrange = stepping !== null && stepping !== known && !(await isStatement(callFrames[0]))
  stepping = null
  if (call === null || frames.length === 0 || isStrange) return await session.post('Debugger.resume')
  standing = known ?? new Debugger(call)
  debuggers.set(call.id, standing)
  standing.halt(frames)
}

/** A frame as it is told; null: not of the user's own. */
async function framed({ callFrameId, functionName, location }) {
  const { scriptId, lineNumber, columnNumber = 0 } = location
  const place = await ask('place', scripts.get(scriptId) ?? '', lineNumber, columnNumber)
  return place === null ? null : { ...place, name: functionName || '(anonymous)', id: callFrameId }
}

async function isStatement({ location: { scriptId, lineNumber, columnNumber = 0 } }) {
  const { scriptSource } = await session.post('Debugger.getScriptSource', { scriptId })
  return scriptSource.split('\n')[lineNumber]?.startsWith('debugger', columnNumber) === true
}

session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params.url))
session.on('Debugger.paused', ({ params }) => {
  paused(params).catch((error) => {
    console.error('thaw: a call could not stop:', error)
    return session.post('Debugger.resume')
  })
})
session.on('Debugger.resumed', () => {
  standing?.went()
  standing = null
})
// This keeps the thread, too, which waiting for an answer does not.
parentPort.on('message', ({ over }) => {
  debuggers.get(over)?.close()
  debuggers.delete(over)
})
await session.post('Debugger.enable')
await session.post('Debugger.setBlackboxPatterns', { patterns: workerData.hidden })
const { result } = await session.post('Runtime.evaluate', { expression: 'globalThis.__thaw_service__' })
const hooks = result.objectId
// A port of worker_threads knows no origins.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort.postMessage('ready')
