/** Which files of a directory a program in a sandbox has written and closed. */
import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import { WriteWatch } from '../system/index.js'
import { ProjectTree } from './scan.js'
import { diskState } from './signature.js'

/** How often is asked what was written: what somebody else writes into the same file meanwhile counts as the program's. Milliseconds. */
const ASK_EVERY = 200
/** Files that are followed at most. */
const MOST = 20_000

interface Known {
  path: string
  /** What `diskState` tells. */
  state: string | null
}

export class WrittenFiles implements Disposable {
  readonly #directory: string
  /** Directory that stands for the program's `/`. */
  readonly #root: string
  readonly #watch: WriteWatch
  readonly #known = new Map<string, Known>()
  readonly #timer: NodeJS.Timeout
  #overflow = false

  private constructor(directory: string, root: string, watch: WriteWatch, earlier: readonly string[]) {
    this.#directory = directory
    this.#root = root
    this.#watch = watch
    for (const path of earlier) this.#note(path)
    this.#timer = setInterval(() => this.#ask(), ASK_EVERY).unref()
  }

  /**
   * @param directory as the program names it
   * @param root the program's `/`, as seen from here, while it lives
   * @param earlier what the branches that it goes on from had written
   * @returns null where the kernel does not tell
   */
  static watch(directory: string, root: string, earlier: readonly string[]): WrittenFiles | null {
    const watch = WriteWatch.open(root + directory)
    return watch === null ? null : new WrittenFiles(directory, root, watch, earlier)
  }

  /** Whether there were too many to know them all. */
  get overflow(): boolean {
    return this.#overflow
  }

  /**
   * Paths with how each looked when the program had written it last.
   *
   * @param alive whether the sandbox is still there; else its directory must be the real one
   */
  now(alive: boolean): Map<string, string | null> {
    const root = alive ? this.#root : ''
    const isThere = inodeOf(root + this.#directory) !== null
    if (isThere) this.#ask(root)
    const moved = new Map<string, Known>()
    for (const [inode, known] of this.#known)
      if (isThere && inodeOf(root + known.path) !== inode) moved.set(inode, known)
    if (moved.size > 0) this.#find(moved, root)
    return new Map([...this.#known.values()].map(({ path, state }) => [path, state]))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#watch[Symbol.dispose]()
  }

  #ask(root = this.#root): void {
    // What the sandbox's end has left unasked is asked for at the end.
    if (inodeOf(root + this.#directory) === null) return
    for (const { path, inode } of this.#watch.take()) {
      // Under a name there may be somebody else's file by now.
      const found = this.#names(path).find((name) => inodeOf(root + name) === inode)
      if (found !== undefined) this.#note(found, root)
    }
  }

  /** What in the directory a path may mean: after the sandbox's end it begins where its mount did, wherever that was. */
  #names(path: string): string[] {
    const names: string[] = []
    for (let at = this.#directory; ; at = dirname(at)) {
      names.push(at === '/' ? path : at + path)
      if (at === '/') break
    }
    return names
      .filter((name) => name.startsWith(this.#directory === '/' ? '/' : `${this.#directory}/`))
      .reverse()
  }

  #note(path: string, root = this.#root): void {
    const inode = inodeOf(root + path)
    if (inode === null) return
    if (this.#known.size >= MOST && !this.#known.has(inode)) this.#overflow = true
    else this.#known.set(inode, { path, state: diskState(root + path) })
  }

  /** Files that were renamed are elsewhere; those that are nowhere were removed. */
  #find(moved: ReadonlyMap<string, Known>, root: string): void {
    for (const inode of moved.keys()) this.#known.delete(inode)
    for (const file of new ProjectTree(root + this.#directory).files()[0]) {
      const inode = inodeOf(file)
      const known = inode === null ? undefined : moved.get(inode)
      if (inode !== null && known !== undefined)
        this.#known.set(inode, { path: file.slice(root.length), state: known.state })
    }
  }
}

function inodeOf(path: string): string | null {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`
}
