import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Scope } from '../../system/index.js'
import type { Adapted, CommandContext } from '../language.js'
import { findProgram } from '../lookup.js'
import { findProject } from '../../system/project.js'
import { isPythonName, parsePythonArguments, parseShebang, type PythonCommand } from './command-line.js'
import { describeInterpreter, whyNotResumable } from './interpreter.js'
import { resolveShim, shimEnvironment } from './shim.js'

const HEAD = 512
const ZIP = Buffer.from('PK\x03\x04')

function readHead(path: string | null): Buffer | null {
  try {
    if (path === null) return null
    const fd = openSync(path, 'r')
    try {
      const buffer = Buffer.alloc(HEAD)
      return buffer.subarray(0, readSync(fd, buffer))
    } finally {
      closeSync(fd)
    }
  } catch {
    return null
  }
}

const realIn = ({ inside }: CommandContext) => inside?.real.bind(inside) ?? ((path: string) => path)

/** The interpreter and its flags by a script's first line; null when it is not a Python script. */
function readFirstLine(script: string, context: CommandContext): { program: string; flags: string[] } | null {
  const { cwd, env } = context
  const real = realIn(context)
  const head = readHead(real(script))
  const shebang = head === null ? null : parseShebang(head.toString('latin1'))
  if (shebang === null) return null
  const program = shebang.lookup
    ? findProgram(shebang.interpreter, cwd, env, real)
    : findProgram(resolve(cwd, shebang.interpreter), cwd, env, real)
  return program === null ? null : { program, flags: shebang.flags }
}

interface Found {
  /** The interpreter's path, which may be a shim. */
  program: string
  /** What it is given. */
  args: string[]
  /** What the command starts first: where that is a version manager's shim, it changes the environment. */
  shim: string
}

/** Null when the command is not Python's. */
async function asPython(context: CommandContext, scope: Scope): Promise<Found | null> {
  const { command, cwd, env } = context
  const [name = '', ...args] = command
  const program = findProgram(name, cwd, env, realIn(context))
  if (program === null) return null
  if (isPythonName(program)) return { program, args, shim: program }
  const direct = readFirstLine(program, context)
  if (direct !== null) {
    // The kernel hands the script over under the name it was started by.
    const script = name.includes('/') ? name : program
    return { program: direct.program, args: [...direct.flags, script, ...args], shim: direct.program }
  }
  const script = context.inside === undefined ? await resolveShim(program, cwd, env, scope) : null
  const behind = script === null ? null : readFirstLine(script, context)
  if (script === null || behind === null) return null
  return { program: behind.program, args: [...behind.flags, script, ...args], shim: program }
}

function whyPlain(parsed: PythonCommand, context: CommandContext): string | null {
  const { cwd, env } = context
  if (env['PYTHONINSPECT']) return 'an interactive interpreter (PYTHONINSPECT)'
  // What it compiles would not notice that instructions change.
  if (!['', '0'].includes(env['PYTHON_JIT'] ?? ''))
    return "CPython's experimental compiler is on (PYTHON_JIT)"
  if (parsed.main.kind !== 'script') return null
  const path = resolve(cwd, parsed.main.name)
  const file = realIn(context)(path)
  let stat
  try {
    stat = file === null ? null : statSync(file)
  } catch {
    stat = null
  }
  if (stat === null) return `${parsed.main.name} cannot be opened`
  if (stat.isDirectory()) return 'the program is a directory'
  if (!stat.isFile()) return 'the program is not a regular file'
  const head = readHead(file)
  if (head === null) return `${parsed.main.name} cannot be read`
  if (head.subarray(0, 4).equals(ZIP)) return 'the program is a zip archive'
  if (path.endsWith('.pyc')) return 'the program is compiled already'
  return null
}

/** `sys.flags.optimize` of an interpreter started with these. */
function optimizeLevel(flags: string[], env: Record<string, string>): number {
  const given = flags.filter((flag) => /^-[a-zA-Z]+$/.test(flag)).join('')
  const asked = given.split('O').length - 1
  const variable = /[EI]/.test(given) ? '' : (env['PYTHONOPTIMIZE'] ?? '')
  const named = variable === '' ? 0 : /^\d+$/.test(variable) ? Number(variable) : 1
  return Math.min(2, Math.max(asked, named))
}

/** A Python command, with an agent where that is possible; null when the command is not Python's. */
export async function adaptPython(context: CommandContext, scope: Scope): Promise<Adapted | null> {
  const { cwd, env, inside } = context
  const found = await asPython(context, scope)
  if (found === null) return null
  const interpreter = await describeInterpreter(found.program, cwd, env, scope, inside)
  if (interpreter === null) return null
  const python = interpreter.executable
  const parsed = parsePythonArguments(found.args)
  const script =
    typeof parsed === 'string' || parsed.main.kind !== 'script' || inside !== undefined
      ? null
      : resolve(cwd, parsed.main.name)
  const plain = (plainReason: string): Adapted => ({
    language: 'python',
    interpreter: python,
    env,
    project: findProject(cwd, script, env['HOME']),
    agent: null,
    plainReason,
  })
  if (typeof parsed === 'string') return plain(parsed)
  const unable = whyNotResumable(interpreter)
  if (unable !== null) return plain(unable)
  const why = whyPlain(parsed, context)
  if (why !== null) return plain(why)
  const { flags, main, args } = parsed
  const option = { script: [], module: ['-m'], command: ['-c'] }[main.kind]
  return {
    ...plain(''),
    env: inside === undefined ? await shimEnvironment(found.shim, python, cwd, env, scope) : env,
    agent: {
      argv: (stub) => [python, ...flags, stub, ...args],
      main,
      origArgv: [python, ...flags, ...option, main.name, ...args],
      optimize: optimizeLevel(flags, env),
    },
    plainReason: null,
  }
}
