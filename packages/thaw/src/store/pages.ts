/**
 * Pages by content: each is kept once, however many files it occurs in.
 *
 * What is in the directory is packs and nothing else, so that there is nothing to disagree with them: an interrupted
 * writing leaves at most a temporary file, or pages twice. One at a time works on a store; who uses it sees to that
 * (engines/process/keeper.ts).
 */
import { closeSync, openSync, readdirSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ThawError } from '../system/error.js'
import { preparePrivate } from '../system/paths.js'
import { NAME, PACK_PAGES, PackReader, PackWriter, PAGE, pageName, syncDirectory } from './pack.js'
import { PageIndex } from './page-index.js'

/** Pages of so many packs are at hand at a time. */
const OPEN_PACKS = 64
/** A pack of which less is needed is written anew. */
const WORTH_KEEPING = 0.5
const READ_PAGES = 256

export interface PagesCollected {
  /** Bytes that were freed. */
  bytes: number
  /** Packs that were removed, those written anew included. */
  packs: number
}

interface Pack {
  file: string
  pages: number
  size: number
}

export class PageStore implements Disposable {
  readonly #directory: string
  #index = new PageIndex()
  /** By number in the index. */
  #packs: Pack[] = []
  readonly #open = new Map<number, PackReader>()
  #next = 1
  #writer: PackWriter | null = null

  /** Prerequisite: `loadZstd` has resolved. @throws ThawError STATE_UNWRITABLE */
  constructor(directory: string) {
    preparePrivate(directory)
    this.#directory = directory
    for (const name of readdirSync(directory)) {
      if (name.endsWith('.tmp')) rmSync(join(directory, name), { force: true })
    }
    this.#read()
  }

  /** Different pages in it. */
  get pages(): number {
    return this.#index.size
  }

  /** Of the packs on disk. */
  get bytes(): number {
    return this.#packs.reduce((sum, { size }) => sum + size, 0)
  }

  /**
   * Keeps the content of a file, whose last page is filled up with zeros. It is on disk when `flush` has returned.
   *
   * @param go asked now and then; false gives up
   * @returns the names of its pages, one behind the other
   * @throws ThawError CANCELLED; after any failure the store is not to be used any more
   */
  put(file: string, go: () => boolean = () => true): Buffer {
    const fd = openSync(file, 'r')
    const names: Buffer[] = []
    const buffer = Buffer.alloc(PAGE * READ_PAGES)
    try {
      for (;;) {
        if (!go()) throw new ThawError('CANCELLED', 'Something else is wanted first.')
        const size = fill(fd, buffer)
        for (let at = 0; at < size; at += PAGE) {
          const page = buffer.subarray(at, at + PAGE)
          if (size - at < PAGE) page.fill(0, size - at)
          const name = pageName(page)
          names.push(name)
          if (this.#index.find(name) < 0) this.#add(name, page)
        }
        if (size < buffer.length) return Buffer.concat(names)
      }
    } catch (error) {
      this.#writer?.drop()
      this.#writer = null
      throw error
    } finally {
      closeSync(fd)
    }
  }

  flush(): void {
    if (this.#writer === null) return
    const pack = this.#packs.at(-1) as Pack
    pack.pages = this.#writer.pages
    pack.size = this.#writer.seal()
    this.#writer = null
  }

  /**
   * A page, checked against its name; valid until the next call.
   *
   * @throws ThawError IMAGE_BROKEN
   */
  get(names: Buffer, at: number): Uint8Array {
    const entry = this.#index.find(names, at)
    const name = names.subarray(at, at + NAME)
    if (entry < 0) throw this.missing(names, at)
    const { pack, slot } = this.#index.place(entry)
    const page = this.#reader(pack).page(slot)
    if (pageName(page).equals(name)) return page
    throw new ThawError(
      'IMAGE_BROKEN',
      `The page ${name.toString('hex')} in ${this.#packs[pack]?.file} is damaged.`,
    )
  }

  missing(names: Buffer, at: number): ThawError {
    return new ThawError('IMAGE_BROKEN', `The page ${names.toString('hex', at, at + NAME)} is missing.`)
  }

  has(names: Buffer, at: number): boolean {
    return this.#index.find(names, at) >= 0
  }

  /**
   * Removes what is not named. What is still needed of a pack of which little is needed is first written elsewhere.
   *
   * @param used names of all pages that are needed, in pieces
   */
  collect(used: Iterable<Buffer>): PagesCollected {
    const needed = new Uint8Array(this.#index.size)
    for (const names of used) {
      for (let at = 0; at < names.length; at += NAME) {
        const entry = this.#index.find(names, at)
        if (entry >= 0) needed[entry] = 1
      }
    }
    const live = this.#packs.map((): number[] => [])
    for (const [entry, is] of needed.entries()) {
      if (is !== 1) continue
      const { pack, slot } = this.#index.place(entry)
      live[pack]?.push(slot)
    }
    const gone = this.#packs.filter((pack, number) => {
      const slots = live[number] as number[]
      if (slots.length >= pack.pages * WORTH_KEEPING) return false
      return this.#rewrite(this.#reader(number), slots)
    })
    this.flush()
    if (gone.length === 0) return { bytes: 0, packs: 0 }
    const before = this.bytes
    this.#close()
    for (const { file } of gone) rmSync(file)
    syncDirectory(this.#directory)
    this.#read()
    return { bytes: before - this.bytes, packs: gone.length }
  }

  [Symbol.dispose](): void {
    this.#writer?.drop()
    this.#writer = null
    this.#close()
  }

  /** Returns whether the pack can go when what was written is on disk: not where a page of it is damaged. */
  #rewrite(reader: PackReader, slots: readonly number[]): boolean {
    try {
      for (const slot of slots) {
        const name = reader.names.subarray(slot * NAME, (slot + 1) * NAME)
        const page = reader.page(slot)
        if (!pageName(page).equals(name)) return false
        this.#write(name, page)
      }
      return true
    } catch (error) {
      if (error instanceof ThawError && error.code === 'IMAGE_BROKEN') return false
      throw error
    }
  }

  #add(name: Buffer, page: Uint8Array): void {
    const slot = this.#writer?.pages ?? 0
    const pack = this.#writer === null ? this.#packs.length : this.#packs.length - 1
    this.#index.add(name, 0, { pack, slot })
    this.#write(name, page)
  }

