import { ThawError } from '@thaw/protocol/errors'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { daemonProgram } from '../system/assets.js'
import { preparePaths, type Paths } from '../system/paths.js'
import { identify, isAlive } from '../system/process-identity.js'
import { startDetached } from '../system/spawn.js'

const START_LIMIT = 20_000

type FirstWord =
  | { t: 'ready'; pid: number }
  | { t: 'held' }
  | { t: 'failed'; error: unknown }
  | { t: 'silent'; detail: string }

/**
 * Starts a daemon in a session of its own and waits until it takes calls. When somebody else is starting one at the
 * same moment, that one is waited for.
 *
 * @throws ThawError STATE_UNWRITABLE, DAEMON_START_FAILED, or what kept the daemon from starting
 */
export async function startDaemon(paths: Paths): Promise<{ started: boolean }> {
  preparePaths(paths)
  const until = Date.now() + START_LIMIT
  for (;;) {
    if (await answers(paths.socket)) return { started: false }
    const word = await startOne(paths)
    if (word.t === 'ready') return { started: true }
    if (word.t === 'failed') throw ThawError.fromBody(word.error)
    if (word.t === 'silent')
      throw new ThawError('DAEMON_START_FAILED', `The daemon ended before it was ready: ${word.detail}.`)
    // Another daemon holds the lock: it is starting, or ending.
    for (let tries = 0; tries < 20; tries++) {
      if (await answers(paths.socket)) return { started: false }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    if (Date.now() > until) {
      throw new ThawError('DAEMON_START_FAILED', `Another daemon holds ${paths.lock} and does not answer.`)
    }
  }
}

async function startOne(paths: Paths): Promise<FirstWord> {
  const errorFile = join(paths.state, 'daemon.err')
  const errors = openSync(errorFile, 'w', 0o600)
  // These slow every start of Node by up to 110 ms or change it, and are meant for the user's own programs.
  const {
    NODE_OPTIONS: _options,
    NODE_EXTRA_CA_CERTS: _certificates,
    THAW_TOKEN: _token,
    ...env
  } = process.env
  try {
    const child = await startDetached([process.execPath, daemonProgram()], {
      cwd: '/',
      env,
      stdio: ['ignore', errors, errors, 'pipe'],
    })
    const pipe = child.pipe(3)
    let text = ''
    const word = await new Promise<FirstWord>((resolve) => {
      pipe.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8')
        if (text.includes('\n')) resolve(JSON.parse(text) as FirstWord)
      })
      void child.exited.then((exit) => {
        const said = readFileSync(errorFile, 'utf8').trim().split('\n').slice(-5).join(' | ')
        // What it said on the pipe may still be on its way.
        setTimeout(() => resolve({ t: 'silent', detail: said || `exit ${exit.code ?? exit.signal}` }), 100)
      })
    })
    pipe.destroy()
    child.unref()
    return word
  } finally {
    closeSync(errors)
  }
}

/** Ends a daemon in order, and waits until it is gone. */
export async function stopDaemon(paths: Paths, pid: number): Promise<void> {
  const identity = identify(pid)
  if (identity === undefined) return
  process.kill(pid, 'SIGTERM')
  const until = Date.now() + START_LIMIT
  while (isAlive(identity)) {
    if (Date.now() > until)
      throw new ThawError('TIMEOUT', `The daemon (pid ${pid}, ${paths.socket}) does not end.`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
