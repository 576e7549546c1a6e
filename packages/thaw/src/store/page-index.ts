/** Where each page lies: a hash table in typed arrays, since there may be millions. */
import { NAME, PACK_PAGES } from './pack.js'

/** Pack and slot in one number. */
export interface Place {
  pack: number
  slot: number
}

export class PageIndex {
  #names = Buffer.alloc(1024 * NAME)
  #places = new Float64Array(1024)
  /** Number of an entry + 1 at the place that its name falls on, or after it; 0: none. */
  #table = new Uint32Array(4096)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The entry of a name; -1: it is not here. */
  find(names: Buffer, at = 0): number {
    const mask = this.#table.length - 1
    for (let slot = names.readUInt32LE(at) & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#table[slot] as number) - 1
      if (entry < 0) return -1
      const from = entry * NAME
      if (this.#names.compare(names, at, at + NAME, from, from + NAME) === 0) return entry
    }
  }

  place(entry: number): Place {
    const place = this.#places[entry] as number
    return { pack: Math.floor(place / PACK_PAGES), slot: place % PACK_PAGES }
  }

  /** Prerequisite: the name is not here yet. */
  add(names: Buffer, at: number, { pack, slot }: Place): void {
    if (this.#size === this.#places.length) this.#grow()
    names.copy(this.#names, this.#size * NAME, at, at + NAME)
    this.#places[this.#size] = pack * PACK_PAGES + slot
    this.#enter(this.#size++)
  }

  #enter(entry: number): void {
    const mask = this.#table.length - 1
    let slot = this.#names.readUInt32LE(entry * NAME) & mask
    while (this.#table[slot] !== 0) slot = (slot + 1) & mask
    this.#table[slot] = entry + 1
  }

  #grow(): void {
    const more = this.#places.length * 2
    const names = Buffer.alloc(more * NAME)
    this.#names.copy(names)
    const places = new Float64Array(more)
    places.set(this.#places)
    this.#names = names
    this.#places = places
    this.#table = new Uint32Array(more * 4)
    for (let entry = 0; entry < this.#size; entry++) this.#enter(entry)
  }
}
