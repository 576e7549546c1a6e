/** Files that belong to a checkpoint, and the way back. */
import { constants, copyFileSync, lstatSync, mkdirSync, statSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { copyTree } from '../../files/copy.js'
import { putBack as putContents } from '../../files/undo.js'
import { ThawError, type Scope } from '../../system/index.js'
import type { Manifest } from './image.js'
import type { OpenFile } from './inspect.js'
import { DIRECTORY } from './criu/criu.js'
import { directoryPath, type Sandbox } from './sandbox.js'
import { SHARED_MEMORY, TEMPORARY, WORK, type Seen, type Setting } from './setting.js'

/** Bytes of closed files that one checkpoint keeps. */
const WRITTEN_LIMIT = 64 * 1024 * 1024

/** Files that a checkpoint copies one by one: not those that lie in directories copied as a whole, nor deleted ones (criu has them). */
export function worthSaving(files: readonly OpenFile[], setting: Setting, seen: readonly Seen[]): OpenFile[] {
  return files.filter(({ path }) => {
    if (seen.some((one) => isBelow(path, one.path))) return true
    // What it wrote there is kept as a layer.
    if (setting.layered && isBelow(path, setting.root === null ? setting.cwd : '/')) return false
    if (path.endsWith(' (deleted)') || /^\/(proc|sys|dev|run)\//.test(path)) return false
    const isOwn = setting.ownTemporary && isBelow(path, TEMPORARY)
    return !isOwn || setting.visible.some((kept) => isBelow(path, kept))
  })
}

/** Copies open files into `directory`, each under its index. Returns the paths that were regular files. */
export async function saveFiles(files: readonly OpenFile[], directory: string): Promise<string[]> {
  const saved: string[] = []
  for (const { path, pid, fd } of files) {
    // Through the descriptor: the name may lead elsewhere by now.
    const open = `/proc/${pid}/fd/${fd}`
    if (!statSync(open, { throwIfNoEntry: false })?.isFile()) continue
    if (saved.length === 0) await mkdir(directory, { recursive: true })
    await copyFile(open, join(directory, String(saved.length)), constants.COPYFILE_FICLONE)
    saved.push(path)
  }
  return saved
}

/**
 * Copies what was written and closed into `directory`, each file under its index, as far as there is room.
 *
 * @param root the program's `/`, as seen from here
 */
export async function saveWritten(
  paths: readonly string[],
  root: string,
  directory: string,
): Promise<Pick<Manifest['written'], 'files' | 'left'>> {
  const files: { path: string; mode: number }[] = []
  const left: string[] = []
  let room = WRITTEN_LIMIT
  for (const path of paths) {
    const stat = lstatSync(root + path, { throwIfNoEntry: false })
    if (!stat?.isFile()) continue
    if (stat.size > room) {
      left.push(path)
      continue
    }
    room -= stat.size
    if (files.length === 0) await mkdir(directory, { recursive: true })
    await copyFile(root + path, join(directory, String(files.length)), constants.COPYFILE_FICLONE)
    files.push({ path, mode: stat.mode & 0o7777 })
  }
  return { files, left }
}

/**
 * Gives what was written and closed the content it had, through the program's view; what has it already is not touched.
 *
 * @param stays paths that keep what they hold now
 */
export function putWritten(
  files: Manifest['written']['files'],
  from: string,
  root: string,
  stays: ReadonlySet<string>,
): void {
  const contents = files.flatMap(({ path, mode }, index): [string, { pre: string; mode: number }][] =>
    stays.has(path) ? [] : [[root + path, { pre: join(from, String(index)), mode }]],
  )
  try {
    putContents(new Map(contents))
  } catch (error) {
    const why = (error as Error).message
    throw new ThawError('ENGINE_FAILED', `A file of the checkpoint could not be put back (${why}).`, {
      cause: error,
    })
  }
}

/**
 * Puts saved files back where the program will look for them. In a private view the directory's own are written
 * through the view, which keeps inode numbers (SQLite compares them); others become files of the sandbox's own.
 *
 * @param work directory of the branch
 */
export async function putBack(
  sandbox: Sandbox,
  paths: readonly string[],
  from: string,
  cwd: string,
  isPrivate: boolean,
  work: string,
  scope: Scope,
): Promise<void> {
  for (const [index, path] of paths.entries()) {
    const saved = join(from, String(index))
    const target = sandbox.inside(path)
    if (!isPrivate || isBelow(path, cwd)) {
      mkdirSync(dirname(target), { recursive: true })
      // In place: whoever has the file open keeps it.
      copyFileSync(saved, target)
      continue
    }
    const name = join(WORK.files, String(index))
    mkdirSync(join(work, WORK.files), { recursive: true })
    await copyFile(saved, join(work, name), constants.COPYFILE_FICLONE)
    sandbox.tell('bind', join(directoryPath(DIRECTORY.work), name), path)
  }
  await sandbox.settle(scope)
}

/** Fills what is mounted empty. */
export async function fillMemory(sandbox: Sandbox, from: string, scope: Scope): Promise<void> {
  await copyTree(from, sandbox.inside(SHARED_MEMORY), scope)
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}
