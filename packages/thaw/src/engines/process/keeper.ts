/**
 * Looks after images on disk: whole while they are used, packed when they rest.
 *
 * All work on the store of pages is done one piece after the other, in a thread (packer.ts). So a collection never
 * meets pages that a packing has written and no manifest names yet, but those of one that was killed.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { ErrorBody } from '@thaw/protocol'
import { z } from 'zod'
import type { PagesCollected } from '../../store/pages.js'
import { packerProgram, removeTree, ThawError, type Log } from '../../system/index.js'
import { lastUse, Manifest, PART, ProcessImage, sealImage, touchImage } from './image.js'
import { ENTRY, type ExportWork, type Imported, type ParcelKind } from './parcel.js'
import { imagesIn, isUnpacked, unpackedBytes } from './packing.js'

/** Of images while somebody uses them. */
export interface ImageCare {
  /** The image is whole until what is returned is disposed of. @throws ThawError IMAGE_BROKEN, DISK_FULL */
  use(image: ProcessImage): Promise<Disposable>
  /** Waits until nobody uses or changes it. */
  remove(image: ProcessImage): Promise<void>
  /** Removes a directory that nobody uses any more: at once, or when nothing changes it. */
  discard(directory: string): void
}

/** Where images are never packed. */
export const WITHOUT_CARE: ImageCare = {
  use: () => Promise.resolve({ [Symbol.dispose]() {} }),
  remove: (image) => image.remove(),
  discard: removeTree,
}

export interface KeeperOptions {
  /** Directory of the store of pages. */
  pages: string
  /** Where images lie, and the seconds without use after which they are packed there. */
  places: () => readonly { directory: string; rest: number }[]
  /** The shortest of these, in seconds: it is looked so often. */
  rest: number
  /** Most bytes of images that are not packed; what was not used for longest is packed first. */
  unpacked: number
  log: Log
  /** Told of an image that was packed or unpacked. */
  changed?: (directory: string) => void
  /** Default: the built one. */
  program?: string
}

export type Work =
  | { do: 'pack'; image: string }
  | { do: 'unpack'; image: string }
  | { do: 'collect'; places: string[] }
  | ({ do: 'export' } & ExportWork)
  | { do: 'import'; file: string; directory: string; kind: ParcelKind }

export interface PackerData {
  pages: string
  work: Work
  /** Set when somebody waits for other work. */
  hurry: SharedArrayBuffer
}

export interface Answer {
  collected?: PagesCollected
  /** Bytes of the file. */
  exported?: number
  imported?: Imported
  error?: ErrorBody
}

const NOTHING: PagesCollected = { bytes: 0, packs: 0 }
const LONGEST_BETWEEN = 60
const SHORTEST_BETWEEN = 0.2

/** How many use an image, until none does. */
interface Uses {
  count: number
  ended: Promise<void>
  end: () => void
}

function newUses(): Uses {
  let end = () => {}
  const ended = new Promise<void>((resolve) => (end = resolve))
  return { count: 0, ended, end }
}

export class ImageKeeper implements ImageCare, AsyncDisposable {
  readonly #options: KeeperOptions
  readonly #timer: NodeJS.Timeout
  readonly #uses = new Map<string, Uses>()
  /** What changes an image now. */
  readonly #changing = new Map<string, Promise<unknown>>()
  /** Images that could not be packed. */
  readonly #failed = new Set<string>()
  #turn: Promise<unknown> = Promise.resolve()
  readonly #workers = new Set<Worker>()
  #hurry = new Int32Array(new SharedArrayBuffer(4))
  #tidying: Promise<void> | null = null
  /** Pages may lie in the store that nobody names: from a daemon before, at first. */
  #loose = true
  #ended = false

  constructor(options: KeeperOptions) {
    this.#options = options
    const seconds = Math.min(LONGEST_BETWEEN, Math.max(SHORTEST_BETWEEN, options.rest / 2))
    this.#timer = setInterval(() => void this.tidy(), seconds * 1000).unref()
  }

