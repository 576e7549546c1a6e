/**
 * Disks of machines: `disk-0` is the root file system and never written, each further one a layer over the one before
 * (qcow2). A directory has its whole chain, as hard links with relative names, so that it needs no other directory.
 */
import { existsSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { link } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTree, startProcess, ThawError, type Exit, type Scope } from '../../system/index.js'
import type { VmTools } from './tools.js'

/** Bytes of a root file system, most of which are never there. */
const SIZE = 8 * 1024 ** 3

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

/** A machine's memory is a file: the kernel ends a monitor that writes where the disk has no room for it. */
export async function outOfRoom({ exited }: { exited: Promise<Exit> }): Promise<ThawError | null> {
  if ((await exited).signal !== 'SIGBUS') return null
  return new ThawError('DISK_FULL', 'There is no room on the disk for the memory of a machine.')
}
