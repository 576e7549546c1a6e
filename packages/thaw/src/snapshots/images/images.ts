/** The images of one user: a row in the journal each, and for a root file system a directory. */
import { mkdtempSync, readdirSync, realpathSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  DOCKER_MACHINE,
  NO_LIMITS,
  type Image,
  type ImageDefinition,
  type UploadDefinition,
} from '@thaw/protocol'
import type { Journal } from '../../store/index.js'
import { preparePrivate, removeTree, ThawError, type Log, type Scope } from '../../system/index.js'
import { fits, newId, notFound } from '../ids.js'
import { dockerMachine } from './docker-machine.js'
import { importRoot, type ImportResult } from './import.js'
import type { Budget } from './root-writer.js'
import { receive, type Expected } from './upload.js'

const DRAFT = 'draft-'
const DOCKER_HINT = `\`thaw image build ${DOCKER_MACHINE} --docker\` makes it, \`thaw snapshot create ${DOCKER_MACHINE}\` has it start quickly.`
/** What a program finds when neither definition nor image says anything. */
export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** In the directory of an image. */
export const DISK = 'disk'
export const ROOT = 'rootfs'

/** What images are made with that are not imported alone. */
export interface ImageMakers {
  /** A disk for machines. */
  makeDisk(root: string, file: string, scope: Scope): Promise<void>
  /** Archive of a root file system with packages. */
  makeRoot(packages: readonly string[], scope: Scope): Promise<string>
}

export class Images {
  readonly #journal: Journal
  readonly #directory: string
  readonly #log: Log
  readonly #makers: ImageMakers
  /** Names of images that are being made. */
  readonly #taken = new Set<string>()

  /**
   * Removes what an interrupted import or removal left.
   *
   * @param directory of this class alone
   */
  constructor(journal: Journal, directory: string, makers: ImageMakers, log: Log) {
    this.#makers = makers
    this.#journal = journal
    this.#directory = directory
    this.#log = log
    preparePrivate(directory)
    const known = new Set(journal.images.list().map(({ id }) => id))
    for (const name of readdirSync(directory)) {
      if (!known.has(name)) removeTree(join(directory, name))
    }
  }

  /** Newest first. */
  list(): Image[] {
    return this.#journal.images.list()
  }

  /**
   * By name (`nginx` is `nginx:latest` where there is no plain `nginx`), id, or the beginning of an id.
   *
   * @throws ThawError IMAGE_NOT_FOUND, AMBIGUOUS_ID
   */
  get(given: string): Image {
    const named = this.#journal.images.named(given) ?? this.#journal.images.named(`${given}:latest`)
    if (named !== undefined) return named
    const found = this.list().filter(({ id }) => fits(given, id))
    if (found.length > 1) {
      throw new ThawError('AMBIGUOUS_ID', `${given} fits ${found.map(({ id }) => id).join(', ')}.`)
    }
    const [one] = found
    if (one !== undefined) return one
    const missing = notFound('IMAGE_NOT_FOUND', 'image', given, this.list())
    if (given !== DOCKER_MACHINE) throw missing
    throw new ThawError('IMAGE_NOT_FOUND', missing.message, { hint: DOCKER_HINT })
  }

