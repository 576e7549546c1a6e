import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ProcessImage, sweepImages } from '../../packages/thaw/src/engines/process/image.js'
import { ImageKeeper } from '../../packages/thaw/src/engines/process/keeper.js'
import {
  collectPages,
  listImages,
  packImage,
  placesOf,
  unpackedBytes,
  unpackImage,
} from '../../packages/thaw/src/engines/process/packing.js'
import { PAGE } from '../../packages/thaw/src/store/pack.js'
import { PageStore } from '../../packages/thaw/src/store/pages.js'
import { loadZstd } from '../../packages/thaw/src/store/zstd.js'
import { findPaths, silentLog } from '../../packages/thaw/src/system/index.js'
import { bundle } from '../support/bundle.js'
import { Home, until } from '../support/home.js'
import { lookOf, makeImage } from '../support/images.js'
import { Bench, whyNot } from '../support/process.js'

const PARTS = ['criu', 'tmp']
/** The packer is killed at every sixth change that it makes, or as often as is said. */
const EVERY = Number(process.env['THAW_TEST_EVERY'] ?? 6)
const always = () => true

/** Bytes that files take on the disk. */
function taken(directory: string): number {
  if (!existsSync(directory)) return 0
  return readdirSync(directory, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(directory, entry.name)
    return sum + (entry.isDirectory() ? taken(path) : statSync(path).blocks * 512)
  }, 0)
}

describe('packing of images', () => {
  let directory: string
  let runs: string
  let pages: string
  beforeAll(() => loadZstd())
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'thaw-packing-'))
    runs = join(directory, 'runs')
    pages = join(directory, 'pages')
    mkdirSync(join(runs, 'r_1', 'images'), { recursive: true })
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const place = (name: string) => join(runs, 'r_1', 'images', name)
  const common = randomBytes(PAGE * 60)

  /** Two that share most pages, one that has nothing in common with them. */
  async function three(): Promise<Record<string, Record<string, string>>> {
    const contents = {
      a: Buffer.concat([common, randomBytes(PAGE * 10), Buffer.alloc(PAGE * 20)]),
      b: Buffer.concat([common, randomBytes(PAGE * 10)]),
      c: randomBytes(PAGE * 50),
    }
    const looks: Record<string, Record<string, string>> = {}
    for (const [name, content] of Object.entries(contents)) {
      await makeImage(place(name), {
        'criu/pages-1.img': content,
        'criu/core-3.img': randomBytes(900),
        'tmp/notes/large': Buffer.concat([common.subarray(0, PAGE * 20), randomBytes(100)]),
        'tmp/small': Buffer.from('small'),
      })
      looks[name] = lookOf(place(name), PARTS)
    }
    return looks
  }

  it('gives back every file as it was: content, mode, owner and time', async () => {
    const looks = await three()
    using store = new PageStore(pages)
    const before = taken(directory)
    for (const name of ['a', 'b', 'c']) await packImage(place(name), store, always)
    expect(taken(directory)).toBeLessThan(before * 0.75)
    expect(unpackedBytes(place('a'))).toBe(0)
    expect(statSync(join(place('a'), 'criu', 'pages-1.img')).size).toBe(0)
    for (const name of ['a', 'b', 'c']) {
      await unpackImage(place(name), store)
      expect(lookOf(place(name), PARTS)).toEqual(looks[name])
      ProcessImage.open(place(name)).check()
    }
    // Pages of nothing but zeros stay holes.
    expect(statSync(join(place('a'), 'criu', 'pages-1.img')).blocks * 512).toBeLessThan(PAGE * 75)
  })

  it('reads images of the format before', async () => {
    const looks = await three()
    const file = join(place('a'), 'manifest.json')
    const { packed: _new, ...manifest } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    writeFileSync(file, JSON.stringify({ ...manifest, format: 1 }))
    using store = new PageStore(pages)
    await packImage(place('a'), store, always)
    await unpackImage(place('a'), store)
    expect(lookOf(place('a'), PARTS)).toEqual(looks['a'])
    expect(ProcessImage.open(place('a')).manifest.format).toBe(2)
  })

  it('does not pack what is damaged already, and names what cannot be unpacked', async () => {
    await three()
    writeFileSync(join(place('b'), 'criu', 'pages-1.img'), 'short')
    const store = new PageStore(pages)
    await packImage(place('a'), store, always)
    await expect(packImage(place('b'), store, always)).rejects.toMatchObject({ code: 'IMAGE_BROKEN' })
    store[Symbol.dispose]()
    const pack = join(pages, readdirSync(pages)[0] as string)
    const bytes = readFileSync(pack)
    bytes[PAGE] = (bytes[PAGE] as number) ^ 1
    writeFileSync(pack, bytes)
    using damaged = new PageStore(pages)
    await expect(unpackImage(place('a'), damaged)).rejects.toThrow(/pages-1\.img: .*(damaged|decompressed)/)
    expect(unpackedBytes(place('a'))).toBe(0)
    rmSync(pack)
    using none = new PageStore(pages)
    await expect(unpackImage(place('a'), none)).rejects.toThrow(/images\/a: The page [0-9a-f]{32} is missing/)
  })

  it('collects nothing while it cannot know what is in use', async () => {
    await three()
    using store = new PageStore(pages)
    await packImage(place('a'), store, always)
    const file = join(place('b'), 'manifest.json')
    writeFileSync(file, JSON.stringify({ format: 99 }))
    expect(() => collectPages(listImages(runs), store)).toThrow(
      expect.objectContaining({ code: 'IMAGE_MISMATCH' }),
    )
    // Damaged, it names nothing that could be restored.
    writeFileSync(file, '{')
    expect(collectPages(listImages(runs), store)).toEqual({ bytes: 0, packs: 0 })
  })

  it('is killed at changes of the file system: no page in use is lost, nothing is half', async () => {
    using built = await bundle('tests/process/packing-victim.ts')
    const looks = await three()
    const origin = join(directory, 'origin')
    spawnSync('cp', ['-a', runs, origin])
    let changes = Infinity
    let killed = 0
    for (let at = 1; at <= changes; at += EVERY) {
      rmSync(pages, { recursive: true, force: true })
      rmSync(runs, { recursive: true, force: true })
      // With their times, to the last digit.
      spawnSync('cp', ['-a', origin, runs])
      const done = spawnSync(process.execPath, [built.program, runs, pages, String(at)], { encoding: 'utf8' })
      if (done.status === 0) changes = Number(/changes (\d+)/.exec(done.stdout)?.[1])
      else expect([done.signal, done.stderr]).toEqual(['SIGKILL', ''])
      killed += done.status === 0 ? 0 : 1
      // The next daemon's first look.
      sweepImages(join(runs, 'r_1', 'images'))
      using store = new PageStore(pages)
      collectPages(listImages(runs), store)
      expect(existsSync(place('a'))).toBe(true)
      for (const image of listImages(runs)) {
        await unpackImage(image, store)
        expect(lookOf(image, PARTS), `${image}, killed at change ${at}`).toEqual(looks[image.slice(-1)])
        ProcessImage.open(image).check()
        await ProcessImage.open(image).remove()
      }
      collectPages(listImages(runs), store)
      expect(readdirSync(pages)).toEqual([])
    }
    expect(killed).toBeGreaterThan(40 / EVERY)
  }, 600_000)
})

