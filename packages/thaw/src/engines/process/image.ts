/** A checkpoint on disk: a directory, with manifest.json written last. Format: docs/process-images.md. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { removeTree, writeFileAtomic } from '../../system/index.js'
import type { AnyImage } from '../engine.js'
import { checkSizes, MANIFEST, moveWhole, readManifest, removeSealed, syncAll } from '../sealed.js'

/** Raised when what is written could not be read by an older thaw. */
export const FORMAT = 2
/** Where the parts of an image lie in it. */
export const PART = {
  criu: 'criu',
  reaper: 'reaper',
  stdin: 'stdin',
  temporary: 'tmp',
  memory: 'shm',
  files: 'files',
  layers: 'layers',
  written: 'written',
  /** Names of the pages that lie in the store. */
  pages: 'pages',
  /** There while the files of a packed image may hold something; says since which boot they are whole. */
  unpacked: 'unpacked',
} as const

const Streams = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('pipes'),
    stdin: z.string().nullable(),
    stdout: z.string(),
    stderr: z.string(),
  }),
  z.object({
    kind: z.literal('terminal'),
    terminal: z.string(),
    size: z.object({ rows: z.number(), cols: z.number() }),
    /** struct termios in base64, as the program had set it. */
    mode: z.string().optional(),
  }),
])

export const Manifest = z.object({
  format: z.union([z.literal(1), z.literal(FORMAT)]),
  engine: z.literal('process'),
  /** Where the image can be restored. */
  machine: z.object({
    criu: z.string(),
    kernel: z.string(),
    architecture: z.string(),
    /** Digest of the processor's features. */
    processor: z.string(),
    user: z.boolean(),
  }),
  /** What the program's main process runs. */
  program: z.object({ path: z.string(), size: z.number(), mtime: z.number() }).nullable(),
  pids: z.object({ root: z.number(), program: z.number(), last: z.string() }),
  network: z.enum(['host', 'private', 'private+out']),
  /** Those that it may run on, which criu does not keep; null: it was not noted. */
  processors: z.string().nullable().default(null),
  tcp: z.enum(['keep', 'close']).nullable(),
  streams: Streams,
  stdinEnded: z.boolean(),
  /** Bytes that had crossed when it was made, counted from the start of its branch. */
  counts: z.object({ stdin: z.number(), stdout: z.number(), stderr: z.number() }),
  setting: z.object({
    cwd: z.string(),
    ownTemporary: z.boolean(),
    visible: z.array(z.string()),
    root: z.string().nullable().default(null),
    layered: z.boolean().default(false),
  }),
  /** The directory the program works in, beyond doubt. */
  place: z.object({ dev: z.string(), ino: z.string() }),
  /** Files that were open for writing; each is in the part `files` under its index. */
  files: z.array(z.string()),
  /** Files of the directory that the program had written and closed; each is in the part `written` under its index. */
  written: z
    .object({
      files: z.array(z.object({ path: z.string(), mode: z.number() })),
      /** Those whose content is not in the image: they are found as they are then. */
      left: z.array(z.string()),
      /** Whether these are all. */
      complete: z.boolean(),
    })
    .default({ files: [], left: [], complete: false }),
  processes: z.number(),
  /** Bytes of every file of it, as criu and the program know them. */
  sizes: z.record(z.string(), z.number()),
  /** What lies in the store of pages (packing.ts); null: nothing. From format 2 on. */
  packed: z
    .object({
      /** Times of last change, in nanoseconds, of the files whose pages are named, one file behind the other. */
      files: z.record(z.string(), z.string()),
      /** SHA-256 of the names. */
      digest: z.string(),
      /** Bytes by which the store grew for it: pages that it has in common with others are theirs. */
      stored: z.number().default(0),
    })
    .nullable()
    .default(null),
})
export type Manifest = z.infer<typeof Manifest>

export class ProcessImage implements AnyImage {
  readonly engine = 'process'
  readonly directory: string
  readonly manifest: Manifest

  constructor(directory: string, manifest: Manifest) {
    this.directory = directory
    this.manifest = manifest
  }

  /** @throws ThawError IMAGE_BROKEN, IMAGE_MISMATCH */
  static open(directory: string): ProcessImage {
    return new ProcessImage(directory, readManifest(directory, Manifest, FORMAT))
  }

  get alive(): boolean {
    return existsSync(join(this.directory, MANIFEST))
  }

  get inPlace(): boolean {
    return placeOf(this.manifest.setting.cwd, this.manifest.place)
  }

