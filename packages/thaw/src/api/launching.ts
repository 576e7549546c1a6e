/** From a request to the runs: the settings in force, and what is checked before anything starts. */
import type { ResumeRequest, RunReport, RunRequest, RunSettings } from '@thaw/protocol'
import { ThawError, type Scope } from '../system/index.js'
import { parseBreak } from './breaks.js'
import type { ApiContext } from './context.js'
import type { Handle, Sink } from './ports.js'
import { findRoot } from './root.js'
import { resolveSettings, runSettings } from './settings.js'

/** @throws ThawError what the catalogue says for `thaw run` */
export async function startCommand(
  request: RunRequest,
  sink: (settings: RunSettings) => Sink,
  context: ApiContext,
  scope: Scope,
): Promise<Handle<RunReport>> {
  checkWords(request)
  checkPattern(request.break_output)
  const { effects, quiet } = request
  const settingsFor = ({ env, engine }: Pick<RunRequest, 'env' | 'engine'>) =>
    resolveSettings({
      env,
      cwd: request.cwd,
      userFile: context.paths.settings,
      flags: { engine, effects, quiet },
    })
  // Which engine it is decides what its root file system is.
  const inMachine = runSettings(settingsFor(request)).engine === 'vm'
  const asked = inMachine ? 'vm' : request.engine
  const { root, env, engine } = await findRoot({ ...request, engine: asked }, context, scope)
  const resolved = settingsFor({ env, engine })
  const settings = runSettings(resolved)
  if (settings.engine !== 'vm' && (request.memory !== null || request.cpus !== null)) {
    throw new ThawError('UNSUPPORTED', 'Only machines have a size: --memory and --cpus.', {
      hint: 'Add --engine vm, or bound the program by the means of the shell (ulimit, taskset).',
    })
  }
  const breaks = request.break.map(parseBreak)
  const { image: _, ...rest } = request
  const started = {
    ...rest,
    env,
    root,
    engine: settings.engine,
    effects: settings.effects,
    settings,
    breaks,
    flags: flagsOf(request),
  }
  return await context.runs.start(started, sink(settings), scope)
}

/**
 * @param sinks one for each branch that is asked for
 * @throws ThawError what the catalogue says for `thaw resume`
 */
export async function resumeCheckpoint(
  id: string,
  request: ResumeRequest,
  sinks: (settings: RunSettings) => Sink[],
  context: ApiContext,
  scope: Scope,
): Promise<{ handle: Handle<RunReport>; command: string[] }> {
  checkPattern(request.break_output)
  const run = context.runs.get(context.journal.getCheckpoint(id)?.run ?? '')
  const resolved = resolveSettings({
    env: {},
    ...(run === undefined ? {} : { cwd: run.cwd }),
    userFile: context.paths.settings,
    flags: { quiet: request.quiet },
  })
  const settings = runSettings(resolved)
  const breaks = request.break.map(parseBreak)
  const handle = await context.runs.resume(id, { ...request, breaks, settings }, sinks(settings), scope)
  return { handle, command: run?.command ?? [] }
}

/** What the kernel cannot be told: its strings end with a NUL. */
function checkWords({ command, cwd, env }: RunRequest): void {
  const entries = Object.entries(env)
  const names = entries.map(([name]) => name)
  const wrong =
    command[0] === ''
      ? 'The command is empty'
      : [...command, cwd, ...entries.flat()].some((text) => text.includes('\0'))
        ? 'The command, its directory or its environment holds a NUL'
        : names.some((name) => name === '' || name.includes('='))
          ? 'A variable of the environment has no name, or one with an equals sign'
          : null
  if (wrong !== null) throw new ThawError('INVALID_REQUEST', `${wrong}.`)
}

export function checkPattern(text: string | null): void {
  try {
    if (text !== null) RegExp(text, 'm')
  } catch (error) {
    throw new ThawError('INVALID_REQUEST', `break_output: ${(error as Error).message}.`, {
      cause: error,
      hint: 'See `thaw run --help`.',
    })
  }
}

/** What the caller asked for on the command line, as options of a command line. */
function flagsOf({ fresh, engine, effects }: RunRequest): string[] {
  return [
    ...(fresh ? ['--fresh'] : []),
    ...(engine === null ? [] : ['--engine', engine]),
    ...(effects === null ? [] : ['--effects', effects]),
  ]
}
