/** Commands below which Python programs are runs of their own (docs/agent-protocol.md, "Launchers"). */
import { join } from 'node:path'
import { agentsDirectory, packageRoot } from '../../system/index.js'
import { RESUMABLE } from '../python/interpreter.js'

const VARIABLE = 'THAW_LAUNCHER'
/** Python programs that start other programs: not resumed themselves, but what is below them. */
const PYTHON_LAUNCHERS = new Set([
  'tox',
  'nox',
  'invoke',
  'inv',
  'poetry',
  'pipenv',
  'pdm',
  'hatch',
  'pre-commit',
])

type Env = Record<string, string>

export interface LaunchPass {
  token: string
  socket: string
  /** Pid of the daemon, whose limits and namespaces are those of a run. */
  daemon: number
  /** Whether what comes on the launcher's stdin is typed by a person. */
  typed: boolean
  /** Options of `thaw run` for the commands below. */
  flags: string[]
}

export function isPythonLauncher(command: readonly string[]): boolean {
  const [program = '', first, second = ''] = command
  const name = program.slice(program.lastIndexOf('/') + 1)
  return PYTHON_LAUNCHERS.has(name) || (first === '-m' && PYTHON_LAUNCHERS.has(second.replaceAll('_', '-')))
}

function directory(): string {
  return join(agentsDirectory(), 'python', 'launcher')
}

function inserted(original: string | undefined): string {
  return original === undefined || original === '' ? directory() : `${directory()}:${original}`
}

/** The environment in which a launcher is started. */
export function launcherEnvironment(env: Env, pass: LaunchPass): Env {
  const original = env['PYTHONPATH']
  const fields = [
    original === undefined ? '-' : `=${original}`,
    pass.token,
    pass.socket,
    String(pass.daemon),
    pass.typed ? '1' : '0',
    RESUMABLE.map((version) => `cpython ${version}`).join(','),
    process.execPath,
    join(packageRoot(), 'bin', 'thaw.js'),
    ...pass.flags,
  ]
  return {
    ...env,
    PYTHONPATH: inserted(original),
    [VARIABLE]: fields.map((field) => encodeURIComponent(field)).join('&'),
  }
}

/** The environment as it would be had no launcher been started with another one. */
export function withoutLauncher(env: Env): Env {
  const { [VARIABLE]: pass, ...rest } = env
  if (pass === undefined) return env
  const given = decodeURIComponent(pass.split('&', 1)[0] ?? '-')
  const original = given.startsWith('=') ? given.slice(1) : undefined
  const now = rest['PYTHONPATH']
  if (now === undefined) return rest
  const put = inserted(original)
  const restored = now.includes(put)
    ? now.replace(put, () => original ?? '')
    : now
        .split(':')
        .filter((part) => part !== directory())
        .join(':')
  if (restored !== '' || original !== undefined) rest['PYTHONPATH'] = restored
  else delete rest['PYTHONPATH']
  return rest
}
