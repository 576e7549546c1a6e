/** Which Firecracker is here, and whether it can go on with what another one left. */
import { accessSync, constants } from 'node:fs'
import { startProcess, ThawError, withTimeout, within, type Scope } from '../../../system/index.js'

/** Before it, what waited on a vsock connection in the guest was not always told of a restore, and hung. */
export const OLDEST = '1.10.0'
const ASK_TIMEOUT = 5000

export interface Firecracker {
  path: string
  /** As `1.13.1`. */
  version: string
  /** Of the data format of its snapshots, as `7.0.0`: the one it writes, and the only one it reads. */
  snapshotVersion: string
}

/**
 * The program named by THAW_FIRECRACKER; null where it is not set: then machines are QEMU's.
 *
 * @throws ThawError ENGINE_MISSING when it cannot be executed
 */
export function namedFirecracker(env: Record<string, string | undefined> = process.env): string | null {
  const named = env['THAW_FIRECRACKER'] ?? ''
  if (named === '') return null
  try {
    accessSync(named, constants.X_OK)
    return named
  } catch (error) {
    throw new ThawError('ENGINE_MISSING', `THAW_FIRECRACKER names ${named}, which cannot be executed.`, {
      cause: error,
    })
  }
}

/** @throws ThawError ENGINE_MISSING when it is too old, ENGINE_FAILED when it does not say what it is */
export async function askFirecracker(path: string, scope: Scope): Promise<Firecracker> {
  const version = (await says(path, '--version', scope)).match(/^Firecracker v(\d+\.\d+\.\d+\S*)/)?.[1]
  if (version === undefined) throw new ThawError('ENGINE_FAILED', `${path} --version names no version.`)
  if (compareVersions(version, OLDEST) < 0) {
    throw new ThawError('ENGINE_MISSING', `${path} is Firecracker ${version}; ${OLDEST} or later is needed.`)
  }
  const snapshotVersion = (await says(path, '--snapshot-version', scope)).match(/^v(\d+\.\d+\.\d+)/)?.[1]
  if (snapshotVersion === undefined) {
    throw new ThawError('ENGINE_FAILED', `${path} --snapshot-version names no version.`)
  }
  return { path, version, snapshotVersion }
}

/** Negative when `a` is older than `b`. What follows the three numbers, as in `1.17.0-dev`, is not looked at. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(/[.+-]/).slice(0, 3).map(Number)) as [
    number[],
    number[],
  ]
  return [0, 1, 2].map((n) => (left[n] ?? 0) - (right[n] ?? 0)).find((difference) => difference !== 0) ?? 0
}

async function says(path: string, option: string, scope: Scope): Promise<string> {
  const limited = withTimeout(scope, ASK_TIMEOUT)
  const child = await startProcess([path, option], { cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] }, limited)
  let said = ''
  child.stdout?.on('data', (part: Buffer) => (said = (said + part.toString()).slice(0, 1000)))
  const closed = new Promise<void>((resolve) => child.stdout?.once('close', resolve))
  await within(limited, `asking ${path} ${option}`, Promise.all([child.exited, closed]))
  return said
}