  part(name: keyof typeof PART): string {
    return join(this.directory, PART[name])
  }

  /** What the program had written that is found as it is when it goes on, in words. */
  get notCovered(): string[] {
    const { left, complete } = this.manifest.written
    return complete ? left : [...left, 'files that it had closed, of which not all are known']
  }

  /** Bytes of its files. */
  get size(): number {
    return Object.values(this.manifest.sizes).reduce((sum, size) => sum + size, 0)
  }

  /** @throws ThawError IMAGE_BROKEN naming the file that is not whole */
  check(): void {
    checkSizes(this.directory, this.manifest.sizes)
  }

  /** What here differs from where it was made, in words; none: it fits. */
  differences(here: Manifest['machine']): string[] {
    const there = this.manifest.machine
    const said: string[] = []
    const compare = (name: string, was: string, is: string) => {
      if (was !== is) said.push(`${name} was ${was}, is ${is}`)
    }
    compare('criu', there.criu, here.criu)
    compare('the kernel', there.kernel, here.kernel)
    compare('the architecture', there.architecture, here.architecture)
    if (there.processor !== here.processor) said.push('the processor has other features')
    if (there.user !== here.user) said.push(there.user ? 'it was made without root' : 'it was made as root')
    const { program } = this.manifest
    if (program !== null && !sameFile(program)) said.push(`${program.path} was replaced`)
    return said
  }

  async remove(): Promise<void> {
    await removeSealed(this.directory)
  }
}

/**
 * Makes a directory of parts an image under its final name: everything to disk, the manifest last.
 *
 * @throws ThawError DISK_FULL or what the file system said
 */
export async function sealImage(
  draft: string,
  directory: string,
  about: Omit<Manifest, 'format' | 'sizes' | 'packed'>,
): Promise<ProcessImage> {
  const manifest: Manifest = { ...about, format: FORMAT, sizes: await syncAll(draft, ''), packed: null }
  await writeManifest(draft, manifest)
  await moveWhole(draft, directory)
  return new ProcessImage(directory, manifest)
}

export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  await writeFileAtomic(join(directory, MANIFEST), `${JSON.stringify(manifest)}\n`)
}

/** Says that an image is used now; the keeper goes by it, also the next daemon's. */
export function touchImage(directory: string): void {
  const now = new Date()
  utimesSync(join(directory, MANIFEST), now, now)
}

/** When it was made or used last, in milliseconds since 1970; null: there is no image. */
export function lastUse(directory: string): number | null {
  return statSync(join(directory, MANIFEST), { throwIfNoEntry: false })?.mtimeMs ?? null
}

/** Whether a directory is an image, and not what an interrupted checkpoint or removal has left. */
export function isWhole(directory: string): boolean {
  return existsSync(join(directory, MANIFEST)) && !directory.endsWith('.draft')
}

/** Removes what an interrupted checkpoint or removal left in a directory of images. */
export function sweepImages(directory: string): void {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    if (!isWhole(path)) removeTree(path)
  }
}

/** What must be as it was for an image to be restored. */
export function thisMachine(criu: { version: string; user: boolean }): Manifest['machine'] {
  return {
    criu: criu.version,
    kernel: release(),
    architecture: process.arch,
    processor: processorDigest(),
    user: criu.user,
  }
}

/** A file that is what it was when this was noted. */
export function noteFile(path: string): Manifest['program'] {
  try {
    const { size, mtimeMs } = statSync(path)
    return { path, size, mtime: mtimeMs }
  } catch {
    return null
  }
}

export function notePlace(path: string): Manifest['place'] {
  const { dev, ino } = statSync(path, { bigint: true })
  return { dev: String(dev), ino: String(ino) }
}

function placeOf(path: string, noted: Manifest['place']): boolean {
  try {
    const { dev, ino } = notePlace(path)
    return dev === noted.dev && ino === noted.ino
  } catch {
    return false
  }
}

function sameFile(noted: NonNullable<Manifest['program']>): boolean {
  const now = noteFile(noted.path)
  return now !== null && now.size === noted.size && now.mtime === noted.mtime
}

let digest: string | undefined

/** Of the features of this machine's processor. */
export function processorDigest(): string {
  if (digest === undefined) {
    const text = readFileSync('/proc/cpuinfo', 'latin1')
    const features = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? ''
    digest = createHash('sha256').update(features.split(' ').sort().join(' ')).digest('hex').slice(0, 16)
  }
  return digest
}
