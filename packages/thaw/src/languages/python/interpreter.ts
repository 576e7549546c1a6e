import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import type { Scope } from '../../system/index.js'
import type { Inside } from '../language.js'
import { ask } from './ask.js'

const described = z.object({
  executable: z.string(),
  version: z.tuple([z.number(), z.number(), z.number()]),
  implementation: z.string(),
  debug: z.boolean(),
})
export type Interpreter = z.infer<typeof described>

/** Versions of CPython whose programs can be resumed. */
export const RESUMABLE: readonly string[] = ['3.11', '3.12', '3.13', '3.14']

/** Why programs of an interpreter cannot be resumed, as far as its own word tells; null when they may be. */
export function whyNotResumable({ implementation, version, debug }: Interpreter): string | null {
  if (implementation === 'cpython' && RESUMABLE.includes(version.slice(0, 2).join('.')) && !debug) return null
  const name = implementation === 'cpython' ? 'CPython' : implementation
  const build = debug ? ' (debug build)' : ''
  return `${name} ${version.join('.')}${build}: only release builds of CPython ${RESUMABLE[0]} to ${RESUMABLE.at(-1)} can be resumed`
}

const QUESTION = `import sys
print('{"executable":"%s","version":[%d,%d,%d],"implementation":"%s","debug":%s}' % ((
    sys.executable.replace('\\\\', '\\\\\\\\').replace('"', '\\\\"'),) + tuple(sys.version_info[:3]) + (
    sys.implementation.name, 'true' if hasattr(sys, 'gettotalrefcount') else 'false')))`

const answers = new Map<string, Promise<Interpreter | null>>()

/** What changes when the file at `path` is written or replaced; empty when there is none. */
export function stamp(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path)
    return `${path}:${mtimeMs}:${size}:${ino}`
  } catch {
    return ''
  }
}

/** What decides which version a version manager's shim picks. */
export function shimStamp(cwd: string, env: Record<string, string>): string {
  const parts = [env['PYENV_VERSION'] ?? '', env['PYENV_ROOT'] ?? '', env['ASDF_PYTHON_VERSION'] ?? '']
  for (let directory = cwd; ; directory = dirname(directory)) {
    parts.push(stamp(join(directory, '.python-version')), stamp(join(directory, '.tool-versions')))
    if (directory === '/') break
  }
  parts.push(stamp(join(env['PYENV_ROOT'] ?? join(env['HOME'] ?? '/', '.pyenv'), 'version')))
  return parts.join('|')
}

/** What the program at `path` really is, by its own word; null when it does not answer as a Python does. */
export function describeInterpreter(
  path: string,
  cwd: string,
  env: Record<string, string>,
  scope: Scope,
  inside?: Inside,
): Promise<Interpreter | null> {
  const looks = inside === undefined ? [stamp(path), shimStamp(cwd, env)] : [inside.key, path]
  const key = [...looks, env['PATH'] ?? '', env['PYTHONHOME'] ?? ''].join('\0')
  let answer = answers.get(key)
  if (answer === undefined) {
    if (answers.size > 200) answers.clear()
    answer = describe(path, cwd, env, scope, inside).catch(() => {
      // A busy machine must not brand an interpreter for good.
      answers.delete(key)
      return null
    })
    answers.set(key, answer)
  }
  return answer
}

async function describe(
  path: string,
  cwd: string,
  env: Record<string, string>,
  scope: Scope,
  inside?: Inside,
): Promise<Interpreter | null> {
  const question = [path, '-I', '-S', '-c', QUESTION]
  const answer = await (inside === undefined ? ask(question, cwd, env, scope) : inside.ask(question, env))
  if (answer === null) return null
  const result = described.safeParse(JSON.parse(answer))
  if (!result.success) return null
  return { ...result.data, executable: result.data.executable === '' ? path : result.data.executable }
}
