/** What criu is told, and what it says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { directoryPath } from '../sandbox.js'
import type { StreamNames } from '../streams.js'
import type { Tcp } from '../inspect.js'
import { criuCommand, DIRECTORY, type Criu } from './criu.js'

/** Deleted files go into the image up to this size. */
const LARGEST_DELETED = '1G'
/** criu's own main program; it names PID 1's, which acts as criu's action script (native/sandbox/hook.c). */
const OWN_PROGRAM = '/proc/1/exe'
export const DUMP_LOG = 'dump.log'
export const RESTORE_LOG = 'restore.log'
export const LAZY_LOG = 'lazy-pages.log'

function common(criu: Criu, tcp: Tcp): string[] {
  const connections = tcp === 'close' ? '--tcp-close' : '--tcp-established'
  const deleted = ['--link-remap', '--ghost-limit', LARGEST_DELETED]
  const options = [connections, ...deleted, '--file-locks', '--skip-in-flight', '-v2']
  return criu.user ? [...options, '--unprivileged'] : options
}

/**
 * @param path of the images, below the directory of drafts
 * @param after what becomes of the program once it is copied
 */
export function dumpCommand(
  criu: Criu,
  root: number,
  path: string,
  streams: StreamNames,
  tcp: Tcp,
  after: 'runs' | 'stands',
): string[] {
  const images = join(directoryPath(DIRECTORY.images), path)
  const where = ['-t', String(root), '-D', images, '-o', DUMP_LOG]
  const how = [
    after === 'runs' ? '--leave-running' : '--leave-stopped',
    '--network-lock',
    'skip',
    '--action-script',
    OWN_PROGRAM,
  ]
  const external = streams.kind === 'terminal' ? ['--external', streams.terminal] : []
  return [...criuCommand(criu), 'dump', ...where, ...how, ...external, ...common(criu, tcp)]
}

/** A server for pages of the image, as long as some are missing. */
export function lazyPagesCommand(criu: Criu, work: string, part: string): string[] {
  const images = join(directoryPath(DIRECTORY.image), part)
  const where = ['-D', images, '-W', join(directoryPath(DIRECTORY.work), work), '-o', LAZY_LOG]
  return [...criuCommand(criu), 'lazy-pages', ...where, '-v2']
}

/**
 * @param inherited the new streams in the place of the image's
 * @param how.held whether PID 1 is told when everything is restored, and says when it may go on
 * @param how.lazy whether a server gives out pages
 */
export function restoreCommand(
  criu: Criu,
  work: string,
  part: string,
  inherited: readonly string[],
  tcp: Tcp,
  { held, lazy }: { held: boolean; lazy: boolean },
): string[] {
  const images = join(directoryPath(DIRECTORY.image), part)
  const where = ['-D', images, '-W', join(directoryPath(DIRECTORY.work), work), '-o', RESTORE_LOG]
  const script = held ? ['--action-script', OWN_PROGRAM] : []
  const pages = lazy ? ['--lazy-pages'] : []
  return [
    ...criuCommand(criu),
    'restore',
    '-d',
    ...where,
    ...script,
    ...inherited,
    ...pages,
    ...common(criu, tcp),
  ]
}

/** Said whatever happens, or of what was said before. */
const NOT_TELLING = /RLIMIT|Dumping FAILED|Restoring FAILED|exited, status=|^Script|action scripts failed/

/** What criu complained of first; null: nothing. */
export function complaint(log: string): string | null {
  let text
  try {
    text = readFileSync(log, 'latin1')
  } catch {
    return null
  }
  const errors = [
    ...text.matchAll(/^(?:\([\d.]+\)\s*)?\s*(?:\d+:\s*)?(?:pie: \d+: )?Error \([^)]*\):\s*(.*)$/gm),
  ]
  const telling = errors.map((match) => (match[1] ?? '').trim()).filter((one) => !NOT_TELLING.test(one))
  return telling[0]?.replace(/\.$/, '') ?? null
}

/** Whether a dump or restore failed because the disk is full. */
export function isDiskFull(log: string): boolean {
  try {
    return readFileSync(log, 'latin1').includes('No space left on device')
  } catch {
    return false
  }
}
