/** Snapshots and pools of machines: made once, restored many times. Each way to fail: tests/vm/long. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ImageDefinition, PoolRequest, type Instance, type Snapshot } from '@thaw/protocol'
import { until } from '../support/home.js'
import { ProductBench } from '../support/products.js'
import { askCounter, counterImage, processesWith, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const range = (count: number) => Array.from({ length: count }, (_, n) => n)

describe.skipIf(reason !== null)('snapshots of machines', () => {
  let bench: ProductBench
  let first: Snapshot
  beforeAll(async () => {
    bench = new ProductBench({ snapshot_pack: 1, unpacked: 0 })
    await bench.products.images.create(ImageDefinition.parse(await counterImage()), bench.scope)
    first = await bench.snapshot({ image: 'counter', name: 'first' })
  }, 300_000)
  afterAll(async () => {
    const { directory } = bench
    await bench[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  }, 60_000)
  const endAll = (list: Instance[]) => Promise.all(list.map((one) => bench.end(one)))

  it('say what they are, and how much they take, truly', () => {
    const { path, memory_bytes, disk_bytes, stored_bytes, kernel, engine, engine_version } = first
    expect({ engine, state: first.state }).toEqual({ engine: 'vm', state: 'ready' })
    expect(kernel).toMatch(/-cloud-amd64$/)
    expect(engine_version).toMatch(/^\d+\.\d+/)
    const taken = (name: string) => lstatSync(join(path ?? '', name)).blocks * 512
    expect(memory_bytes).toBe(taken('memory'))
    expect(memory_bytes).toBeGreaterThan(50e6)
    expect(memory_bytes).toBeLessThan(256 * 1024 ** 2)
    expect(disk_bytes).toBe(taken('disk-1'))
    // The root file system is the image's; nothing is freed of it with the snapshot.
    expect(lstatSync(join(path ?? '', 'disk-0')).nlink).toBeGreaterThan(1)
    expect(stored_bytes).toBe(
      ['memory', 'disk-1', 'state', 'manifest.json'].reduce((sum, name) => sum + taken(name), 0),
    )
  })

  it('are restored ten at once: each counts on from the same point, on its own disk, under its own name', async () => {
    const all = await Promise.all(range(10).map((n) => bench.start({ image: 'counter', name: `c${n}` })))
    expect(all.map(({ boot_method, from, boot_reason }) => ({ boot_method, from, boot_reason }))).toEqual(
      range(10).map(() => ({ boot_method: 'warm', from: first.id, boot_reason: null })),
    )
    const answers = await Promise.all(all.map(askCounter))
    expect(answers.map(({ count, host }) => `${count} ${host}`)).toEqual(range(10).map((n) => `1 c${n}`))
    expect(new Set(answers.map(({ random }) => random)).size).toBe(10)
    const [one] = all as [Instance]
    expect((await askCounter(one)).count).toBe(2)
    const { products } = bench
    const told = async (id: string) => {
      const { content } = await products.instances.readFile(id, '/count')
      let text = ''
      for await (const bytes of content) text += String(bytes)
      return text
    }
    expect(await told('c0')).toBe('1 c0\n2 c0\n')
    expect(await told('c9')).toBe('1 c9\n')
    expect(products.snapshots.get('first')).toMatchObject({ success_count: 10, failure_count: 0 })
    await endAll(all)
  }, 180_000)

  it('serve again after the machine of an instance has reset itself', async () => {
    const { instances } = bench.products
    const one = await bench.start({ image: 'counter', name: 'resets' })
    const listener = { output: () => true }
    const streams = { stdin: 'null' as const, joined: false, terminal: null }
    const command = ['sh', '-c', 'echo b > /proc/sysrq-trigger']
    await instances.exec(one.id, { command, env: {}, cwd: null, user: null, streams, listener }, bench.scope)
    await until('it has ended', () => instances.get('resets').state === 'stopped', 30)
    expect(instances.get('resets')).toMatchObject({
      reason: 'its machine ended: it reset itself',
      exit: { code: null, signal: null },
    })
    await instances.remove('resets', { force: true, cascade: true })
    const next = await bench.start({ image: 'counter', name: 'next' })
    expect(await askCounter(next)).toMatchObject({ count: 1, host: 'next' })
    await bench.end(next)
  })

  it('have children, and these have; each needs nothing of the one before, and is there after the daemon', async () => {
    const asks = (times: number) => [
      'python3',
      '-c',
      `import socket
for _ in range(${times}):
    s = socket.create_connection(('127.0.0.1', 8000)); s.sendall(b'?'); s.recv(9); s.close()`,
    ]
    await bench.snapshot({ from: 'first', name: 'second', prepare: asks(3) })
    const third = await bench.snapshot({ from: 'second', name: 'third', prepare: asks(2) })
    const { products } = bench
    await expect(products.snapshots.remove('second', { cascade: false, force: false })).rejects.toMatchObject(
      { code: 'HAS_DEPENDENTS' },
    )
    await products.snapshots.remove('second', { cascade: false, force: true })
    expect(readdirSync(products.snapshots.directory)).toHaveLength(2)
    await bench.reopen()
    const { snapshots, provision } = bench.products
    const one = await provision.createFrom('third', { name: 'last' }, bench.scope).ready
    expect(one).toMatchObject({ boot_method: 'warm', from: third.id, boot_reason: null })
    expect(await askCounter(one)).toMatchObject({ count: 6, host: 'last' })
    // Deleted, it stays until nobody lives on it.
    const { path = '' } = snapshots.get('third')
    await snapshots.remove('third', { cascade: false, force: false })
    expect(readdirSync(path ?? '')).toContain('memory')
    expect(await askCounter(one)).toMatchObject({ count: 7 })
    await bench.end(one)
    await until('its files are gone', () => readdirSync(snapshots.directory).length === 1)
  }, 180_000)

  it('are whole when they are asked, and never packed', async () => {
    expect(await bench.products.snapshots.verify('first', bench.scope)).toMatchObject({ ok: true })
    expect(readFileSync(join(first.path ?? '', 'memory')).length).toBeGreaterThanOrEqual(256e6)
  }, 60_000)

  it('fill pools: members stand still until they are taken, and are made again', async () => {
    const { pools, provision } = bench.products
    pools.create(PoolRequest.parse({ name: 'p', snapshots: [first.id], size: 2 }))
    expect(await pools.warm('p')).toMatchObject({ ready: 2, hits: 0 })
    expect(pools.get('p').memory_bytes).toBeGreaterThan(1e6)
    const both = await Promise.all([
      bench.start({ image: 'counter', name: 'a' }),
      provision.take('p', { name: 'b' }, bench.scope).ready,
    ])
    expect(both.map(({ boot_method, from }) => [boot_method, from])).toEqual([
      ['pool', first.id],
      ['pool', first.id],
    ])
    const [a, b] = await Promise.all(both.map(askCounter))
    expect([a?.count, a?.host, b?.count, b?.host]).toEqual([1, 'a', 1, 'b'])
    expect(a?.random).not.toBe(b?.random)
    await until('it is full again', () => pools.get('p').ready === 2, 60)
    expect(pools.get('p')).toMatchObject({ hits: 2, misses: 0 })
    await endAll(both)
    await pools.remove('p')
    expect(processesWith(bench.directory)).toEqual([])
  }, 180_000)
})
