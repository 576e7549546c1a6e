/** What a service can be called for, and how arguments, results and errors cross the wire. */
import { CodeError } from './service_syntax.mjs'

const HERE = new URL('.', import.meta.url).href
/** Of one error's stack. Characters. */
const LONGEST = 50_000
const SIGNATURE = 1000
/** Of one result, so that a frame holds it and what is said of it. Bytes. */
const LARGEST = 256 * 1024 * 1024 - 64 * 1024

/** A call that did not reach the function, or whose result cannot leave it. */
export class Refused extends Error {
  constructor(kind, message) {
    super(message)
    this.kind = kind
  }
}

export class Service {
  version = ''
  #setting
  #instance = null
  functions = new Map()

  constructor(setting) {
    this.#setting = setting
  }

  /** What there is to call now. Raises Refused where something that was asked for is not there; then nothing has changed. */
  async take(module, callables = this.#setting.callables) {
    const made = this.#setting.class
    let instance = this.#instance
    if (made !== null) {
      const kind = find(module, made.name)
      const given = Object.keys(made.kwargs).length === 0 ? made.args : [...made.args, made.kwargs]
      // What is there keeps its state, and has the methods of now.
      instance ??= new kind(...given)
    }
    const found = new Map()
    if (instance !== null) {
      const prototype = find(module, made.name).prototype
      for (const name of methodsOf(prototype)) found.set(name, [prototype[name], instance])
    } else if (callables === null) {
      const all =
        Object.keys(module).length === 1 && typeof module.default === 'object' ? module.default : module
      for (const [name, value] of Object.entries(all ?? {}))
        if (typeof value === 'function' && !name.startsWith('_') && !isClass(value))
          found.set(name, [value, undefined])
    }
    const only = callables === null ? found : new Map()
    for (const name of callables ?? []) only.set(name, found.get(name) ?? [find(module, name), undefined])
    if (instance !== null) Object.setPrototypeOf(instance, find(module, made.name).prototype)
    this.#instance = instance
    this.#setting = { ...this.#setting, callables }
    this.functions = only
  }

  listed() {
    return [...this.functions].map(([name, [value]]) => ({
      name,
      async: value.constructor.name === 'AsyncFunction',
      signature: signature(value),
      doc: null,
    }))
  }
}

function methodsOf(prototype) {
  const names = new Set()
  for (let at = prototype; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (name !== 'constructor' && !name.startsWith('_') && typeof value === 'function') names.add(name)
  }
  return names
}

const isClass = (value) => /^class\b/.test(Function.prototype.toString.call(value))

function find(module, name) {
  let value = module
  for (const part of name.split('.')) value = value?.[part] ?? value?.default?.[part]
  if (value === undefined) throw new Refused('unknown', `The module has no ${name}.`)
  if (typeof value !== 'function') throw new Refused('unknown', `${name} cannot be called.`)
  return value
}

/** The text between the parentheses, as it was written. */
function parameters(value) {
  const text = Function.prototype.toString.call(value)
  const single = /^(?:async\s+)?([\w$]+)\s*=>/.exec(text)
  if (single !== null) return single[1]
  const begin = text.indexOf('(')
  let depth = 0
  for (let at = begin; at >= 0 && at < text.length; at++) {
    if ('([{'.includes(text[at])) depth++
    else if (')]}'.includes(text[at]) && --depth === 0) return text.slice(begin + 1, at).trim()
  }
  return '...'
}

const signature = (value) => `(${parameters(value).replace(/\s+/g, ' ')})`.slice(0, SIGNATURE)

/** Where a function takes an AbortSignal: a last parameter of that name. */
function signalAt(value) {
  const names = parameters(value).split(',')
  return /^\s*signal\s*$/.test(names.at(-1) ?? '') ? names.length - 1 : null
}

/**
 * Positional arguments. Named ones are one object, behind the others.
 *
 * @param signal is given to a function that takes one and was not given it
 */
export function argumentsOf(fn, kind, body, signal) {
  const given = positional(kind, body)
  const at = signalAt(fn)
  if (at !== null && given.length <= at) given[at] = signal
  return given
}

function positional(kind, body) {
  if (kind === 'bytes') return [body]
  if (kind === 'pickle') throw new Refused('arguments', 'Node modules take no pickled objects.')
  if (body.length === 0) return []
  let given
  try {
    given = JSON.parse(body.toString())
  } catch (error) {
    throw new Refused('arguments', `The arguments are not JSON: ${error.message}`)
  }
  if (Array.isArray(given)) return given
  if (given === null || typeof given !== 'object')
    throw new Refused('arguments', 'Arguments are an object or a list.')
  const names = Object.keys(given)
  if (names.length > 0 && names.every((name) => name === 'args' || name === 'kwargs')) {
    const { args = [], kwargs = {} } = given
    if (Array.isArray(args) && kwargs !== null && typeof kwargs === 'object' && !Array.isArray(kwargs))
      return Object.keys(kwargs).length === 0 ? args : [...args, kwargs]
  }
  return names.length === 0 ? [] : [given]
}

/** What a result is on the wire: its kind and its bytes. */
export function encoded(value) {
  const [kind, bytes] = encodedAs(value)
  if (bytes.length > LARGEST)
    throw new Refused(
      'result',
      `The result takes ${bytes.length} bytes; no more than ${LARGEST} can be sent.`,
    )
  return [kind, bytes]
}

function encodedAs(value) {
  if (value instanceof ArrayBuffer) return ['bytes', Buffer.from(value)]
  if (ArrayBuffer.isView(value))
    return ['bytes', Buffer.from(value.buffer, value.byteOffset, value.byteLength)]
  try {
    const text = JSON.stringify(value ?? null, (_name, one) => {
      if (typeof one === 'number' && !Number.isFinite(one)) throw new TypeError(`${one} is no JSON`)
      return one
    })
    if (text === undefined) throw new TypeError(`a ${typeof value} is no JSON`)
    return ['json', Buffer.from(text)]
  } catch (error) {
    throw new Refused('result', `The result is no JSON: ${error.message}`)
  }
}

/** An error as it crosses the wire. */
export function describe(error) {
  if (error instanceof CodeError) {
    const { kind, message, path, line } = error
    return { kind, type: 'CodeError', module: 'thaw', message, traceback: '', args: null, file: path, line }
  }
  if (error instanceof Refused)
    return {
      kind: error.kind,
      type: 'Refused',
      module: 'thaw',
      message: error.message,
      traceback: '',
      args: null,
    }
  const isError = error instanceof Error
  const type = isError ? String(error.name) : typeof error
  const message = isError ? String(error.message) : String(error)
  return { kind: 'raised', type, module: '', message, traceback: isError ? stackOf(error) : '', args: null }
}

/** Without the frames of the service's own. */
function stackOf(error) {
  const lines = String(error.stack ?? '')
    .replaceAll(/\?thaw=\d+/g, '')
    .split('\n')
  const own = lines.filter((line) => !line.includes(HERE) && !/^\s+at .*\bnode:/.test(line))
  const cause = error.cause instanceof Error ? `\nCaused by: ${stackOf(error.cause)}` : ''
  return `${own.join('\n')}${cause}`.slice(0, LONGEST)
}
