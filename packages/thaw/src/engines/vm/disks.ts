/**
 * Disks of machines: `disk-0` is the root file system and never written, each further one a layer over the one before
 * (qcow2). A directory has its whole chain, as hard links with relative names, so that it needs no other directory.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { link } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTree, startProcess, ThawError, type Scope } from '../../system/index.js'
import type { VmTools } from './tools.js'

/** Bytes of a root file system, most of which are never there. */
const SIZE = 8 * 1024 ** 3

/** Bytes: with fewer, nothing of a machine can be written. */
const LITTLE = 1 << 20

export function diskName(index: number): string {
  return `disk-${index}`
}

/** How many disks the chain in a directory has. */
export function chainOf(directory: string): number {
  let count = 0
  while (existsSync(join(directory, diskName(count)))) count++
  return count
}

/** Makes a disk of a directory, in one step; owners are kept where they can be. @throws ThawError SETUP_FAILED, DISK_FULL */
export async function makeDisk(tools: VmTools, root: string, file: string, scope: Scope): Promise<void> {
  const draft = `${file}.draft`
  rmSync(draft, { force: true })
  try {
    writeFileSync(draft, '', { mode: 0o600 })
    truncateSync(draft, SIZE)
    // No journal: a machine that is ended leaves nothing that anybody mounts again.
    const how = ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-E', 'root_owner=0:0']
    await tools.run('usr/sbin/mke2fs', [...how, '-d', root, draft], 'making a disk', scope)
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
}

/** The chain of one directory in another. */
export async function linkChain(
  from: string,
  to: string,
  scope: Scope,
  count = chainOf(from),
): Promise<void> {
  for (let index = 0; index < count; index++) {
    await linkFile(join(from, diskName(index)), join(to, diskName(index)), scope)
  }
}

/** A hard link, or a copy on another file system. @throws ThawError DISK_FULL */
export async function linkFile(from: string, to: string, scope: Scope): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await copySparse(from, to, scope)
  }
}

/** A layer over the last disk of the chain. Returns its file. */
export async function addLayer(tools: VmTools, directory: string, scope: Scope): Promise<string> {
  const count = chainOf(directory)
  const file = join(directory, diskName(count))
  const format = count === 1 ? 'raw' : 'qcow2'
  const words = ['create', '-q', '-f', 'qcow2', '-F', format, '-b', diskName(count - 1), file]
  await tools.run('usr/bin/qemu-img', words, 'making a layer of a disk', scope)
  return file
}

/**
 * That the layers of a chain which somebody else has made name nothing but each other: QEMU opens whatever they name.
 *
 * @throws ThawError IMPORT_REFUSED
 */
export function checkChain(directory: string): void {
  for (let index = 1; index < chainOf(directory); index++) {
    const head = Buffer.alloc(HEAD)
    const fd = openSync(join(directory, diskName(index)), 'r')
    try {
      readSync(fd, head, 0, HEAD, 0)
    } finally {
      closeSync(fd)
    }
    const below = diskName(index - 1)
    const format = index === 1 ? 'raw' : 'qcow2'
    if (isPlainLayer(head) && backingName(head) === below && backingFormat(head) === format) continue
    throw new ThawError(
      'IMPORT_REFUSED',
      `The file was not imported: ${diskName(index)} is no layer over ${below}.`,
    )
  }
}

/** Of qcow2: docs/interop/qcow2.txt in QEMU's sources. Numbers are big-endian. */
const HEAD = 65_536
const QCOW2 = 0x514649fb
const EXTERNAL_DATA = 1 << 2
const BACKING_FORMAT = 0xe2792aca

function isPlainLayer(head: Buffer): boolean {
  return (
    head.readUInt32BE(0) === QCOW2 &&
    head.readUInt32BE(4) === 3 &&
    (head.readUInt32BE(76) & EXTERNAL_DATA) === 0
  )
}

function backingName(head: Buffer): string {
  const at = Number(head.readBigUInt64BE(8))
  return head.toString('latin1', at, at + head.readUInt32BE(16))
}

function backingFormat(head: Buffer): string | null {
  for (let at = head.readUInt32BE(100); at + 8 <= HEAD;) {
    const [type, length] = [head.readUInt32BE(at), head.readUInt32BE(at + 4)]
    if (type === 0) return null
    if (type === BACKING_FORMAT) return head.toString('latin1', at + 8, at + 8 + length)
    at += 8 + Math.ceil(length / 8) * 8
  }
  return null
}

/** A copy of a file with holes where it has them, and sharing what can be shared. @throws ThawError DISK_FULL */
export async function copySparse(from: string, to: string, scope: Scope): Promise<void> {
  const argv = ['cp', '--sparse=always', '--reflink=auto', '--', from, to]
  const child = await startProcess(argv, { stdio: ['ignore', 'ignore', 'pipe'] }, scope)
  let said = ''
  for await (const chunk of child.stderr ?? []) said = (said + String(chunk)).slice(-1000)
  const { code } = await child.exited
  if (code === 0) return
  removeTree(to)
  const full = said.includes('No space left')
  throw new ThawError(full ? 'DISK_FULL' : 'ENGINE_FAILED', `${to} could not be written: ${said.trim()}.`)
}

/** What a failure comes of where the disk of a directory is full: QEMU says no more than that it could not write, or ends. */
export function outOfRoom(directory: string): ThawError | null {
  const { bavail, bsize } = statfsSync(directory)
  if (bavail * bsize > LITTLE) return null
  return new ThawError('DISK_FULL', `There is no room left on the disk of ${directory}.`)
}
