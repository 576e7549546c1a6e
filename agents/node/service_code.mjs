/** Code of a service: the user's own modules, which are evaluated anew after an edit while all others keep their state. */
import { createHash } from 'node:crypto'
import { createRequire, register } from 'node:module'
import { readFileSync } from 'node:fs'
import { sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import { check, CodeError, useEsbuild } from './service_syntax.mjs'

const require = createRequire(import.meta.url)

export class Project {
  #file
  #root
  #port
  /** What was read, by path. */
  #read = new Map()
  /** Which modules import one, by path. */
  #importers = new Map()
  #numbers = new Map()
  #last = 0
  #waiting = []

  /** @param sources what is read in the place of files: base64 by path */
  constructor({ file, root, esbuild }, sources) {
    this.#file = file
    this.#root = root
    useEsbuild(esbuild)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    port1.on('message', (message) => this.#hear(message))
    port1.unref()
    register('./service_hooks.mjs', {
      parentURL: import.meta.url,
      data: { root, esbuild, sources, port: port2 },
      transferList: [port2],
    })
  }

  /** The module, evaluated. */
  async load() {
    try {
      const found = await import(this.#address(this.#file))
      await this.#heard()
      this.#readRequired()
      return found
    } catch (error) {
      await this.#heard()
      throw this.#located(error)
    }
  }

  /** SHA-256 of what was loaded, by path. */
  files() {
    const digest = (source) => createHash('sha256').update(source).digest('hex')
    return Object.fromEntries([...this.#read].map(([path, source]) => [path, digest(source)]))
  }

  /** What was loaded. */
  contents() {
    return [...this.#read.values()]
  }

  /** What was loaded: base64 by path. */
  sources() {
    return Object.fromEntries([...this.#read].map(([path, source]) => [path, source.toString('base64')]))
  }

  /** What was loaded from a file; undefined: nothing. */
  source(path) {
    return this.#read.get(path)
  }

  /**
   * Evaluates what has changed anew, and what imports it. Raises CodeError, and then all is as it was.
   *
   * @param sources by path
   * @returns the module, and the paths of what was evaluated
   */
  async apply(sources) {
    check(sources)
    const changed = Object.keys(sources).filter(
      (path) => this.#read.get(path)?.equals(sources[path]) !== true,
    )
    const anew = this.#dependents(changed)
    const before = { read: new Map(this.#read), numbers: new Map(this.#numbers), required: new Map() }
    for (const path of anew) {
      this.#numbers.set(path, ++this.#last)
      if (require.cache[path] === undefined) continue
      before.required.set(path, require.cache[path])
      delete require.cache[path]
    }
    for (const path of changed) this.#read.set(path, sources[path])
    const numbersOf = (numbers) => Object.fromEntries(anew.map((path) => [path, numbers.get(path) ?? 0]))
    await this.#put(
      Object.fromEntries(changed.map((path) => [path, sources[path]])),
      numbersOf(this.#numbers),
    )
    try {
      return { module: await this.load(), executed: anew }
    } catch (error) {
      this.#numbers = before.numbers
      this.#read = before.read
      for (const [path, module] of before.required) require.cache[path] = module
      await this.#put(
        Object.fromEntries(
          changed.flatMap((path) => (before.read.has(path) ? [[path, before.read.get(path)]] : [])),
        ),
        numbersOf(before.numbers),
      )
      if (error instanceof CodeError) throw error
      const { file, line } = placeOf(error, this.#root) ?? { file: this.#file, line: 0 }
      throw new CodeError(`${error?.name ?? 'Error'}: ${error?.message ?? error}`, file, line)
    }
  }

  #address(path) {
    const number = this.#numbers.get(path)
    return `${pathToFileURL(path).href}${number === undefined ? '' : `?thaw=${number}`}`
  }

  #hear(message) {
    if (message.t === 'done') return this.#waiting.shift()?.()
    if (message.t === 'read') return this.#read.set(message.path, Buffer.from(message.source))
    const known = this.#importers.get(message.to) ?? new Set()
    this.#importers.set(message.to, known.add(message.from))
  }

  #put(sources, numbers) {
    return new Promise((resolve) => {
      this.#port.ref()
      this.#waiting.push(() => {
        this.#port.unref()
        resolve()
      })
      // A port of worker_threads knows no origins.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      this.#port.postMessage({ do: 'put', sources, numbers })
    })
  }

  #heard() {
    return this.#put({}, {})
  }

  /** CommonJS modules, which are read by node itself. */
  #readRequired() {
    for (const module of Object.values(require.cache)) {
      const path = module.filename
      if (!path?.startsWith(this.#root + sep) || path.includes(`${sep}node_modules${sep}`)) continue
      if (!this.#read.has(path)) this.#read.set(path, readFileSync(path))
      for (const child of module.children) {
        const known = this.#importers.get(child.filename) ?? new Set()
        this.#importers.set(child.filename, known.add(path))
      }
    }
  }

  #dependents(paths) {
    const found = new Set(paths)
    for (const path of found) for (const one of this.#importers.get(path) ?? []) found.add(one)
    return [...found]
  }

  /** Where a syntax error is, node does not tell; and what is raised in the hooks' thread arrives as less than it was. */
  #located(error) {
    try {
      check(Object.fromEntries(this.#read))
    } catch (known) {
      if (known instanceof CodeError) return known
    }
    return error
  }
}

/** The innermost line of the user's own in a stack. */
function placeOf(error, root) {
  for (const line of String(error?.stack ?? '').split('\n')) {
    const [, file, number] = /(?:file:\/\/)?(\/[^\s()?]*)(?:\?thaw=\d+)?:(\d+):\d+\)?$/.exec(line) ?? []
    if (file?.startsWith(root + sep)) return { file, line: Number(number) }
  }
  return null
}
