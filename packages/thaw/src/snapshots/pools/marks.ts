/** Ids of members whose cgroups are to be removed when their daemon could not do it. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { preparePrivate, sweepCgroups, ThawError } from '../../system/index.js'

export class Marks {
  readonly #directory: string

  /** Removes what the daemon before left. */
  constructor(directory: string) {
    this.#directory = directory
    preparePrivate(directory)
    const left = new Set(readdirSync(directory))
    if (left.size > 0) sweepCgroups((name) => left.has(name))
    for (const name of left) rmSync(join(directory, name), { force: true })
  }

  /** Until it is disposed. @throws ThawError DISK_FULL */
  put(id: string): Disposable {
    const file = join(this.#directory, id)
    try {
      writeFileSync(file, '')
    } catch (error) {
      throw new ThawError('DISK_FULL', `${file} could not be written.`, { cause: error })
    }
    return { [Symbol.dispose]: () => rmSync(file, { force: true }) }
  }
}