const HOLDER_OF_LINES = `
import random, time
held = random.Random(1).randbytes(8 << 20)
for i in (1, 2, 3): print("line", i, flush=True); time.sleep(0.3)
`

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

describe.skipIf(why !== null)('checkpoints that rest', () => {
  let bench: Bench
  let built: Awaited<ReturnType<typeof bundle>>
  beforeAll(async () => {
    built = await bundle('packages/thaw/src/packer.ts')
  })
  afterAll(() => built[Symbol.dispose]())
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  const HOLDER = `
import hashlib, random, sys
held = random.Random(1).randbytes(20 << 20) + bytes(range(256)) * (40 << 10)
open("/tmp/mine", "wb").write(held[:1 << 20])
print("ready", flush=True)
for line in sys.stdin:
    print(line.strip(), hashlib.sha256(held).hexdigest(), open("/tmp/mine", "rb").read() == held[:1 << 20], flush=True)
`

  function keeperOf(one: Bench, more: { rest?: number; unpacked?: number } = {}): ImageKeeper {
    // As the daemon's: runs, and in them images.
    return new ImageKeeper({
      pages: join(one.directory, 'pages'),
      places: () => placesOf(one.directory).map((directory) => ({ directory, rest: more.rest ?? 3600 })),
      rest: 3600,
      unpacked: 1e12,
      log: silentLog,
      program: built.program,
      ...more,
    })
  }

  it('take little on the disk, share pages, and are restored as ever', async () => {
    const images = join(bench.directory, 'run', 'images')
    await using other = new Bench(images)
    const one = await other.launch(['python3', '-c', HOLDER])
    await one.prints('ready')
    const first = await other.checkpoint(one)
    await one.ask('a\n', 'a ')
    const answer = one.stdout.split('\n')[1]?.slice(2) as string
    const second = await other.checkpoint(one)
    const raw = taken(images)
    await using keeper = keeperOf(bench, { rest: 0 })
    other.care = keeper
    await keeper.tidy()
    const left = taken(images) + taken(join(bench.directory, 'pages'))
    expect(unpackedBytes(first.directory) + unpackedBytes(second.directory)).toBe(0)
    // Two times 20 MB that do not compress, once; the rest nearly nothing.
    expect(left).toBeLessThan(raw * 0.5)
    for (const image of [first, second, first]) {
      const two = await other.restore(image)
      await two.ask('b\n', `b ${answer}`)
    }
    await keeper.tidy()
    await other.engine.discard(first)
    expect((await keeper.collect()).bytes).toBeLessThan(raw / 10)
    const last = await other.restore(second)
    await last.ask('c\n', `c ${answer}`)
    await other.engine.discard(second)
    await keeper.collect()
    expect(taken(join(bench.directory, 'pages'))).toBeLessThan(64 * 1024)
  })

  it('stay unpacked while they are used, and over the budget the one unused for longest goes first', async () => {
    const images = join(bench.directory, 'run', 'images')
    await using other = new Bench(images)
    const one = await other.launch(['python3', '-c', HOLDER])
    await one.prints('ready')
    const [first, second, third] = [
      await other.checkpoint(one),
      await other.checkpoint(one),
      await other.checkpoint(one),
    ]
    await using keeper = keeperOf(bench, { unpacked: unpackedBytes(first.directory) * 1.5 })
    using _used = await keeper.use(first)
    await keeper.tidy()
    const packed = () => [first, second, third].map((image) => unpackedBytes(image.directory) === 0)
    expect(packed()).toEqual([false, true, true])
    // Several at once: unpacked by one of them, waited for by all.
    const leases = await Promise.all([1, 2, 3].map(() => keeper.use(second)))
    expect(packed()).toEqual([false, false, true])
    for (const lease of leases) lease[Symbol.dispose]()
    await keeper.tidy()
    expect(packed()).toEqual([false, true, true])
  })

  it('are whole for a restore that comes while they are packed', async () => {
    const images = join(bench.directory, 'run', 'images')
    await using other = new Bench(images)
    const one = await other.launch(['python3', '-c', HOLDER])
    await one.prints('ready')
    const image = await other.checkpoint(one)
    await using keeper = keeperOf(bench, { rest: 0 })
    other.care = keeper
    for (const delay of [0, 30, 100, 200]) {
      const tidied = keeper.tidy()
      await new Promise((resolve) => setTimeout(resolve, delay))
      const two = await other.restore(image)
      await two.ask('b\n', 'b ')
      expect(two.stdout).toContain('True')
      await tidied
    }
    await until('it is packed after all', async () => {
      await keeper.tidy()
      return unpackedBytes(image.directory) === 0
    })
  })

  it(
    'are packed by the daemon, resumed, and collected when they are given up',
    { timeout: 120_000 },
    async () => {
      await using home = new Home({ THAW_PACK: '0.5', XDG_CACHE_HOME: join(findPaths().cache, '..') })
      const flags = ['--engine', 'process', '--break-output', 'line 2']
      expect((await home.run(['run', ...flags, 'python3', '-c', HOLDER_OF_LINES])).stdout).toBe(
        'line 1\nline 2\n',
      )
      const state = join(home.directory, 'home', 'state')
      const packed = () =>
        taken(join(state, 'pages')) > 0 &&
        listImages(join(state, 'runs')).every((one) => unpackedBytes(one) === 0)
      await until('it is packed', packed, 60)
      expect(await home.run(['resume', '-q', 'last'])).toMatchObject({ code: 0, stdout: 'line 3\n' })
      const { checkpoints } = await home.json<{ checkpoints: { id: string }[] }>(['tree', 'last'])
      for (const { id } of checkpoints) await home.run(['rm', '--cascade', id])
      await until(
        'nothing is left',
        async () => {
          await home.run(['gc'])
          return readdirSync(join(state, 'pages')).length === 0
        },
        60,
      )
    },
  )
})
