/** Directories that count as whole once a manifest is in them. */
import { open, readdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'

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
