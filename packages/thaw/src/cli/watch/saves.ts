import type { RunInputs } from '@thaw/protocol'
import { dirname } from 'node:path'
import type { FileChange } from './tree.js'

/** Which changes of files are saves, after which the command is run again. */
export class Saves {
  #inputs: RunInputs = { project: '/', used: [], listed: [], written: [], complete: false }
  #used = new Set<string>()
  #listed = new Set<string>()
  #written = new Set<string>()
  /** What changed during this run and the one before it, while nobody could say who had changed it. */
  #during = new Set<string>()
  #before = new Set<string>()

  /** What the daemon knows of the run by now. */
  learn(inputs: RunInputs): void {
    this.#inputs = inputs
    this.#used = new Set(inputs.used)
    this.#listed = new Set(inputs.listed)
    for (const path of inputs.written) this.#written.add(path)
  }

  /** Files that somebody else is known to write. */
  disown(paths: readonly string[]): void {
    for (const path of paths) this.#written.add(path)
  }

  begin(): void {
    this.#before = this.#during
    this.#during = new Set()
  }

  /** @param running whether the program may have made the change itself */
  among(changes: readonly FileChange[], running: boolean): FileChange[] {
    return changes.filter((change) => this.#isSave(change, running))
  }

  #isSave({ path, kind }: FileChange, running: boolean): boolean {
    if (running && this.#written.has(path)) return false
    if (this.#used.has(path) || (kind !== 'changed' && this.#listed.has(dirname(path)))) return true
    if (!this.#isVisible(path)) return false
    if (this.#inputs.complete) return kind !== 'changed' || path.endsWith('.py')
    if (!running) return true
    // Nobody knows what this command writes. What it makes anew is its own, and what changes in every run.
    if (kind === 'created') {
      this.#written.add(path)
      return false
    }
    this.#during.add(path)
    if (!this.#before.has(path)) return true
    this.#written.add(path)
    return false
  }

  #isVisible(path: string): boolean {
    const { project } = this.#inputs
    if (!path.startsWith(project === '/' ? '/' : `${project}/`)) return false
    return !path.slice(project.length).includes('/.') && !path.endsWith('~')
  }
}