  #write(name: Buffer, page: Uint8Array): void {
    if (this.#writer === null) {
      const file = join(this.#directory, `${this.#next++}.pack`)
      this.#writer = new PackWriter(file)
      this.#packs.push({ file, pages: 0, size: 0 })
    }
    this.#writer.add(name, page)
    if (this.#writer.pages === PACK_PAGES) this.flush()
  }

  #reader(pack: number): PackReader {
    let reader = this.#open.get(pack)
    if (reader === undefined) {
      const [oldest] = this.#open.keys()
      if (this.#open.size >= OPEN_PACKS && oldest !== undefined) {
        this.#open.get(oldest)?.[Symbol.dispose]()
        this.#open.delete(oldest)
      }
      reader = new PackReader((this.#packs[pack] as Pack).file)
      this.#open.set(pack, reader)
    }
    return reader
  }

  #close(): void {
    for (const reader of this.#open.values()) reader[Symbol.dispose]()
    this.#open.clear()
  }

  #read(): void {
    this.#index = new PageIndex()
    this.#packs = []
    const numbers = readdirSync(this.#directory).flatMap((name) => /^(\d+)\.pack$/.exec(name)?.[1] ?? [])
    for (const number of numbers.map(Number).sort((a, b) => a - b)) {
      this.#next = number + 1
      const file = join(this.#directory, `${number}.pack`)
      let reader
      try {
        reader = new PackReader(file)
      } catch (error) {
        // Its pages will be missed by name where they are wanted.
        if (error instanceof ThawError) continue
        throw error
      }
      const pages = reader.names.length / NAME
      const pack = this.#packs.push({ file, pages, size: reader.size }) - 1
      for (let slot = 0; slot < pages; slot++) {
        const at = slot * NAME
        if (this.#index.find(reader.names, at) < 0) this.#index.add(reader.names, at, { pack, slot })
      }
      reader[Symbol.dispose]()
    }
  }
}

/** Reads as much as there is; returns less than fits only at the end of the file. */
function fill(fd: number, buffer: Buffer): number {
  let size = 0
  while (size < buffer.length) {
    const more = readSync(fd, buffer, size, buffer.length - size, null)
    if (more === 0) break
    size += more
  }
  return size
}
