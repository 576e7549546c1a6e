import { closeSync, openSync, readSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import type { Scope } from '../../system/index.js'
import { findProgram } from '../lookup.js'
import { ask } from './ask.js'
import { shimStamp, stamp } from './interpreter.js'

const HEAD = 4096
const answers = new Map<string, string>()
const environments = new Map<string, Changes>()

/** Variables that a shim sets, or takes away (null). */
type Changes = Record<string, string | null>

const ENVIRONMENT = 'import json, os; print(json.dumps(dict(os.environ)))'

/** A version manager's stand-in for a program, by its text. */
export interface Shim {
  /** The version manager: a path, or a name to be found on PATH. */
  manager: string
  /** What the version manager is asked for; null: what the shim itself is called. */
  program: string | null
  /** PYENV_ROOT as the shim sets it; null when it sets none. */
  root: string | null
}

const EXEC = /^exec\s+(?:"([^"$`\\]+)"|([^\s"'$`\\]+))\s+exec\s+"(\$program|[^"$`\\]+)"\s+"\$@"\s*(?:#.*)?$/

/**
 * Null when it is not a shim that pyenv or asdf wrote: a script of the user's own may do more than start the program.
 *
 * @param text the whole script
 */
export function parseShim(text: string): Shim | null {
  if (!/^#!\s*\S*\/(?:env\s+)?(?:ba|da)?sh\s*$/m.test(text.split('\n', 1)[0] ?? '')) return null
  const lines = text.split('\n').map((line) => line.trim())
  const code = lines.filter((line) => line !== '' && !line.startsWith('#'))
  const match = EXEC.exec(code.at(-1) ?? '')
  const manager = match?.[1] ?? match?.[2]
  const program = match?.[3]
  if (manager === undefined || program === undefined) return null
  const named = program === '$program' ? null : program
  if (basename(manager) === 'asdf') {
    return named !== null && code.length === 1 ? { manager, program, root: null } : null
  }
  const foreign = code.some((line) => /^export\s/.test(line) && !/^export\s+_?PYENV_/.test(line))
  if (basename(manager) !== 'pyenv' || named !== null || foreign) return null
  if (!code.includes('program="${0##*/}"')) return null
  const root = code.map((line) => /^export PYENV_ROOT="([^"$`\\]+)"$/.exec(line)?.[1]).find(Boolean)
  return { manager, program: null, root: root ?? null }
}

function readShim(path: string): Shim | null {
  try {
    const fd = openSync(path, 'r')
    try {
      const buffer = Buffer.alloc(HEAD)
      const size = readSync(fd, buffer)
      // The end of a longer one, which decides, is not in sight.
      return size === HEAD ? null : parseShim(buffer.toString('utf8', 0, size))
    } finally {
      closeSync(fd)
    }
  } catch {
    return null
  }
}

/**
 * The program that a version manager's shim at `path` starts in `cwd`, by the version manager's word.
 *
 * @returns its absolute path; null when there is no such shim there, or nothing behind it
 */
export async function resolveShim(
  path: string,
  cwd: string,
  env: Record<string, string>,
  scope: Scope,
): Promise<string | null> {
  const shim = readShim(path)
  if (shim === null) return null
  const given = shim.root === null ? env : { ...env, PYENV_ROOT: shim.root }
  const manager = findProgram(shim.manager, cwd, given)
  if (manager === null) return null
  const key = JSON.stringify([
    stamp(path),
    shimStamp(cwd, given),
    // Either may name a version by its beginning: the newest installed one is meant.
    stamp(join(shim.root ?? '/', 'versions')),
    stamp(join(env['HOME'] ?? '/', '.tool-versions')),
    Object.entries(given).filter(([name]) => /^(?:PATH|HOME|(?:PYENV|ASDF)_.*)$/.test(name)),
  ])
  const known = answers.get(key)
  if (known !== undefined && findProgram(known, cwd, env) !== null) return known
  const answer = await ask([manager, 'which', shim.program ?? basename(path)], cwd, given, scope).catch(
    () => null,
  )
  // A refusal is not kept: the program may be installed at any time, which leaves the shim as it is.
  if (answer === null || !answer.startsWith('/') || answer === path) return null
  if (findProgram(answer, cwd, env) === null) return null
  if (answers.size > 200) answers.clear()
  answers.set(key, answer)
  return answer
}

/**
 * The environment in which a version manager's shim starts what it stands for: a pyenv's puts the version's own
 * programs first on PATH, names the version, and is a shell, which leaves marks as well.
 *
 * @param path of the shim
 * @param interpreter what it starts, or what runs what it starts
 * @returns `env` as it is where `path` is no shim, or one that would start another interpreter
 */
export async function shimEnvironment(
  path: string,
  interpreter: string,
  cwd: string,
  env: Record<string, string>,
  scope: Scope,
): Promise<Record<string, string>> {
  if (readShim(path) === null) return env
  // Only an interpreter can be asked what it finds.
  const python = /^python[\d.]*$/.test(basename(path)) ? path : join(dirname(path), 'python3')
  const decisive = Object.entries(env).filter(([name]) =>
    /^(?:PATH|HOME|PWD|OLDPWD|SHLVL|_|_?(?:PYENV|ASDF)_.*)$/.test(name),
  )
  const key = JSON.stringify([stamp(python), shimStamp(cwd, env), cwd, interpreter, decisive])
  let changes = environments.get(key)
  if (changes === undefined) {
    const answer = await ask([python, '-I', '-S', '-c', ENVIRONMENT], cwd, env, scope).catch(() => null)
    if (answer === null) return env
    changes = changesOf(env, z.record(z.string(), z.string()).parse(JSON.parse(answer)))
    const started = findProgram(basename(interpreter), cwd, { PATH: changes['PATH'] ?? env['PATH'] ?? '' })
    if (started !== interpreter) changes = {}
    if (environments.size > 200) environments.clear()
    environments.set(key, changes)
  }
  const changed = { ...env, ...changes }
  return Object.fromEntries(
    Object.entries(changed).filter((entry): entry is [string, string] => entry[1] !== null),
  )
}

function changesOf(before: Record<string, string>, after: Record<string, string>): Changes {
  const changes: Changes = {}
  for (const name of Object.keys(before)) if (!(name in after)) changes[name] = null
  for (const [name, value] of Object.entries(after)) {
    // What is not UTF-8 came through as it was; LC_CTYPE is set by the interpreter itself (PEP 538).
    const foreign = /\p{Surrogate}/u.test(value)
    if (before[name] !== value && !foreign && name !== 'LC_CTYPE') changes[name] = value
  }
  return changes
}
