/** A private copy of the project for one candidate: what is edited there is an answer, and nothing else has changed. */
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { copyTree, lookAt, type ProjectCopy } from '../runs/verify/copy.js'
import type { Workshop } from '../runs/workshop.js'
import { ThawError, type Scope } from '../system/index.js'
import { checkPath, contentOf, Refused, type FileEdit } from './edit.js'

export class Workplace implements Disposable {
  readonly copy: ProjectCopy
  readonly #before: Map<string, string | null>

  private constructor(copy: ProjectCopy, before: Map<string, string | null>) {
    this.copy = copy
    this.#before = before
  }

  /**
   * @param directory where it is to be; it is made
   * @throws ThawError UNSUPPORTED where the project cannot be copied
   */
  static async open(shop: Workshop, project: string, directory: string, scope: Scope): Promise<Workplace> {
    const { home, state, runtime, cache } = shop.paths
    const own = [home, state, runtime, cache, directory].filter((path) => path !== null)
    const copy = await copyTree(await shop.anyPython(scope), project, directory, [], own, scope)
    if ('why' in copy) {
      throw new ThawError('UNSUPPORTED', copy.why, {
        hint: 'Keep large data outside of the project, or mark a smaller directory as one (an empty thaw.toml in it).',
      })
    }
    return new Workplace(copy, await lookAt(copy))
  }

  /** Where a directory of the project is seen by who works here. */
  place(path: string): string {
    const { project, directory } = this.copy
    if (this.copy.private || (path !== project && !path.startsWith(`${project}/`))) return path
    return directory + path.slice(project.length)
  }

  /** @throws Refused where something was done that an edit may not do */
  async edits(): Promise<FileEdit[]> {
    const { project, directory } = this.copy
    const now = await lookAt(this.copy)
    const edits: FileEdit[] = []
    for (const path of this.#before.keys()) {
      if (!now.has(path)) throw new Refused(`it removes ${path}`)
    }
    for (const [path, looks] of now) {
      if (this.#before.get(path) === looks) continue
      const found = lstatSync(join(directory, path))
      if (found.isDirectory()) continue
      if (!found.isFile()) throw new Refused(`${path} is not a regular file any more`)
      const clean = checkPath(project, path)
      const { before } = contentOf(project, clean)
      const after = readFileSync(join(directory, path))
      if (before !== null && before.equals(after)) continue
      edits.push({ path: clean, before, after, mode: found.mode & 0o777 })
    }
    return edits
  }

  /** What was answered otherwise than by editing here. */
  put(edits: readonly FileEdit[]): void {
    for (const { path, after, mode } of edits) {
      const file = join(this.copy.directory, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, after, { mode })
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.copy.directory, { recursive: true, force: true })
  }
}
