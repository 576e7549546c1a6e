/** How the programs of a run that are copied from outside left their files: on disk, since their checkpoints are too. */
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import type { ProcessImage } from '../engines/process/image.js'
import { diskState } from '../files/signature.js'
import { isAlready } from '../files/undo.js'
import { writeFileAtomic } from '../system/index.js'

const States = z.record(z.string(), z.string().nullable())

export class LeftFiles {
  readonly #file: string
  readonly #states: Map<string, string | null>
  #written: Promise<unknown> = Promise.resolve()

  constructor(file: string) {
    this.#file = file
    this.#states = new Map(Object.entries(readStates(file)))
  }

  /** @param states paths as `diskState` saw them when the program had written them last */
  async note(states: ReadonlyMap<string, string | null>): Promise<void> {
    if (states.size === 0) return
    for (const [path, state] of states) this.#states.set(path, state)
    const text = JSON.stringify(Object.fromEntries(this.#states))
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
    await (this.#written = this.#written.then(() => writeFileAtomic(this.#file, text)))
  }

  /** Whether a file still looks as the program left it that wrote it last. */
  isLeft(path: string): boolean {
    return this.#states.has(path) && this.#states.get(path) === diskState(path)
  }

  /**
   * Files that the program of an image had written, and that hold neither what they held then nor what a program of this
   * run left in them: they are the user's.
   */
  changedSince(image: ProcessImage): Set<string> {
    const changed = image.manifest.written.files.flatMap(({ path }, index) => {
      if (isAlready(path, join(image.part('written'), String(index)))) return []
      return this.isLeft(path) ? [] : [path]
    })
    return new Set(changed)
  }
}

/** What cannot be read is not known: the files are then taken for the user's, and stay. */
function readStates(file: string): z.infer<typeof States> {
  try {
    return States.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return {}
  }
}
