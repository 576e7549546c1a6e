import { spawn, type ChildProcess } from 'node:child_process'
import type { Duplex, Readable, Writable } from 'node:stream'
import { ThawError } from './error.js'
import type { Scope } from './scope.js'

/** How a process ended. Never reduced to one number before the very edge. */
export interface Exit {
  /** Exit code; null when a signal ended it. */
  code: number | null
  /** Signal that ended it, by name; null when it exited. */
  signal: string | null
  /** Whether its deadline had passed when it was ended. */
  timedOut: boolean
  /** Whether it had to be killed because it did not end when asked. */
  forced: boolean
}

export interface SpawnOptions {
  cwd?: string
  /** The whole environment; this process's when left out. */
  env?: Record<string, string | undefined>
  /** One entry a descriptor: a descriptor number, or `pipe`, `ignore`, `inherit`. Default: all pipes. */
  stdio?: ('pipe' | 'ignore' | 'inherit' | number)[]
  /** Milliseconds between asking (SIGTERM) and killing (SIGKILL) at the end of the scope. */
  grace?: number
  /**
   * What happens to the group when this process exits by itself. `leave`: for a program that notices the end of its
   * stdin and has processes of its own to end first.
   */
  atExit?: 'kill' | 'leave'
}

export interface Child extends AsyncDisposable {
  readonly pid: number
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  readonly exited: Promise<Exit>
  /** The pipe at descriptor `n` (3 and above), as asked for in `stdio`. */
  pipe(n: number): Duplex
  /** Sends a signal to the process's group. A group that is gone is no error. */
  signal(name: NodeJS.Signals): void
  /** Asks with SIGTERM, kills the whole group after the grace period, and waits. */
  end(): Promise<Exit>
}

/** Groups to kill when this process exits by itself. */
const groups = new Set<number>()
let exitHook = false

function killGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name)
  } catch {
    // ESRCH: the group is gone, which is what was wanted.
  }
}

/**
 * Starts a program in a process group of its own. The group is killed when this process exits, and ended when the
 * scope is aborted or its deadline passes.
 *
 * @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, CANCELLED
 */
export async function startProcess(
  argv: readonly string[],
  options: SpawnOptions,
  scope: Scope,
): Promise<Child> {
  if (scope.signal.aborted) throw new ThawError('CANCELLED', `Cancelled before starting ${argv[0]}.`)
  const [file, ...args] = argv
  if (file === undefined) throw new ThawError('INVALID_REQUEST', 'There is no command to start.')
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env as NodeJS.ProcessEnv | undefined,
    stdio: options.stdio ?? ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  await spawned(child, file, options.cwd)
  const pid = child.pid as number
  if (options.atExit !== 'leave') groups.add(pid)
  if (!exitHook) {
    exitHook = true
    process.on('exit', () => {
      for (const group of groups) killGroup(group, 'SIGKILL')
    })
  }

  let timedOut = false
  let forced = false
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      groups.delete(pid)
      resolve({ code, signal, timedOut, forced })
    })
  })
  const end = async (): Promise<Exit> => {
    killGroup(pid, 'SIGTERM')
    const timer = setTimeout(() => {
      forced = true
      killGroup(pid, 'SIGKILL')
    }, options.grace ?? 2000)
    const exit = await exited
    clearTimeout(timer)
    killGroup(pid, 'SIGKILL')
    return exit
  }
  const onAbort = () => void end()
  scope.signal.addEventListener('abort', onAbort, { once: true })
  let deadline: NodeJS.Timeout | undefined
  if (scope.deadline !== undefined) {
    deadline = setTimeout(
      () => {
        timedOut = true
        void end()
      },
      Math.max(0, scope.deadline - performance.now()),
    )
  }
  void exited.then(() => {
    clearTimeout(deadline)
    scope.signal.removeEventListener('abort', onAbort)
  })
  return {
    pid,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    pipe: (n) => child.stdio[n] as unknown as Duplex,
    signal: (name) => killGroup(pid, name),
    end,
    [Symbol.asyncDispose]: async () => {
      await end()
    },
  }
}

/**
 * Starts a program that outlives this process: its own session, none of its descriptors shared but those in `stdio`.
 *
 * @throws ThawError as startProcess
 */
export async function startDetached(
  argv: readonly string[],
  options: SpawnOptions,
): Promise<{ pid: number; exited: Promise<Exit>; pipe(n: number): Duplex; unref(): void }> {
  const [file, ...args] = argv
  if (file === undefined) throw new ThawError('INVALID_REQUEST', 'There is no command to start.')
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env as NodeJS.ProcessEnv | undefined,
    stdio: options.stdio ?? ['ignore', 'ignore', 'ignore'],
    detached: true,
  })
  await spawned(child, file, options.cwd)
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal, timedOut: false, forced: false }))
  })
  return {
    pid: child.pid as number,
    exited,
    pipe: (n) => child.stdio[n] as unknown as Duplex,
    unref: () => child.unref(),
  }
}

/**
 * Runs a program in this process's place: its streams, its process group, its end.
 *
 * @param pass signals that are handed on while it runs; others reach it by themselves
 * @param as its environment, and its soft limit on open files where that is not this process's
 * @throws ThawError as startProcess
 */
export async function runInPlace(
  argv: readonly string[],
  pass: readonly NodeJS.Signals[],
  as: { env: NodeJS.ProcessEnv; openFiles: string | undefined },
): Promise<Pick<Exit, 'code' | 'signal'>> {
  if (argv.length === 0) throw new ThawError('INVALID_REQUEST', 'There is no command to start.')
  const limit =
    as.openFiles === undefined ? [] : ['/bin/sh', '-c', 'ulimit -Sn "$0"; exec "$@"', as.openFiles]
  const [file, ...args] = [...limit, ...argv] as [string, ...string[]]
  const child = spawn(file, args, { stdio: 'inherit', env: as.env })
  const exited = new Promise<Pick<Exit, 'code' | 'signal'>>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  await spawned(child, file, undefined)
  for (const name of pass) process.on(name, () => child.kill(name))
  return exited
}

function spawned(child: ChildProcess, file: string, cwd: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error: NodeJS.ErrnoException) => reject(spawnError(error, file, cwd)))
  })
}

function spawnError(error: NodeJS.ErrnoException, file: string, cwd: string | undefined): ThawError {
  // Node reports a missing working directory as ENOENT of the program, and names it in the path only.
  if (error.code === 'ENOENT') {
    return new ThawError(
      'COMMAND_NOT_FOUND',
      `Cannot start ${file}${cwd === undefined ? '' : ` in ${cwd}`}: not found.`,
      {
        cause: error,
      },
    )
  }
  if (error.code === 'EACCES' || error.code === 'ENOEXEC') {
    return new ThawError('NOT_EXECUTABLE', `Cannot start ${file}: ${error.code}.`, { cause: error })
  }
  return new ThawError('INTERNAL', `Cannot start ${file}: ${error.message}.`, { cause: error })
}
