/** What a program finds mounted in its sandbox. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { readdir } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { DIRECTORY, type Criu } from './criu/criu.js'
import { ThawError, type Scope } from '../../system/index.js'
import { copyTree } from '../../files/copy.js'
import { directoryPath, SandboxRefused, type Sandbox } from './sandbox.js'

export const TEMPORARY = '/tmp'
export const SHARED_MEMORY = '/dev/shm'

export interface Setting {
  cwd: string
  /** Whether /tmp is the sandbox's own. */
  ownTemporary: boolean
  /** What of the real /tmp stays to be seen in the sandbox's own. */
  visible: string[]
  /** Directory that is the program's root; null: the machine's. */
  root: string | null
  /** Whether what is written below the root, or the directory, is the sandbox's own and belongs to its checkpoints. */
  layered: boolean
}

/** A directory of the machine that a program with a root file system of its own sees. */
export interface Seen {
  path: string
  /** What it is on the machine. Default: the same path. */
  from?: string
  writable: boolean
}

/** Directories in the work directory of a branch. */
export const WORK = {
  temporary: 'tmp',
  upper: 'upper',
  overlay: 'overlay',
  files: 'files',
  copy: 'copy',
  restore: 'restore',
  names: 'resolv.conf',
} as const

/** An overlay has the numbers of its lower part only where all of it is on one file system. */
const OTHER_NUMBERS = 'files have other inode numbers in a clone, which databases that are open may refuse'
/** Of a directory that is copied for a private view. */
const MOST = { bytes: 2 ** 30, entries: 100_000 }
/** Where a program finds which branch it is: docs/any-program.md. */
const BRANCH = '/run/thaw/branch'
/** Digits of its number: the file has the same size in every branch, since a program may have it open. */
const DIGITS = 6

/**
 * Tells the program which branch it is. Prerequisite: it is not there yet, or stands still.
 *
 * @param number which of the branches of one resume, from 1; 0 elsewhere
 */
export function tellBranch(sandbox: Sandbox, branch: string, number: number): void {
  const file = sandbox.inside(BRANCH)
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
  writeFileSync(file, `${branch} ${String(number).padEnd(DIGITS)}\n`, { mode: 0o644 })
}

/** /run with everything that is in it, and criu's cache of kernel features, which criu looks for there only. */
export function coverRun(sandbox: Sandbox, features: string | null): void {
  const keep = listed('/run').filter((name) => name !== 'criu.kdat' && name !== 'thaw')
  sandbox.tell('cover', '/run', '-', '755', ...keep.map((name) => join('/run', name)))
  if (features !== null) sandbox.tell('copy', features, '/run/criu.kdat')
}

/**
 * Mounts everything, in the order that lets each be found.
 *
 * @param directories of criu's use, by number
 * @param reaper file of the program that stands above the user's
 */
export function makeSetting(
  sandbox: Sandbox,
  setting: Setting,
  criu: Criu,
  directories: Partial<Record<Exclude<keyof typeof DIRECTORY, 'layers'>, string>>,
  reaper: string,
  layers: readonly string[] = [],
  seen: readonly Seen[] = [],
): void {
  const named = { ...directories, ...(criu.parts === null ? {} : { criu: criu.path }) }
  for (const [name, path] of Object.entries(named)) {
    sandbox.tell('directory', String(DIRECTORY[name as keyof typeof DIRECTORY]), path)
  }
  for (const [index, path] of layers.entries()) {
    sandbox.tell('directory', String(DIRECTORY.layers + index), path)
  }
  if (setting.layered) {
    // Uppermost first.
    const below = layers.map((_, index) => directoryPath(DIRECTORY.layers + index)).reverse()
    tellOverlay(sandbox, setting.root ?? setting.cwd, below)
  }
  if (setting.root !== null) {
    if (criu.parts === null) {
      throw new ThawError(
        'ENGINE_MISSING',
        'Programs with a root file system of their own need a criu that brings its libraries.',
        { hint: 'Take the criu of the system off PATH; `thaw setup` then fetches one.' },
      )
    }
    const stay = seen.flatMap(({ path, from = path, writable }) => [writable ? 'rw' : 'ro', from, path])
    sandbox.tell('root', setting.root, criu.features, reaper, ...stay)
    sandbox.tell('cover', SHARED_MEMORY, '-', '1777')
    return
  }
  coverRun(sandbox, criu.features)
  sandbox.tell('copy', reaper, '/run/.thaw-reaper')
  sandbox.tell('cover', SHARED_MEMORY, '-', '1777')
  if (!setting.ownTemporary) return
  const source = join(directoryPath(DIRECTORY.work), WORK.temporary)
  sandbox.tell('cover', TEMPORARY, source, '1777', ...setting.visible.filter((path) => existsSync(path)))
}

