/** A machine's snapshot on disk: memory, devices, disk, and a note that is written last. */
import { statSync } from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { arch } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { startProcess, ThawError, within, writeFileAtomic, type Scope } from '../../../system/index.js'
import type { Firecracker } from './versions.js'

/** Names in a snapshot's directory, and in that of a machine that was made from it. */
export const FILE = { state: 'state', memory: 'memory', disk: 'disk' } as const
const NOTE = 'firecracker.json'

/** What only the same can read. The rest of what must match is in `MonitorIdentity`. */
const Note = z.object({
  firecracker: z.string(),
  snapshotVersion: z.string(),
  architecture: z.string(),
  /** Bytes of each file. */
  sizes: z.record(z.enum(FILE), z.number()),
})

/** Everything to disk, then the note. @throws ThawError DISK_FULL */
export async function sealSnapshot(directory: string, by: Firecracker): Promise<void> {
  const sizes = {} as Record<(typeof FILE)[keyof typeof FILE], number>
  for (const name of Object.values(FILE)) {
    const handle = await open(join(directory, name), 'r')
    try {
      await handle.sync()
      sizes[name] = (await handle.stat()).size
    } finally {
      await handle.close()
    }
  }
  const note: z.infer<typeof Note> = {
    firecracker: by.version,
    snapshotVersion: by.snapshotVersion,
    architecture: arch(),
    sizes,
  }
  await writeFileAtomic(join(directory, NOTE), `${JSON.stringify(note)}\n`)
}

/**
 * Whether a snapshot can be loaded by this Firecracker, before it is tried: one that fails to load ends its process.
 *
 * @throws ThawError IMAGE_BROKEN when it is not whole, IMAGE_MISMATCH when another one made it
 */
export async function checkSnapshot(directory: string, here: Firecracker): Promise<void> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(join(directory, NOTE), 'utf8'))
  } catch (error) {
    throw new ThawError('IMAGE_BROKEN', `${directory} is no whole snapshot: ${NOTE} cannot be read.`, {
      cause: error,
    })
  }
  const read = Note.safeParse(value)
  if (!read.success) {
    throw new ThawError('IMAGE_BROKEN', `${join(directory, NOTE)} is malformed.`, { cause: read.error })
  }
  const note = read.data
  if (note.architecture !== arch()) {
    throw new ThawError(
      'IMAGE_MISMATCH',
      `The snapshot is of a ${note.architecture} machine; this is ${arch()}.`,
    )
  }
  if (note.snapshotVersion !== here.snapshotVersion) {
    throw new ThawError(
      'IMAGE_MISMATCH',
      `The snapshot was made by Firecracker ${note.firecracker}, in format ${note.snapshotVersion}; ` +
        `Firecracker ${here.version} here reads ${here.snapshotVersion} only.`,
    )
  }
  for (const name of Object.values(FILE)) {
    const found = statSync(join(directory, name), { throwIfNoEntry: false })?.size
    if (found === note.sizes[name]) continue
    const what = found === undefined ? 'is missing' : `has ${found} bytes instead of ${note.sizes[name]}`
    throw new ThawError('IMAGE_BROKEN', `${join(directory, name)} ${what}.`)
  }
}

/** A copy that shares its blocks with the original where the file system can, and holes where there are zeros. */
export async function copyDisk(from: string, to: string, scope: Scope): Promise<void> {
  await run(['cp', '--reflink=auto', '--sparse=always', '--', from, to], scope)
  await run(['chmod', '600', '--', to], scope)
}

/** The same where the original is not needed any more. */
export async function moveFile(from: string, to: string, scope: Scope): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await copyDisk(from, to, scope)
  }
}

async function run(argv: string[], scope: Scope): Promise<void> {
  const child = await startProcess(argv, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] }, scope)
  let said = ''
  child.stderr?.on('data', (part: Buffer) => (said = (said + part.toString()).slice(-1000)))
  const closed = new Promise<void>((resolve) => child.stderr?.once('close', resolve))
  const [exit] = await within(scope, argv.join(' '), Promise.all([child.exited, closed]))
  if (exit.code === 0) return
  const full = said.includes('No space left')
  throw new ThawError(full ? 'DISK_FULL' : 'ENGINE_FAILED', `${argv[0]} failed: ${said.trim()}`)
}
