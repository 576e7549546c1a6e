import { accessSync, chmodSync, constants, existsSync, lstatSync, mkdirSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { homedir, tmpdir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ThawError } from './error.js'

/** Where one user's thaw (one THAW_HOME) keeps its things. All directories are 0700. */
export interface Paths {
  /** What moved state and sockets; null when the XDG directories are in use. */
  readonly home: string | null
  /** Journal, records of output, stored files: survives restarts. */
  readonly state: string
  /** Sockets, FIFOs, lock: of this boot only. */
  readonly runtime: string
  /** What can be made again (instrumented code, stubs); shared by every THAW_HOME. */
  readonly cache: string
  readonly socket: string
  readonly lock: string
  readonly journal: string
  readonly log: string
  /** Digests of the tokens for TCP. */
  readonly tokens: string
  /** One directory a run, with its branches' output. */
  readonly runs: string
  /** What checkpoints on disk share. */
  readonly pages: string
  /** Imports under way. */
  readonly imports: string
  /** The user's settings. */
  readonly settings: string
}

/** A unix socket's path must fit sun_path with its final NUL. */
const SOCKET_PATH_LIMIT = 107

/** One daemon for each state: who has another HOME has another one. */
function digest(state: string): string {
  return createHash('sha1').update(state).digest('hex').slice(0, 8)
}

type Env = Record<string, string | undefined>

function absolute(value: string | undefined): string | undefined {
  return value !== undefined && value.startsWith('/') ? value : undefined
}

/**
 * Paths for an environment. Creates nothing.
 *
 * @throws ThawError SOCKET_PATH_TOO_LONG
 */
export function findPaths(env: Env = process.env): Paths {
  const user = absolute(env['HOME']) ?? homedir()
  const home = env['THAW_HOME'] === undefined || env['THAW_HOME'] === '' ? null : resolve(env['THAW_HOME'])
  const state =
    home === null
      ? join(absolute(env['XDG_STATE_HOME']) ?? join(user, '.local', 'state'), 'thaw')
      : join(home, 'state')
  const runtimeBase = absolute(env['XDG_RUNTIME_DIR'])
  const runtime =
    home !== null
      ? join(home, 'run')
      : runtimeBase !== undefined
        ? join(runtimeBase, `thaw-${digest(state)}`)
        : join(absolute(env['TMPDIR']) ?? tmpdir(), `thaw-${userInfo().uid}-${digest(state)}`)
  const socket = join(runtime, 'daemon.sock')
  if (Buffer.byteLength(socket) > SOCKET_PATH_LIMIT) {
    throw new ThawError(
      'SOCKET_PATH_TOO_LONG',
      `The socket would be ${socket}, ${Buffer.byteLength(socket)} bytes; the kernel allows ${SOCKET_PATH_LIMIT}.`,
    )
  }
  return {
    home,
    state,
    runtime,
    cache: join(absolute(env['XDG_CACHE_HOME']) ?? join(user, '.cache'), 'thaw'),
    socket,
    lock: join(runtime, 'daemon.lock'),
    journal: join(state, 'journal.db'),
    log: join(state, 'daemon.log'),
    tokens: join(state, 'tokens.json'),
    runs: join(state, 'runs'),
    pages: join(state, 'pages'),
    imports: join(state, 'imports'),
    settings: join(absolute(env['XDG_CONFIG_HOME']) ?? join(user, '.config'), 'thaw', 'thaw.toml'),
  }
}

/**
 * Creates the directories, readable by their owner only.
 *
 * @throws ThawError STATE_UNWRITABLE naming the directory
 */
export function preparePaths(paths: Paths): void {
  for (const directory of [paths.state, paths.runtime, paths.cache, paths.runs]) preparePrivate(directory)
}

/** Creates one private directory; an existing one must belong to this user, and is made 0700. */
export function preparePrivate(directory: string): void {
  try {
    makeDirectories(directory)
    const stat = lstatSync(directory)
    // A directory below /tmp could have been planted by someone else, or be a link to somewhere else.
    if (stat.isSymbolicLink() || stat.uid !== userInfo().uid) {
      throw new ThawError('STATE_UNWRITABLE', `${directory} is not a directory of this user.`)
    }
    if ((stat.mode & 0o777) !== 0o700) chmodSync(directory, 0o700)
    accessSync(directory, constants.W_OK | constants.X_OK)
  } catch (error) {
    if (error instanceof ThawError) throw error
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new ThawError('STATE_UNWRITABLE', `${directory} cannot be created or written (${code}).`, {
      cause: error,
    })
  }
}

/** Node's own recursive mkdir never returns where a parent exists but takes no entries (/proc, for one). */
function makeDirectories(directory: string): void {
  const make = (): string | undefined => {
    try {
      mkdirSync(directory, { mode: 0o700 })
      return undefined
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') return undefined
      if (code !== 'ENOENT') throw error
      return code
    }
  }
  if (make() === undefined) return
  if (existsSync(dirname(directory))) {
    throw Object.assign(new Error('it takes no entries'), { code: 'ENOENT' })
  }
  makeDirectories(dirname(directory))
  // Another command that starts at the same time may have been first.
  if (make() !== undefined) throw Object.assign(new Error('it vanished again'), { code: 'ENOENT' })
}
