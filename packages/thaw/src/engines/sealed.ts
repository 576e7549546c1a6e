/** Directories that count as whole once a manifest is in them. */
import { readFileSync, statSync } from 'node:fs'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { z } from 'zod'
import { removeTree, ThawError } from '../system/index.js'

/** Written last. */
export const MANIFEST = 'manifest.json'

/**
 * @param format the newest that this thaw knows
 * @throws ThawError IMAGE_BROKEN, IMAGE_MISMATCH
 */
export function readManifest<T>(directory: string, schema: z.ZodType<T>, format: number): T {
  const file = join(directory, MANIFEST)
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ThawError('IMAGE_BROKEN', `${file} cannot be read.`, { cause: error })
  }
  const { format: found } = (value ?? {}) as { format?: unknown }
  if (typeof found === 'number' && found > format) {
    throw new ThawError('IMAGE_MISMATCH', `${directory} has format ${found}; this thaw knows ${format}.`, {
      hint: 'Use the thaw that made it, or a later one.',
    })
  }
  const read = schema.safeParse(value)
  if (!read.success) throw new ThawError('IMAGE_BROKEN', `${file} is malformed.`, { cause: read.error })
  return read.data
}

/** @throws ThawError IMAGE_BROKEN naming the file that is not whole */
export function checkSizes(directory: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    const path = join(directory, name)
    const found = statSync(path, { throwIfNoEntry: false })?.size
    if (found === size) continue
    const what = found === undefined ? 'is missing' : `has ${found} bytes instead of ${size}`
    throw new ThawError('IMAGE_BROKEN', `${path} ${what}.`)
  }
}

/** The manifest goes first: what is left of an interrupted removal does not count as whole. */
export async function removeSealed(directory: string): Promise<void> {
  await rm(join(directory, MANIFEST), { force: true })
  removeTree(directory)
}

/** Brings everything to disk; returns the size of every file. */
export async function syncAll(root: string, below: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {}
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const name = join(below, entry.name)
    if (entry.isDirectory()) Object.assign(sizes, await syncAll(root, name))
    else if (!entry.isFile()) continue
    const handle = await open(join(root, name), 'r')
    try {
      await handle.sync()
      if (entry.isFile()) sizes[name] = (await handle.stat()).size
    } finally {
      await handle.close()
    }
  }
  return sizes
}

/** Gives a directory its final name, for good. */
export async function moveWhole(draft: string, directory: string): Promise<void> {
  await rename(draft, directory)
  const parent = await open(dirname(directory), 'r')
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
}
