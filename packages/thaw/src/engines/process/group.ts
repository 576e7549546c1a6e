/** What the branches of one run share: directories, and that they end together. */
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { preparePrivate, removeTree, type Log } from '../../system/index.js'
import { sweepImages } from './image.js'

export class ProcessGroup implements AsyncDisposable {
  /** Where images lie, under names of their own. */
  readonly images: string
  /** Of branches that live. */
  readonly work: string
  readonly log: Log
  readonly #living = new Set<AsyncDisposable>()
  #images = 0

  private constructor(images: string, work: string, log: Log) {
    this.images = images
    this.work = work
    this.log = log
  }

  /**
   * @param images directory that outlives the daemon; interrupted checkpoints in it are removed
   * @param work directory for what ends with the group; both must be of this group alone
   */
  static open(images: string, work: string, log: Log): ProcessGroup {
    preparePrivate(images)
    sweepImages(images)
    // Of a daemon that was killed: nothing lives in there any more, its sandboxes ended with it.
    removeTree(work)
    preparePrivate(work)
    return new ProcessGroup(images, work, log)
  }

  /** A directory for one branch, removed by `drop`. */
  makeWork(): string {
    const work = mkdtempSync(join(this.work, 'b-'))
    for (const name of ['tmp', 'upper', 'overlay', 'restore']) mkdirSync(join(work, name), { mode: 0o700 })
    // As /tmp is, for everybody who gets that far.
    chmodSync(join(work, 'tmp'), 0o1777)
    return work
  }

  /** Names for an image: while it is made, and afterwards. */
  newImage(): { draft: string; final: string } {
    const name = `${Date.now().toString(36)}-${process.pid}-${++this.#images}`
    return { draft: `${name}.draft`, final: name }
  }

  /** Ends it with the group, unless it has ended before. */
  keep(living: AsyncDisposable, gone: Promise<void>): void {
    this.#living.add(living)
    void gone.then(() => this.#living.delete(living))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#living].map((one) => one[Symbol.asyncDispose]()))
    removeTree(this.work)
  }
}
