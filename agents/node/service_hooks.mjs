/**
 * How a worker's own modules are found and read, in the thread in which node keeps such hooks. A module that is to be
 * evaluated anew has another address: its own with a number behind it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compiled, isTyped, useEsbuild } from './service_syntax.mjs'

const TYPED = ['.ts', '.mts', '.tsx']
let root = ''
let port = null
/** What is read in the place of files, by path. */
const sources = new Map()
/** By path, of modules that were evaluated more than once. */
const numbers = new Map()

export function initialize(given) {
  root = given.root + sep
  port = given.port
  useEsbuild(given.esbuild)
  for (const [path, source] of Object.entries(given.sources)) sources.set(path, Buffer.from(source, 'base64'))
  port.on('message', (message) => {
    if (message.do === 'put') {
      for (const [path, source] of Object.entries(message.sources)) sources.set(path, Buffer.from(source))
      for (const [path, number] of Object.entries(message.numbers)) {
        if (number === 0) numbers.delete(path)
        else numbers.set(path, number)
      }
    }
    // Everything that was said before has been heard when this arrives.
    port.postMessage({ t: 'done' })
  })
  port.unref()
}

const owns = (path) => path.startsWith(root) && !path.includes(`${sep}node_modules${sep}`)

function pathOf(url) {
  return url.startsWith('file:') ? fileURLToPath(url) : null
}

export async function resolve(specifier, context, next) {
  const found = await next(specifier, context).catch((error) => {
    const typed = typedOf(specifier, context.parentURL)
    if (typed === null) throw error
    return { url: typed, format: 'module' }
  })
  const path = pathOf(found.url)
  if (path === null || !owns(path)) return found
  const parent = context.parentURL === undefined ? null : pathOf(context.parentURL)
  if (parent !== null && owns(parent)) port.postMessage({ t: 'import', from: parent, to: path })
  const number = numbers.get(path)
  const url = number === undefined ? pathToFileURL(path).href : `${pathToFileURL(path).href}?thaw=${number}`
  return { ...found, url, shortCircuit: true }
}

/** `./util.js` and `./util` of a TypeScript file may mean `util.ts`. */
function typedOf(specifier, parent) {
  if (parent === undefined || !/^\.{1,2}\//.test(specifier)) return null
  const base = fileURLToPath(new URL(specifier, parent))
  const stem = base.replace(/\.[cm]?js$/, '')
  const found = TYPED.map((ending) => stem + ending).find((path) => existsSync(path))
  return found === undefined ? null : pathToFileURL(found).href
}

export async function load(url, context, next) {
  const path = pathOf(url)
  if (path === null || !owns(path)) return next(url, context)
  if (!isTyped(path) && context.format !== 'module') {
    port.postMessage({ t: 'read', path, source: sources.get(path) ?? readFileSync(path) })
    return next(url, context)
  }
  const source = sources.get(path) ?? readFileSync(path)
  port.postMessage({ t: 'read', path, source })
  return { format: 'module', source: isTyped(path) ? compiled(path, source) : source, shortCircuit: true }
}
