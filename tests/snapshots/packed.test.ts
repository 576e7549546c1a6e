/** Snapshots and checkpoints of instances that rest: compressed, what they have in common once, whole again when they are used. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ForkRequest, InstanceCheckpointRequest } from '@thaw/protocol'
import { ProcessImage } from '../../packages/thaw/src/engines/process/image.js'
import { isUnpacked } from '../../packages/thaw/src/engines/process/packing.js'
import { until } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { ProductBench } from '../support/products.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/packed.test.ts is skipped: ${why}`)

const PROGRAM = `
import time
held = [("line %d of what is held " % i) * 8 for i in range(20000)]
print("ready", flush=True)
while True: time.sleep(60)
`

/** Packing is nobody's hurry: on a machine that is busy it takes its time. Seconds. */
const PATIENCE = 60

describe.skipIf(why !== null)('a snapshot that rests', { timeout: 200_000 }, () => {
  let bench: ProductBench
  beforeEach(async () => {
    bench = new ProductBench({ snapshot_pack: 0.3, pack: 0.3 })
    writeFileSync(join(bench.project, 'program.py'), PROGRAM)
    const command = ['python3', '-B', 'program.py']
    await bench.command('it', command, { readiness: { output: 'ready' } })
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const get = (name: string) => bench.products.snapshots.get(name)
  const isPacked = (path: string | null) => !isUnpacked(ProcessImage.open(path ?? ''))
  const stored = () => {
    const directory = join(bench.directory, 'snapshot-pages')
    return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  }

  it('takes less of the disk, and says how much', async () => {
    const one = await bench.snapshot({ image: 'it', name: 'one' })
    expect(one.stored_bytes).toBeGreaterThanOrEqual(one.memory_bytes)
    await until('it is packed', () => isPacked(one.path), PATIENCE)
    await until('that is told', () => get('one').stored_bytes < one.memory_bytes / 2)
    expect(get('one').stored_bytes).toBeGreaterThan(stored() / 2)
    // The same program again: little of it is new.
    const two = await bench.snapshot({ image: 'it', name: 'two' })
    await until('it is packed, too', () => isPacked(two.path), PATIENCE)
    await until('that is told', () => get('two').stored_bytes < two.memory_bytes)
    expect(get('two').stored_bytes).toBeLessThan(get('one').stored_bytes)
    await bench.reopen()
    const warm = await bench.start({ image: 'it' })
    expect(warm).toMatchObject({ boot_method: 'warm', boot_reason: null, from: two.id })
    await bench.end(warm)
    expect(await bench.products.snapshots.verify('one', bench.scope)).toMatchObject({ ok: true })
    const before = stored()
    for (const name of ['one', 'two']) {
      await bench.products.snapshots.remove(name, { cascade: false, force: false })
    }
    await until('their files are gone', () => !existsSync(one.path ?? '') && !existsSync(two.path ?? ''))
    // By itself, or now.
    await bench.products.collect()
    expect(stored()).toBeLessThan(before / 2)
  })

  it('is a failure where a page of the store is damaged', async () => {
    const one = await bench.snapshot({ image: 'it', name: 'one' })
    await until('it is packed', () => isPacked(one.path), PATIENCE)
    const directory = join(bench.directory, 'snapshot-pages')
    const pack = join(directory, readdirSync(directory).find((name) => name.endsWith('.pack')) ?? '')
    const bytes = readFileSync(pack)
    bytes[20] = (bytes[20] ?? 0) ^ 255
    writeFileSync(pack, bytes)
    const cold = await bench.start({ image: 'it' })
    expect(cold).toMatchObject({ boot_method: 'cold', state: 'ready' })
    expect(cold.boot_reason).toMatch(/snapshot s_\w+ failed: .*damaged/i)
    expect(await bench.fallbacks()).toEqual({ damaged: 1 })
    bench.products.snapshots.rebuild('one')
    await bench.products.snapshots.built('one', bench.scope)
    expect((await bench.start({ image: 'it' })).boot_method).toBe('warm')
  })

  it('as is a checkpoint of an instance, which clones are made of nevertheless', async () => {
    const one = await bench.start({ image: 'it', name: 'one' })
    const { instances } = bench.products
    const made = await instances.checkpoint('one', InstanceCheckpointRequest.parse({ name: 'kept' }))
    const checkpoints = join(bench.directory, 'instances', 'checkpoints')
    const path = join(checkpoints, readdirSync(checkpoints)[0] ?? '')
    await until('it is packed', () => isPacked(path), PATIENCE)
    expect(stored()).toBeLessThan(made.bytes / 2)
    const clones = await instances.fork(
      one.id,
      ForkRequest.parse({ checkpoint: 'kept', count: 2 }),
      bench.scope,
    )
    expect(clones.map(({ state }) => state)).toEqual(['ready', 'ready'])
    for (const clone of clones) await bench.end(clone)
    instances.removeCheckpoint('kept')
    // It may be in the middle of being packed again.
    await until('it is gone', () => readdirSync(checkpoints).length === 0)
    await bench.products.collect()
    expect(stored()).toBe(0)
  })
})
