/** When something that was started counts as ready. */
import { get } from 'node:http'
import type { Readiness } from '@thaw/protocol'
import { checkScope, withTimeout, type Scope } from '../../system/index.js'
import type { Body } from './body.js'

/** Milliseconds between two looks, and between two runs of a command. */
const LOOK_EVERY = 15
const RUN_EVERY = 200
const ANSWER_WITHIN = 5000

/** What is looked at. */
export interface Probed {
  body: Pick<Body, 'listens'>
  /** Resolves when it has printed what matches, from its start on. */
  printed: (pattern: string) => Promise<void>
  /** Runs a command in it; resolves with whether it ended with 0. */
  succeeds: (command: readonly string[], scope: Scope) => Promise<boolean>
  /** A port of the machine that leads to one of its own, for as long as `use` takes. */
  reach: (port: number, use: (port: number) => Promise<boolean>) => Promise<boolean>
}

/**
 * @param restored what it prints at its start, it has printed long ago
 * @throws ThawError TIMEOUT, CANCELLED
 */
export async function becomeReady(
  probed: Probed,
  readiness: Readiness,
  restored: boolean,
  scope: Scope,
): Promise<void> {
  const within = withTimeout(scope, readiness.timeout * 1000)
  if ('port' in readiness) {
    const { port } = readiness
    return await repeat(LOOK_EVERY, within, () => probed.body.listens(port))
  }
  if ('http' in readiness) {
    const { port, path, status } = readiness.http
    return await probed
      .reach(port, async (at) => {
        await repeat(LOOK_EVERY, within, () => answers(at, path, status))
        return true
      })
      .then(() => {})
  }
  if ('command' in readiness) {
    return await repeat(RUN_EVERY, within, () => probed.succeeds(readiness.command, within))
  }
  if (restored) return
  if ('output' in readiness) return await orTimeout(within, probed.printed(readiness.output))
  await pause(readiness.seconds * 1000)
}

function answers(port: number, path: string, status: number | null): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port, path, agent: false, timeout: ANSWER_WITHIN, headers: { host: 'localhost' } },
      (answer) => {
        answer.resume()
        const code = answer.statusCode ?? 0
        resolve(status === null ? code < 400 : code === status)
      },
    )
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false))
  })
}

async function repeat(every: number, scope: Scope, holds: () => Promise<boolean>): Promise<void> {
  for (;;) {
    if (await holds()) return
    checkScope(scope, 'waiting until it is ready')
    await pause(every)
  }
}

async function orTimeout(scope: Scope, done: Promise<void>): Promise<void> {
  let over = false
  void done.then(() => (over = true))
  await repeat(LOOK_EVERY, scope, () => Promise.resolve(over))
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
