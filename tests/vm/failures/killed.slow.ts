/** kill -9 of the daemon, and of QEMU, at each step: what was whole is whole, nothing else is there. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ImageDefinition } from '@thaw/protocol'
import { bundle } from '../../support/bundle.js'
import { until } from '../../support/home.js'
import { ProductBench } from '../../support/products.js'
import { askCounter, counterImage, processesWith, whyNot } from '../../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

describe.skipIf(reason !== null)('kill -9', () => {
  let directory: string
  let base: string
  let built: Awaited<ReturnType<typeof bundle>>
  beforeAll(async () => {
    built = await bundle('tests/vm/failures/victim.ts')
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-killed-')))
    const bench = new ProductBench({}, directory)
    await bench.products.images.create(ImageDefinition.parse(await counterImage()), bench.scope)
    base = (await bench.snapshot({ image: 'counter', name: 'base' })).id
    await bench.close()
  })
  afterAll(() => {
    built[Symbol.dispose]()
    expect(processesWith(directory)).toEqual([])
    rmSync(directory, { recursive: true, force: true })
  })

  const list = (name: string) => readdirSync(join(directory, name))
  /** Nothing lies about that no snapshot needs. */
  const expectTidy = ({ products }: ProductBench) => {
    const kept = products.snapshots.list().flatMap(({ path }) => path?.split('/').at(-1) ?? [])
    expect(list('snapshots').sort()).toEqual(kept.sort())
    expect(list('building')).toEqual([])
    expect(list('instances/work')).toEqual([])
    const groups = spawnSync('find', ['/sys/fs/cgroup', '-name', 'thaw-i_*'], { encoding: 'utf8' }).stdout
    for (const { id } of products.instances.list()) expect(groups).not.toContain(id)
    expect(processesWith(directory)).toEqual([])
  }
  /** Plays a scene up to its end, and opens what is left as the next daemon does. */
  const after = async (scene: string): Promise<ProductBench> => {
    const victim = spawn(process.execPath, [built.program, directory, scene], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const signal = await new Promise((resolve) => victim.once('close', (_code, by) => resolve(by)))
    expect(signal).toBe('SIGKILL')
    await until('its machines are gone', () => processesWith(directory).length === 0)
    return new ProductBench({}, directory)
  }
  const expectBase = async (bench: ProductBench) => {
    const one = await bench.start({ image: 'counter' })
    expect(one).toMatchObject({ boot_method: 'warm', from: base, boot_reason: null })
    expect((await askCounter(one)).count).toBe(1)
    await bench.end(one)
  }
  const scenes = [
    ...['start', 'wait', 'verify', 'network', 'pause', 'checkpoint', 'store', 'destroy'].map(
      (step) => `child ${step}`,
    ),
    ...['stream', 'memory', 'state'].map((file) => `saving ${file}`),
  ]

  it.each(scenes)('of the daemon, %s: the copy is not there, and is made again', async (scene) => {
    const bench = await after(scene)
    try {
      const { snapshots } = bench.products
      expect(snapshots.get('child')).toMatchObject({ builds: 0, path: null })
      expect(snapshots.get('base').state).toBe('ready')
      await until('the build is begun again', () => snapshots.get('child').state === 'creating')
      expect(await snapshots.built('child', bench.scope)).toMatchObject({ state: 'ready', builds: 1 })
      expectTidy(bench)
      await snapshots.remove('child', { cascade: false, force: false })
      expectTidy(bench)
    } finally {
      await bench.close()
    }
  })

  it('of the daemon while a machine boots: it is booted again', async () => {
    const bench = await after('booting')
    try {
      const { snapshots } = bench.products
      expect(snapshots.get('child')).toMatchObject({ builds: 0, path: null })
      await until('the build is begun again', () => snapshots.get('child').state === 'creating')
      await snapshots.remove('child', { cascade: false, force: false })
      await until('it is given up', () => snapshots.list().length === 1, 200)
      expectTidy(bench)
    } finally {
      await bench.close()
    }
  })

  it.each(['restoring', 'running'])('of the daemon, %s: the snapshot is as it was', async (scene) => {
    const bench = await after(scene)
    try {
      expect(bench.products.instances.list().every(({ state }) => state === 'failed')).toBe(true)
      expectTidy(bench)
      await expectBase(bench)
    } finally {
      await bench.close()
    }
  })

  it.each([1, 2])('of the daemon with a pool, %s of 2 ready: it is filled again', async (count) => {
    const bench = await after(`pool ${count}`)
    try {
      const { pools } = bench.products
      await until('it is full', () => pools.get('p').ready === 2, 120)
      expect(list('members')).toHaveLength(2)
      await pools.remove('p')
      expectTidy(bench)
    } finally {
      await bench.close()
    }
  })

  it.each(['wait', 'verify', 'network', 'pause', 'checkpoint'])(
    'of QEMU in a build, at its step %s: said, and built again',
    async (step) => {
      const bench = new ProductBench({}, directory)
      try {
        let killed = 0
        bench.onLine = (message, fields) => {
          if (message !== 'snapshot' || (fields as { step: string }).step !== step || killed > 0) return
          const kill = () => {
            for (const pid of processesWith(directory)) {
              process.kill(pid, 'SIGKILL')
              killed++
            }
            // While it is being restored there is none at first.
            if (killed === 0) setImmediate(kill)
          }
          kill()
        }
        await expect(bench.snapshot({ from: 'base', name: 'child' })).rejects.toMatchObject({
          code: 'SNAPSHOT_FAILED',
          message: expect.stringMatching(/^At the step (start|wait|verify|network|pause|checkpoint): /),
        })
        expect(killed).toBe(1)
        const { snapshots } = bench.products
        await until('it is ready', () => snapshots.get('child').state === 'ready', 200)
        await snapshots.remove('child', { cascade: false, force: false })
        expectTidy(bench)
      } finally {
        await bench.close()
      }
    },
  )

  it('of QEMU while an instance runs: that one has ended, its sister goes on', async () => {
    const bench = new ProductBench({}, directory)
    try {
      const [one, two] = await Promise.all(
        ['one', 'two'].map((name) => bench.start({ image: 'counter', name })),
      )
      process.kill(one?.pid ?? 0, 'SIGKILL')
      const { instances } = bench.products
      await until('it has ended', () => instances.get('one').state !== 'ready')
      expect(instances.get('one')).toMatchObject({
        state: 'stopped',
        reason: 'its machine ended: its monitor was ended by SIGKILL',
        exit: { code: null, signal: null },
      })
      expect(await askCounter(two as never)).toMatchObject({ count: 1, host: 'two' })
      await instances.remove('one', { force: true, cascade: true })
      await bench.end(two as never)
      expectTidy(bench)
    } finally {
      await bench.close()
    }
  })
})
