import { randomBytes } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import koffi from 'koffi'
import { identify, type ProcessIdentity } from './process-identity.js'

export interface LockOwner extends ProcessIdentity {
  /** Told apart from any other holder, also one with the same pid. */
  token: string
}

export interface Lock extends Disposable {
  readonly owner: LockOwner
}

const LOCK_EX = 2
const LOCK_NB = 4
let flock: ((fd: number, operation: number) => number) | undefined

/**
 * Takes a lock that the kernel releases with its holder, so that no stale one can remain; the file says who holds
 * it. The file stays when the lock is released: removing it would let two holders in.
 *
 * @returns the lock, or who holds it (null when the holder has not written its name yet)
 */
export function takeLock(file: string): Lock | { heldBy: LockOwner | null } {
  flock ??= koffi.load(null).func('int flock(int, int)') as (fd: number, operation: number) => number
  const fd = openSync(file, 'a+', 0o600)
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd)
    return { heldBy: readOwner(file) }
  }
  const self = identify(process.pid) as ProcessIdentity
  const owner: LockOwner = { ...self, token: randomBytes(12).toString('hex') }
  ftruncateSync(fd, 0)
  writeSync(fd, `${JSON.stringify(owner)}\n`)
  return {
    owner,
    [Symbol.dispose]: () => {
      ftruncateSync(fd, 0)
      closeSync(fd)
    },
  }
}

/** Who wrote the lock file last, whether or not it is still held. */
export function readOwner(file: string): LockOwner | null {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as LockOwner
    return typeof value.pid === 'number' && typeof value.token === 'string' ? value : null
  } catch {
    return null
  }
}
