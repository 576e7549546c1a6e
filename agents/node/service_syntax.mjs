/** What esbuild knows of a file: whether it can be read, and TypeScript as JavaScript. */
import { createRequire } from 'node:module'
import { extname } from 'node:path'

const LOADERS = { '.ts': 'ts', '.mts': 'ts', '.cts': 'ts', '.tsx': 'tsx', '.jsx': 'jsx' }

let esbuild = null

/** @param path of esbuild's main file */
export function useEsbuild(path) {
  esbuild = createRequire(path)(path)
}

/** New code that cannot take the place of the old. Nothing has changed. */
export class CodeError extends Error {
  constructor(message, path, line, kind = 'reload') {
    super(message)
    this.kind = kind
    this.path = path
    this.line = line
  }
}

export const isTyped = (path) => extname(path) in LOADERS

/** As JavaScript that tells its lines. Raises CodeError. */
export function compiled(path, source) {
  const loader = LOADERS[extname(path)] ?? 'js'
  try {
    const { code } = esbuild.transformSync(source.toString(), {
      loader,
      sourcefile: path,
      sourcemap: 'inline',
      sourcesContent: false,
      target: 'node20',
      logLevel: 'silent',
    })
    return code
  } catch (error) {
    const [first] = error.errors ?? []
    if (first === undefined) throw error
    throw new CodeError(first.text, path, first.location?.line ?? 0, 'syntax')
  }
}

/** Raises CodeError for a file that is no JavaScript or TypeScript. */
export function check(sources) {
  for (const [path, source] of Object.entries(sources))
    if (/\.[cm]?[jt]sx?$/.test(path)) compiled(path, source)
}
