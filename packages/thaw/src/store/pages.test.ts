import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { atChange } from '../../../../tests/support/faults.js'
import { NAME, PACK_PAGES, PAGE } from './pack.js'
import { PageStore } from './pages.js'
import { loadZstd } from './zstd.js'

describe('PageStore', () => {
  let directory: string
  let pages: string
  beforeAll(() => loadZstd())
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'thaw-pages-'))
    pages = join(directory, 'pages')
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  function put(store: PageStore, content: Buffer): Buffer {
    const file = join(directory, 'file')
    writeFileSync(file, content)
    const names = store.put(file)
    store.flush()
    return names
  }

  function get(store: PageStore, names: Buffer): Buffer {
    const found: Buffer[] = []
    for (let at = 0; at < names.length; at += NAME) found.push(Buffer.from(store.get(names, at)))
    return Buffer.concat(found)
  }

  const stored = () => readdirSync(pages).reduce((sum, name) => sum + statSync(join(pages, name)).size, 0)

  it('gives back what it was given, also to the next one that opens it, readable by its owner only', () => {
    const content = Buffer.concat([randomBytes(PAGE * 300 + 17), Buffer.alloc(PAGE * 40), randomBytes(5)])
    const store = new PageStore(pages)
    const names = put(store, content)
    store[Symbol.dispose]()
    using again = new PageStore(pages)
    expect(get(again, names).subarray(0, content.length).equals(content)).toBe(true)
    expect(statSync(pages).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(pages)) expect(statSync(join(pages, name)).mode & 0o777).toBe(0o600)
  })

  it('keeps a page once: of a copy with one changed page, only that is new', () => {
    const content = randomBytes(PAGE * 1000)
    using store = new PageStore(pages)
    put(store, content)
    const before = stored()
    content[PAGE * 500] = (content[PAGE * 500] as number) ^ 1
    const names = put(store, content)
    expect(store.pages).toBe(1001)
    expect(stored() - before).toBeLessThan(2 * PAGE)
    expect(get(store, names).equals(content)).toBe(true)
  })

  it('goes over several packs', () => {
    const content = randomBytes(PAGE * (PACK_PAGES + 3))
    using store = new PageStore(pages)
    const names = put(store, content)
    expect(readdirSync(pages).length).toBe(2)
    expect(get(store, names).equals(content)).toBe(true)
  })

  it('names a page that is missing, or damaged', () => {
    const store = new PageStore(pages)
    const names = put(store, randomBytes(PAGE * 100))
    store[Symbol.dispose]()
    const pack = join(pages, readdirSync(pages)[0] as string)
    const whole = readFileSync(pack)
    const damaged = Buffer.from(whole)
    damaged[5000] = (damaged[5000] as number) ^ 1
    writeFileSync(pack, damaged)
    using other = new PageStore(pages)
    expect(() => get(other, names)).toThrow(expect.objectContaining({ code: 'IMAGE_BROKEN' }))
    truncateSync(pack, whole.length - 1)
    using short = new PageStore(pages)
    expect(() => get(short, names)).toThrow(`The page ${names.toString('hex', 0, NAME)} is missing.`)
    rmSync(pack)
    using none = new PageStore(pages)
    expect(() => get(none, names)).toThrow('is missing')
  })

  it('collects what nobody names, and writes packs anew of which little is named', () => {
    using store = new PageStore(pages)
    const [a, b, c] = [1, 2, 3].map(() => randomBytes(PAGE * 100)) as [Buffer, Buffer, Buffer]
    const names = [a, b, c].map((content) => put(store, content)) as [Buffer, Buffer, Buffer]
    const [ofA, ofB, ofC] = names
    const few = ofB.subarray(10 * NAME, 20 * NAME)
    const done = store.collect([ofA, few])
    expect(done.packs).toBe(2)
    expect(done.bytes).toBeGreaterThan(180 * PAGE)
    expect(store.pages).toBe(110)
    expect(get(store, ofA).equals(a)).toBe(true)
    expect(get(store, few).equals(b.subarray(10 * PAGE, 20 * PAGE))).toBe(true)
    expect(store.has(ofC, 0)).toBe(false)
    expect(store.collect([ofA, few])).toEqual({ bytes: 0, packs: 0 })
  })

  it('never loses a page in use, whatever fails on the way', () => {
    // Contents that share pages, as those of one program do.
    const alphabet = Array.from({ length: 200 }, () => randomBytes(PAGE))
    const numbers = fc.array(fc.nat(alphabet.length - 1), { minLength: 1, maxLength: 90 })
    const step = fc.oneof(
      fc.record({ do: fc.constant('put' as const), content: numbers, fault: fc.nat(12) }),
      fc.record({ do: fc.constant('drop' as const), at: fc.nat() }),
      fc.record({ do: fc.constant('collect' as const), fault: fc.nat(12) }),
    )
    fc.assert(
      fc.property(fc.array(step, { minLength: 3, maxLength: 15 }), (steps) => {
        rmSync(pages, { recursive: true, force: true })
        let store = new PageStore(pages)
        let kept: { content: Buffer; names: Buffer }[] = []
        /** A fault ends the one who works on the store; the next one finds what is on disk. */
        const attempt = (fault: number, work: () => void) => {
          const end = atChange(fault, () => {
            throw new Error('fault')
          })
          let failed = false
          try {
            work()
          } catch (error) {
            if (!(error instanceof Error) || error.message !== 'fault') throw error
            failed = true
          } finally {
            end()
          }
          if (!failed) return
          store = new PageStore(pages)
        }
        for (const one of steps) {
          if (one.do === 'put') {
            const content = Buffer.concat(one.content.map((n) => alphabet[n] as Buffer))
            writeFileSync(join(directory, 'file'), content)
            attempt(one.fault, () => {
              const names = store.put(join(directory, 'file'))
              store.flush()
              kept.push({ content, names })
            })
          } else if (one.do === 'drop') kept = kept.filter((_, i) => i !== one.at % (kept.length || 1))
          else attempt(one.fault, () => void store.collect(kept.map(({ names }) => names)))
          for (const { content: was, names } of kept) expect(get(store, names).equals(was)).toBe(true)
        }
        store.collect(kept.map(({ names }) => names))
        const different = new Set(
          kept.flatMap(({ names }) => {
            const list: string[] = []
            for (let at = 0; at < names.length; at += NAME) list.push(names.toString('hex', at, at + NAME))
            return list
          }),
        )
        for (const { content: was, names } of kept) expect(get(store, names).equals(was)).toBe(true)
        // What is left beside them is less than what made a pack not worth writing anew.
        expect(store.pages).toBeLessThanOrEqual(different.size * 2)
        store[Symbol.dispose]()
      }),
      { numRuns: 60 },
    )
  })
})
