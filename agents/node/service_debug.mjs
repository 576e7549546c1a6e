/**
 * `debugger` in the code of a service, as the thread sees it that stands there. Another thread (service_stops.mjs) is told of it by
 * V8, asks here what it has to know, and lets it go on.
 */
import inspector from 'node:inspector'
import { findSourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'

const HERE = new URL('.', import.meta.url).href

export class Debugging {
  #running
  #project
  #socket
  #thread = null
  #listens = false
  /** What is printed while something is evaluated at a prompt; null: nothing is. */
  #printed = null

  /**
   * @param running of the call that goes on here, an AsyncLocalStorage
   * @param socket where the daemon listens
   */
  constructor(running, project, socket) {
    this.#running = running
    this.#project = project
    this.#socket = socket
    Object.defineProperty(globalThis, '__thaw_service__', { value: this })
  }

  /** From here on calls stop, where any code that is loaded could ask for it. V8 is slower to start with a debugger than without. */
  async install(sources) {
    if (this.#thread !== null || !sources.some((source) => source.includes('debugger'))) return
    const workerData = { socket: this.#socket, hidden: ['^node:', `^${escaped(HERE)}`] }
    this.#thread = new Worker(new URL('service_stops.mjs', import.meta.url), { workerData, execArgv: [] })
    await new Promise((resolve, reject) => {
      this.#thread.once('message', resolve)
      this.#thread.once('error', reject)
    })
    this.#thread.unref()
    // Without it nothing stops; calls go on.
    this.#thread.on('error', (error) => console.error('thaw: the debugger has ended:', error))
  }

  /** A call has ended. */
  over(call) {
    if (!call.hasStopped) return
    this.close()
    // A port of worker_threads knows no origins.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin
    this.#thread.postMessage({ over: call.id })
  }

  /** Takes what is printed while something is evaluated at a prompt. */
  take(bytes) {
    this.#printed?.push(bytes)
    return this.#printed !== null
  }

  // What follows is asked for by the other thread, while this one stands.

  /** Which call stands here; null: none. */
  call() {
    const call = this.#running.getStore()
    if (call === undefined || call.over) return null
    call.hasStopped = true
    return { id: call.id, fn: call.fn }
  }

  /** Lines and columns count from zero, as V8's do; the line that is told from one. null: not the user's own. */
  place(url, line, column) {
    if (!url.startsWith('file:') || url.startsWith(HERE)) return null
    const path = fileURLToPath(url.replace(/\?thaw=\d+$/, ''))
    const { originalLine } = findSourceMap(url)?.findEntry(line, column) ?? {}
    return { file: path, line: (originalLine ?? line) + 1 }
  }

  /** Lines of what was loaded. */
  lines(file) {
    return this.#project.source(file)?.toString().split('\n') ?? []
  }

  shown(value) {
    return inspect(value, { depth: 4 })
  }

  collect() {
    this.#printed = []
  }

  collected() {
    const bytes = Buffer.concat(this.#printed ?? [])
    this.#printed = null
    return bytes.toString()
  }

  /** A port for an editor, on loopback. */
  listen() {
    if (inspector.url() === undefined) {
      inspector.open(0, '127.0.0.1')
      this.#listens = true
    }
    return Number(new URL(inspector.url()).port)
  }

  /** Whoever came to it is cut off. One that the program has opened itself stays. */
  close() {
    if (this.#listens) inspector.close()
    this.#listens = false
  }
}

const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
