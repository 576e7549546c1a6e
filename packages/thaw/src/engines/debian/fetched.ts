/** What was fetched: a directory for each version, side by side, with a record that is written last. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { z } from 'zod'
import { checkScope, Disposables, takeLock, type Scope } from '../../system/index.js'

/** The newest that is there whole; null: none. */
export function findFetched<T extends z.ZodType>(
  directory: string,
  record: string,
  schema: T,
): { path: string; about: z.output<T> } | null {
  const names = existsSync(directory) ? readdirSync(directory).sort().reverse() : []
  for (const name of names) {
    const path = join(directory, name)
    if (name.startsWith('new-') || !existsSync(join(path, record))) continue
    const read = schema.safeParse(JSON.parse(readFileSync(join(path, record), 'utf8')))
    if (read.success) return { path, about: read.data }
  }
  return null
}

/**
 * Makes one, unless another process does so at this moment; that one is then waited for. Nothing half is left behind.
 *
 * @param find what another has made meanwhile
 * @param make fills `fresh`, with `temp` for what is not kept; returns its name and its record
 */
export async function makeFetched<T>(
  directory: string,
  record: string,
  find: () => T | null,
  make: (temp: string, fresh: string) => Promise<{ name: string; about: unknown }>,
  scope: Scope,
): Promise<T | null> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  await using cleanup = new Disposables()
  for (;;) {
    const lock = takeLock(`${directory}.lock`)
    if (!('heldBy' in lock)) {
      cleanup.use(lock)
      break
    }
    checkScope(scope, 'waiting for another process that fetches the same')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const there = find()
  if (there !== null) return there
  // Left by a process that was killed: only the holder of the lock has one.
  for (const name of readdirSync(directory)) if (name.startsWith('new-')) remove(join(directory, name))
  const temp = mkdtempSync(join(directory, 'new-'))
  cleanup.add(() => remove(temp))
  const fresh = join(temp, 'fresh')
  mkdirSync(fresh)
  const { name, about } = await make(temp, fresh)
  writeFileSync(join(fresh, record), `${JSON.stringify(about)}\n`)
  renameSync(fresh, join(directory, name))
  return find()
}

function remove(path: string): void {
  // What a process that was killed had started may still be writing.
  rmSync(path, { recursive: true, force: true, maxRetries: 5 })
}
