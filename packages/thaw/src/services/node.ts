/** Services of Node modules: what is started for them, and what they cannot do. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { findProgram } from '../languages/index.js'
import type { ServiceRow } from '../store/index.js'
import { agentsDirectory, ThawError } from '../system/index.js'

type Asked = ServiceRow['request']

/** Whether a file is a module that node loads; TypeScript is compiled before. */
export function isNode(file: string): boolean {
  return /\.[cm]?[jt]s$/.test(file)
}

/** @throws ThawError UNSUPPORTED for what is asked of a Node module and cannot be done */
export function checkNode({ source, compute }: Asked): void {
  const refuse = (what: string, hint: string) => {
    throw new ThawError('UNSUPPORTED', `${source.file} is a Node module: ${what}`, { hint })
  }
  if (source.file.endsWith('.cts')) refuse('CommonJS in TypeScript is not compiled.', 'Make it a .ts file.')
  if (compute.pickle) refuse('it has no pickled objects.', 'Deploy it without --pickle.')
  if (compute.repair !== null)
    refuse('its calls are not repaired yet.', 'Deploy it without --repair; `thaw repair` repairs runs.')
}

/** The keeper of its processes. */
export function nodeHost({ source, compute }: Asked): {
  argv: string[]
  env: Record<string, string>
  setting: Record<string, unknown>
} {
  const path = { PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin' }
  const home = process.env['HOME'] === undefined ? {} : { HOME: process.env['HOME'] }
  // criu knows no io_uring.
  const env = { ...path, ...home, ...compute.env, UV_USE_IO_URING: '0' }
  const node = findProgram('node', dirname(source.file), env) ?? process.execPath
  const program = join(agentsDirectory(), 'node', 'service_host.mjs')
  const esbuild = createRequire(import.meta.url).resolve('esbuild')
  return { argv: [node, program], env, setting: { esbuild } }
}
