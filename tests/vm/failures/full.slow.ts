/** A disk that becomes full while a machine boots, is copied, or has its copy's memory laid out: said, and nothing left. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ImageDefinition } from '@thaw/protocol'
import { until } from '../../support/home.js'
import { ProductBench } from '../../support/products.js'
import { askCounter, counterImage, processesWith, whyNot } from '../../support/vm.js'

const reason = (await whyNot()) ?? (process.getuid?.() === 0 ? null : 'only root can mount a small disk')
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const PIECE = Buffer.alloc(1 << 20, 1)

describe.skipIf(reason !== null)('a full disk', () => {
  let small: string
  let bench: ProductBench
  beforeAll(async () => {
    small = mkdtempSync(join(tmpdir(), 'thaw-small-'))
    const words = ['-t', 'tmpfs', '-o', 'size=1g,mode=700', 'thaw-test', small]
    expect(spawnSync('mount', words).status).toBe(0)
    bench = new ProductBench({ snapshot_path: small })
    await bench.products.images.create(ImageDefinition.parse(await counterImage()), bench.scope)
    await bench.snapshot({ image: 'counter', name: 'base' })
  })
  afterEach(() => rmSync(join(small, 'filler'), { force: true }))
  afterAll(async () => {
    await bench[Symbol.asyncDispose]()
    spawnSync('umount', [small])
    rmSync(small, { recursive: true, force: true })
  })
  /** @param leave bytes */
  const fill = (leave: number) => {
    const { bavail, bsize } = statfsSync(small)
    const fd = openSync(join(small, 'filler'), 'a')
    try {
      for (let left = bavail * bsize - leave; left > 0;) {
        left -= writeSync(fd, PIECE, 0, Math.min(left, PIECE.length))
      }
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' })
    } finally {
      closeSync(fd)
    }
  }
  const files = () => readdirSync(small, { recursive: true, encoding: 'utf8' })
  /** It failed because of the disk, the rebuild that comes by itself too; both have left nothing. */
  const expectFailed = async (id: string, before: string[]) => {
    const { snapshots } = bench.products
    const found = () => snapshots.get(id)
    await until(
      'both have failed',
      () => found().rebuild_at !== null && found().step === null && !snapshots.busy,
      240,
    )
    expect(found()).toMatchObject({ state: 'unhealthy', path: null })
    expect(found().reason).toMatch(/disk is full|no room|No space left/i)
    rmSync(join(small, 'filler'))
    expect(files().sort()).toEqual(before.sort())
    expect(processesWith(bench.directory).concat(processesWith(small))).toEqual([])
    expect(snapshots.get('base').state).toBe('ready')
  }

  it.each([
    ['nothing is left', 0],
    ['there is room for its stream, and not for its memory', 170e6],
  ])('while a machine is copied and %s', async (_, leave) => {
    const before = files()
    bench.onLine = (message, fields) =>
      void (message === 'snapshot' && (fields as { step: string }).step === 'checkpoint' && fill(leave))
    const { snapshots } = bench.products
    const { id } = snapshots.create({ image: null, from: 'base', name: null, prepare: null })
    await expect(snapshots.built(id, bench.scope)).rejects.toMatchObject({ code: 'SNAPSHOT_FAILED' })
    await expectFailed(id, before)
    bench.onLine = () => {}
    snapshots.rebuild(id)
    expect(await snapshots.built(id, bench.scope)).toMatchObject({ state: 'ready', builds: 1 })
    const one = await bench.products.provision.createFrom(id, {}, bench.scope).ready
    expect(one).toMatchObject({ boot_method: 'warm', from: id })
    expect((await askCounter(one)).count).toBe(1)
    await bench.end(one)
    await snapshots.remove(id, { cascade: false, force: false })
  })

  it('while a machine boots', async () => {
    const before = files()
    let watching = true
    const watch = () => {
      if (processesWith(`mem-path=${small}`).length > 0) fill(0)
      else if (watching) setTimeout(watch, 20)
    }
    watch()
    const { snapshots } = bench.products
    const { id } = snapshots.create({ image: 'counter', from: null, name: null, prepare: null })
    await expect(snapshots.built(id, bench.scope)).rejects.toMatchObject({ code: 'SNAPSHOT_FAILED' })
    watching = false
    await expectFailed(id, before)
  })
})