  /** The directory that is `/` for instances of an image; null: they see the machine's. */
  rootOf(image: Image): string | null {
    return image.kind === 'rootfs' ? join(this.#directory, image.id, ROOT) : null
  }

  /** Disk of an image for machines. */
  diskOf(image: Image): string {
    return join(this.#directory, image.id, DISK)
  }

  /**
   * Makes an image. On failure nothing of it is left.
   *
   * @throws ThawError NAME_TAKEN, DIRECTORY_GONE, INVALID_REQUEST, and what importRoot throws
   */
  async create(definition: ImageDefinition, scope: Scope, most?: Budget): Promise<Image> {
    return await this.#named(definition.name, () => this.#make(definition, scope, most))
  }

  /**
   * Makes an image of an archive as it arrives. On failure nothing of it is left.
   *
   * @throws ThawError NAME_TAKEN before anything is read, and what `receive` and importRoot throw
   */
  async upload(
    definition: UploadDefinition,
    content: AsyncIterable<Uint8Array>,
    expected: Expected,
    scope: Scope,
  ): Promise<Image> {
    return await this.#named(definition.name, async () => {
      const draft = mkdtempSync(join(this.#directory, DRAFT))
      try {
        const path = join(draft, 'archive')
        await receive(content, path, expected, scope)
        return await this.#import({ ...definition, kind: 'rootfs', path }, scope, undefined, 'an upload')
      } finally {
        removeTree(draft)
      }
    })
  }

  async #make(definition: ImageDefinition, scope: Scope, most?: Budget): Promise<Image> {
    if (definition.kind === 'rootfs') return await this.#import(definition, scope, most)
    if (definition.kind === 'directory') {
      if (definition.engine === 'process') return this.#record(newId('img'), definition, null)
      throw new ThawError(
        'INVALID_REQUEST',
        'A machine sees no directory of this one: it has a root file system.',
        { hint: 'Use the kind `rootfs` or `packages`.' },
      )
    }
    if (definition.kind === 'docker') return await this.#make(dockerMachine(definition), scope, most)
    const { packages, ...rest } = definition
    const path = await this.#makers.makeRoot(packages, scope)
    return await this.#import({ ...rest, kind: 'rootfs', path }, scope, most)
  }

  /**
   * One that was made elsewhere, under its id.
   *
   * @param fill puts its files into an empty directory
   * @throws ThawError NAME_TAKEN; then nothing of it is left
   */
  adopt(image: Image, fill: (directory: string) => void): Image {
    this.#checkFree(image.name)
    const draft = mkdtempSync(join(this.#directory, DRAFT))
    try {
      fill(draft)
      renameSync(draft, join(this.#directory, image.id))
      this.#journal.images.record(image)
      return image
    } catch (error) {
      removeTree(draft)
      throw error
    }
  }

  /** Prerequisite: nothing runs on it. The journal first: what is left of an interrupted removal is swept. */
  remove(image: Image): void {
    this.#journal.images.forget(image.id)
    removeTree(join(this.#directory, image.id))
  }

  /** No other image of the name is made while `work` goes on. @throws ThawError NAME_TAKEN */
  async #named(name: string, work: () => Promise<Image>): Promise<Image> {
    this.#checkFree(name)
    this.#taken.add(name)
    try {
      return await work()
    } finally {
      this.#taken.delete(name)
    }
  }

  #checkFree(name: string): void {
    if (!this.#taken.has(name) && this.#journal.images.named(name) === undefined) return
    throw new ThawError('NAME_TAKEN', `There is an image ${name} already.`, {
      hint: `Remove it first (\`thaw image rm ${name}\`), or use another tag.`,
    })
  }

  /** @param origin what is told of where it came from; default: its path */
  async #import(
    definition: ImageDefinition & { kind: 'rootfs' },
    scope: Scope,
    most?: Budget,
    origin?: string,
  ): Promise<Image> {
    const draft = mkdtempSync(join(this.#directory, DRAFT))
    try {
      const result = await importRoot(definition.path, definition.reference ?? null, draft, scope, most)
      if (definition.engine === 'vm') {
        await this.#makers.makeDisk(join(draft, ROOT), join(draft, DISK), scope)
      }
      const source = origin ?? realpathSync(definition.path)
      const id = newId('img')
      renameSync(draft, join(this.#directory, id))
      try {
        result.imported.source = source
        return this.#record(id, { ...definition, path: source }, result)
      } catch (error) {
        removeTree(join(this.#directory, id))
        throw error
      }
    } catch (error) {
      removeTree(draft)
      this.#log.info('An image was not imported.', { source: origin ?? definition.path, error })
      throw error
    }
  }

  #record(id: string, definition: Imported, result: ImportResult | null): Image {
    const image = describe(id, definition, result)
    this.#journal.images.record(image)
    return image
  }
}

function describe(id: string, definition: Imported, result: ImportResult | null): Image {
  const { kind, name, engine } = definition
  const config = result?.config ?? null
  const command = definition.command ?? [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])]
  if (command.length === 0) {
    throw new ThawError('INVALID_REQUEST', `${name} says no command, and neither does what was imported.`, {
      hint: 'Add `command` to the definition, or the command behind `thaw image import`.',
    })
  }
  if (kind === 'directory' && statSync(definition.path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new ThawError('DIRECTORY_GONE', `${definition.path} is no directory.`)
  }
  const path = kind === 'directory' ? realpathSync(definition.path) : definition.path
  const ports = Object.keys(config?.ExposedPorts ?? {}).flatMap((port) => {
    const number = /^(\d+)(?:\/tcp)?$/.exec(port)?.[1]
    return number === undefined ? [] : [Number(number)]
  })
  return {
    id,
    name,
    kind,
    path,
    command,
    cwd: definition.kind === 'directory' ? path : (definition.cwd ?? (config?.WorkingDir || '/')),
    env: { ...(kind === 'rootfs' ? { PATH } : {}), ...environment(config?.Env ?? []), ...definition.env },
    user: definition.user ?? (config?.User || null),
    ports: definition.ports ?? ports,
    readiness: definition.readiness ?? null,
    after_restore: definition.after_restore ?? null,
    limits: definition.limits ?? NO_LIMITS,
    engine,
    imported: result?.imported ?? null,
    created_at: new Date().toISOString(),
  }
}

/** What packages become before they are described. */
type Imported = Exclude<ImageDefinition, { kind: 'packages' | 'docker' }>

function environment(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((one) => {
      const at = one.indexOf('=')
      return at < 0 ? [one, ''] : [one.slice(0, at), one.slice(at + 1)]
    }),
  )
}
