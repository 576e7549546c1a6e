/** What a run's machine has of this one: the project, which comes back, and what thaw's agent needs, which does not. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ThawError, type Scope } from '../../system/index.js'
import type { Guest } from './guest/guest.js'
import { makeTree } from './guest/tree.js'
import type { VmImage } from './image.js'
import { Known, MachineProject } from './project.js'

/** How programs of the run left files here. */
export interface Left {
  isLeft(path: string): boolean
  note(states: ReadonlyMap<string, string | null>): Promise<void>
}

export interface Carries {
  project: string
  /** Directory of the agent's that it reads; null: there is no agent. */
  cache: string | null
  /** Directory of the agent's that it writes. */
  store: string
  left: Left
  /** What is changed there stays there. */
  isPrivate: boolean
}

/** Files beside a copy: what both sides held when they were the same. */
const PROJECT = 'project.json'
const CACHE = 'cache.json'

export class Carried {
  /** What is to be told of it, in words. */
  readonly notes: string[] = []
  readonly #how: Carries
  readonly #project: MachineProject
  readonly #cache: MachineProject | null

  /** @param image whose machine it is; null: one that has nothing yet. @throws ThawError IMAGE_BROKEN */
  constructor(how: Carries, image: VmImage | null) {
    this.#how = how
    const known = (name: string) => (image === null ? {} : readKnown(image, name))
    this.#project = new MachineProject(how.project, known(PROJECT))
    this.#cache = how.cache === null ? null : new MachineProject(how.cache, known(CACHE))
    if (how.isPrivate) this.notes.push('what it changes stays in its machine')
  }

  /** @throws ThawError UNSUPPORTED, DISK_FULL; GuestRefused */
  async into(guest: Guest, scope: Scope): Promise<void> {
    const { left, store } = this.#how
    const isNew = Object.keys(this.#project.known).length === 0
    const put = await this.#project.carryIn(guest, (path) => left.isLeft(path), scope)
    if (!isNew && put.length > 0) this.notes.push(`put in place: ${named(put)}`)
    const { leftOut } = this.#project
    if (leftOut.length > 0) this.notes.push(`not carried into the machine: ${named(leftOut)}`)
    if (this.#cache === null) return
    await this.#cache.carryIn(guest, () => false, scope)
    await makeTree(guest, store, scope)
  }

  /** @throws ThawError DISK_FULL, ENGINE_FAILED; GuestRefused */
  async back(guest: Guest, scope: Scope): Promise<void> {
    const { left, isPrivate } = this.#how
    if (isPrivate) return
    const { written, stayed } = await this.#project.carryBack(guest, (path) => left.isLeft(path), scope)
    await left.note(written)
    if (stayed.length > 0) this.notes.push(`changed here meanwhile, and left so: ${named(stayed)}`)
  }

  /** What a copy of the machine is to keep. */
  beside(): Record<string, string> {
    const cache = this.#cache === null ? {} : { [CACHE]: JSON.stringify(this.#cache.known) }
    return { [PROJECT]: JSON.stringify(this.#project.known), ...cache }
  }
}

function readKnown(image: VmImage, name: string): Known {
  try {
    return Known.parse(JSON.parse(readFileSync(join(image.directory, name), 'utf8')))
  } catch (error) {
    throw new ThawError('IMAGE_BROKEN', `${name} of ${image.directory} cannot be read.`, { cause: error })
  }
}

function named(paths: readonly string[]): string {
  const few = paths.slice(0, 3).join(', ')
  return paths.length > 3 ? `${few} and ${paths.length - 3} more` : few
}