/** A directory that stands in the place of a project. */
export interface Copy {
  project: string
  directory: string
  /** Directories of the project that are not in it, relative: seen as they are, read only. */
  shared: readonly string[]
}

/** Prerequisite: the copy is one of the directories of `makeSetting`. */
export function showCopy(sandbox: Sandbox, { project, shared }: Copy): void {
  const copy = directoryPath(DIRECTORY.copy)
  for (const name of shared) sandbox.tell('show', join(project, name), join(copy, name))
  sandbox.tell('bind', copy, project)
}

/**
 * The directory as a private view: what is written there is the sandbox's own. An overlay, or a copy where the kernel
 * allows none.
 *
 * @param branch its directory, as seen from here
 * @returns what is not as in the directory itself, in words; null: nothing
 * @throws ThawError UNSUPPORTED where it is too large to be copied
 */
export async function makeView(
  sandbox: Sandbox,
  cwd: string,
  branch: string,
  scope: Scope,
): Promise<string | null> {
  adoptMode(cwd, branch)
  const work = directoryPath(DIRECTORY.work)
  tellOverlay(sandbox, cwd, [])
  try {
    await sandbox.settle(scope)
    const isNear = statSync(cwd).dev === statSync(branch).dev
    return isNear ? null : `${cwd} is on another file system than thaw's state (THAW_HOME): ${OTHER_NUMBERS}`
  } catch (error) {
    if (!(error instanceof SandboxRefused) || error.what !== 'overlay') throw error
    if (!(await isCopyable(cwd))) {
      throw new ThawError(
        'UNSUPPORTED',
        `${cwd} cannot have a private view: the kernel refuses an overlay (${error.error}), and it is too large for a copy.`,
        {
          hint: 'Resume one branch at a time, while nothing else of the run is live: it works on the directory itself.',
        },
      )
    }
    await copyTree(cwd, join(branch, WORK.copy), scope)
    sandbox.tell('bind', join(work, WORK.copy), cwd)
    await sandbox.settle(scope)
    return `its directory is a copy, since the kernel refuses an overlay there (${error.error}): ${OTHER_NUMBERS}`
  }
}

/** Mode and owner of a merged directory are those of its upper part. */
export function adoptMode(viewed: string, branch: string): void {
  const { mode, uid, gid } = statSync(viewed)
  chownSync(join(branch, WORK.upper), uid, gid)
  chmodSync(join(branch, WORK.upper), mode & 0o7777)
}

/** Prerequisite: PID 1 has the branch's directory open. */
function tellOverlay(sandbox: Sandbox, viewed: string, layers: readonly string[]): void {
  const work = directoryPath(DIRECTORY.work)
  sandbox.tell('overlay', viewed, join(work, WORK.upper), join(work, WORK.overlay), ...layers)
}

async function isCopyable(directory: string): Promise<boolean> {
  let { entries, bytes } = MOST
  const queue = [directory]
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      const path = join(at, entry.name)
      if (entry.isDirectory()) queue.push(path)
      else if (entry.isFile()) bytes -= lstatSync(path, { throwIfNoEntry: false })?.size ?? 0
      if (--entries < 0 || bytes < 0) return false
    }
  }
  return true
}

/** What of /tmp a command needs: its directory, what its words name, where its programs are found. */
export function neededOfTemporary(
  argv: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
  more: readonly string[] = [],
): string[] {
  const words = [cwd, ...more, ...argv, ...(env['PATH'] ?? '').split(':')].filter(isAbsolute)
  const all = words.flatMap((word) => {
    try {
      return [word, realpathSync(word)]
    } catch {
      return []
    }
  })
  const below = [...new Set(all)].filter((path) => path.startsWith(`${TEMPORARY}/`)).sort()
  return below.filter((path) => !below.some((other) => other !== path && path.startsWith(`${other}/`)))
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