  async use(image: ProcessImage): Promise<Disposable> {
    const { directory } = image
    for (;;) {
      const changing = this.#changing.get(directory)
      if (changing !== undefined) {
        this.#hasten()
        await changing.catch(() => {})
      } else if (isUnpacked(ProcessImage.open(directory))) break
      else await this.#change(directory, { do: 'unpack', image: directory })
    }
    touchImage(directory)
    const uses = this.#uses.get(directory) ?? newUses()
    this.#uses.set(directory, uses)
    uses.count++
    let used = true
    return {
      [Symbol.dispose]: () => {
        if (!used) return
        used = false
        if (--uses.count > 0) return
        this.#uses.delete(directory)
        uses.end()
      },
    }
  }

  async remove(image: ProcessImage): Promise<void> {
    for (let changing; (changing = this.#changing.get(image.directory)) !== undefined;) {
      this.#hasten()
      await changing.catch(() => {})
    }
    await this.#uses.get(image.directory)?.ended
    this.#failed.delete(image.directory)
    this.#loose = true
    await image.remove()
  }

  discard(directory: string): void {
    this.#failed.delete(directory)
    this.#loose = true
    const changing = this.#changing.get(directory)
    if (changing === undefined) return removeTree(directory)
    this.#hasten()
    void changing.catch(() => {}).then(() => this.discard(directory))
  }

  /** Waits until no image below a directory is changed any more: it is about to be removed. */
  async release(below: string): Promise<void> {
    const changing = [...this.#changing].filter(([directory]) => directory.startsWith(`${below}/`))
    if (changing.length > 0) this.#hasten()
    await Promise.allSettled(changing.map(([, change]) => change))
    this.#loose = true
  }

  /** Packs what rests, and removes pages that nobody names any more. */
  tidy(): Promise<void> {
    this.#tidying ??= this.#tidy()
      .catch((error: unknown) => this.#options.log.warn('Images could not be looked after.', { error }))
      .finally(() => (this.#tidying = null))
    return this.#tidying
  }

  /** Removes pages that no image names. */
  async collect(): Promise<PagesCollected> {
    if (!existsSync(this.#options.pages)) return NOTHING
    this.#loose = false
    try {
      // What is named is looked for when it is its turn: those packed before count.
      const places = () => this.#options.places().map(({ directory }) => directory)
      return (await this.#inTurn(() => ({ do: 'collect', places: places() }))).collected ?? NOTHING
    } catch (error) {
      this.#loose = true
      throw error
    }
  }

  /**
   * Writes an image into a file, with what is to be known of it and what was printed before it.
   *
   * @param output directory
   * @returns the size of the file in bytes
   * @throws ThawError EXPORT_UNWRITABLE, UNSUPPORTED, IMAGE_BROKEN, DISK_FULL
   */
  async export(image: ProcessImage, about: object, output: string, file: string): Promise<number> {
    using _whole = await this.use(image)
    const { directory } = image
    const manifest: Manifest = { ...ProcessImage.open(directory).manifest, packed: null }
    image.check()
    return await this.write({
      file,
      about,
      texts: { [ENTRY.manifest]: JSON.stringify(manifest) },
      roots: [
        { from: directory, as: ENTRY.image, without: ['manifest.json', PART.pages, PART.unpacked] },
        { from: output, as: ENTRY.output, without: [] },
      ],
    })
  }

  /** Writes a file. @returns its size in bytes. @throws ThawError EXPORT_UNWRITABLE, UNSUPPORTED, DISK_FULL */
  async write(work: ExportWork): Promise<number> {
    return (await this.#run({ do: 'export', ...work })).exported ?? 0
  }

  /** What a file holds, below an empty directory. @throws ThawError IMPORT_REFUSED, FILE_UNREADABLE, DISK_FULL */
  async read(file: string, directory: string, kind: ParcelKind): Promise<Imported> {
    const { imported } = await this.#run({ do: 'import', file, directory, kind })
    return imported ?? { about: '', manifest: '' }
  }

  /**
   * Reads a file that `export` has written. What is made of it lies in two directories below `draft`; the image is
   * sealed under the name `final`.
   *
   * @param draft an empty directory on the file system of `final`
   * @returns the image, and what is to be known of it, not checked
   * @throws ThawError IMPORT_REFUSED, IMAGE_MISMATCH, DISK_FULL
   */
  async import(file: string, draft: string, final: string): Promise<{ image: ProcessImage; about: unknown }> {
    const imported = await this.read(file, draft, 'checkpoint')
    try {
      const about: unknown = JSON.parse(imported.about)
      const { format, sizes, packed, ...rest } = Manifest.parse(JSON.parse(imported.manifest))
      const image = await sealImage(join(draft, ENTRY.image), final, rest)
      const found = image.manifest.sizes
      const names = new Set([...Object.keys(sizes), ...Object.keys(found)])
      if (packed !== null || format > 2 || [...names].some((name) => sizes[name] !== found[name])) {
        await image.remove()
        throw new ThawError('IMPORT_REFUSED', 'The file was not imported: its image is not whole.')
      }
      return { image, about }
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof z.ZodError)) throw error
      throw new ThawError('IMPORT_REFUSED', 'The file was not imported: its manifest is malformed.', {
        cause: error,
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    clearInterval(this.#timer)
    await Promise.all([...this.#workers].map((worker) => worker.terminate()))
    await this.#tidying
    await this.#turn.catch(() => {})
  }

  async #tidy(): Promise<void> {
    const { places, unpacked, log } = this.#options
    const all = places().flatMap(({ directory, rest }) =>
      imagesIn(directory).map((image) => ({ image, rest })),
    )
    const whole = all.flatMap(({ image, rest }) => {
      const used = lastUse(image)
      const bytes = used === null ? 0 : unpackedBytes(image)
      return used === null || bytes === 0 ? [] : [{ directory: image, used, bytes, rest }]
    })
    let sum = whole.reduce((total, { bytes }) => total + bytes, 0)
    for (const { directory, used, bytes, rest } of whole.sort((a, b) => a.used - b.used)) {
      if (this.#ended) return
      if (sum <= unpacked && Date.now() - used < rest * 1000) continue
      if (this.#uses.has(directory) || this.#changing.has(directory) || this.#failed.has(directory)) continue
      if (lastUse(directory) === null) continue
      try {
        await this.#change(directory, { do: 'pack', image: directory })
        sum -= bytes
      } catch (error) {
        const { code } = ThawError.from(error)
        if (code === 'CANCELLED' || this.#ended) return
        if (code !== 'DISK_FULL') this.#failed.add(directory)
        this.#loose = true
        log.warn('A checkpoint could not be packed; it stays as it is.', { error })
      }
    }
    if (this.#loose) await this.collect()
  }

  async #change(directory: string, work: Work): Promise<void> {
    // Nobody is to wait for what nobody waits for.
    if (work.do === 'unpack') this.#hasten()
    const changed = this.#inTurn(() => work)
    this.#changing.set(directory, changed)
    try {
      await changed
    } finally {
      this.#changing.delete(directory)
    }
    this.#options.changed?.(directory)
  }

  /** What is done in the background is given up; it is done again later. */
  #hasten(): void {
    Atomics.store(this.#hurry, 0, 1)
  }

  #inTurn(work: () => Work): Promise<Answer> {
    const turn = this.#turn.then(() => this.#run(work()))
    this.#turn = turn.catch(() => {})
    return turn
  }

  #run(work: Work): Promise<Answer> {
    if (this.#ended) return Promise.reject(new ThawError('DAEMON_STOPPING', 'The daemon is ending.'))
    const hurry = new SharedArrayBuffer(4)
    if (work.do === 'pack') this.#hurry = new Int32Array(hurry)
    const data: PackerData = { pages: this.#options.pages, work, hurry }
    return new Promise((resolve, reject) => {
      const worker = new Worker(this.#options.program ?? packerProgram(), { workerData: data })
      this.#workers.add(worker)
      let answer: Answer | null = null
      worker.once('message', (said: Answer) => (answer = said))
      worker.once('error', reject)
      worker.once('exit', () => {
        this.#workers.delete(worker)
        if (answer === null) reject(new ThawError('INTERNAL', 'The thread that packs checkpoints ended.'))
        else if (answer.error !== undefined) reject(ThawError.fromBody(answer.error))
        else resolve(answer)
      })
    })
  }
}
