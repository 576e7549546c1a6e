/** What layered sandboxes have written: the oldest layer first. A layer is never changed once it is in an image. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { startProcess, ThawError, type Scope } from '../../system/index.js'
import { copyTree } from '../../files/copy.js'

/** Directories of the layers in a part of an image. */
export function listLayers(part: string): string[] {
  if (!existsSync(part)) return []
  const indices = readdirSync(part).map(Number)
  return indices.sort((a, b) => a - b).map((index) => join(part, String(index)))
}

/**
 * Puts the layers below a branch, and what it has written itself, into an image. Prerequisite: the program stands still.
 *
 * @param below directories of the layers that it was restored with
 * @param move whether the branch ends with this: what it wrote is then moved, which keeps inode numbers of open files
 * @returns undoes a move
 */
export async function keepLayers(
  below: readonly string[],
  upper: string,
  part: string,
  move: boolean,
  scope: Scope,
): Promise<() => Promise<void>> {
  await mkdir(part, { recursive: true, mode: 0o700 })
  for (const [index, layer] of below.entries()) await link(layer, join(part, String(index)), scope)
  const own = join(part, String(below.length))
  if (move) {
    await rename(upper, own)
    return () => rename(own, upper)
  }
  await mkdir(own, { mode: 0o755 })
  await copyTree(upper, own, scope)
  return () => Promise.resolve()
}

/** The same files under other names, which keeps the inode numbers that SQLite compares; copies on another file system. */
async function link(from: string, to: string, scope: Scope): Promise<void> {
  const isNear = statSync(from).dev === statSync(dirname(to)).dev
  const argv = ['cp', '-a', ...(isNear ? ['-l'] : []), '--', from, to]
  const child = await startProcess(argv, { cwd: '/', stdio: ['ignore', 'ignore', 'ignore'] }, scope)
  const { code } = await child.exited
  if (code !== 0) throw new ThawError('ENGINE_FAILED', `${from} could not be taken over.`)
}
