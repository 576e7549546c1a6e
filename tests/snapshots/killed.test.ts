/** kill -9 at each step of a build, and in each state of a snapshot and a pool: what the next daemon finds. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundle } from '../support/bundle.js'
import { until } from '../support/home.js'
import { remains, sandboxMounts, whyNot } from '../support/process.js'
import { ProductBench } from '../support/products.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/killed.test.ts is skipped: ${why}`)

const SERVER = `
import socket
s = socket.socket(); s.bind(("127.0.0.1", 8000)); s.listen()
while True: s.accept()[0].close()
`

describe.skipIf(why !== null)('kill -9', () => {
  let built: Awaited<ReturnType<typeof bundle>>
  let directory: string
  let bench: ProductBench | null
  beforeAll(async () => {
    built = await bundle('tests/snapshots/victim.ts')
  })
  afterAll(() => built[Symbol.dispose]())
  beforeEach(() => {
    bench = null
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-killed-')))
    mkdirSync(join(directory, 'project'))
    writeFileSync(join(directory, 'project', 'server.py'), SERVER)
  })
  afterEach(() => (bench ?? new ProductBench({}, directory))[Symbol.asyncDispose]())

  const list = (...names: string[]) => readdirSync(join(directory, ...names))
  /** Plays a scene up to its end, and opens what is left as the next daemon does. */
  const after = async (scene: string): Promise<ProductBench> => {
    const mounts = sandboxMounts()
    const victim = spawn(process.execPath, [built.program, directory, scene], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const signal = await new Promise((resolve) => victim.once('close', (_code, by) => resolve(by)))
    expect(signal).toBe('SIGKILL')
    await until('its sandboxes are gone', () => remains('/tmp', victim.pid).sandboxes.length === 0)
    expect(sandboxMounts()).toBeLessThanOrEqual(mounts)
    const members = list('members')
    bench = new ProductBench({}, directory)
    const groups = spawnSync('find', ['/sys/fs/cgroup', '-name', 'thaw-i_*'], { encoding: 'utf8' }).stdout
    for (const id of members) expect(groups).not.toContain(id)
    return bench
  }
  const expectTidy = (one: ProductBench, kept: string[]) => {
    expect(list('snapshots')).toEqual(kept.map((path) => path.split('/').at(-1)))
    expect(list('building')).toEqual([])
    expect(one.products.instances.list().every(({ state }) => state === 'failed')).toBe(true)
  }

  it.each(['start', 'wait', 'verify', 'network', 'pause', 'checkpoint', 'store', 'destroy'])(
    'in a build, at its step %s: it is built again',
    async (step) => {
      const one = await after(`creating ${step}`)
      const { snapshots } = one.products
      expect(snapshots.list()).toMatchObject([{ name: 'web', builds: 0, path: null }])
      await until('the build is begun again', () => snapshots.get('web').state === 'creating')
      const made = await snapshots.built('web', one.scope)
      expect(made).toMatchObject({ state: 'ready', builds: 1, step: null })
      expectTidy(one, [made.path ?? ''])
      expect(await one.start({ image: 'server' })).toMatchObject({ boot_method: 'warm', from: made.id })
    },
  )

  it.each(['checkpoint', 'destroy'])('at the step %s of a rebuild: what was ready stays', async (step) => {
    const one = await after(`rebuilding ${step}`)
    const found = one.products.snapshots.get('web')
    expect(found).toMatchObject({ state: 'ready', builds: 1, step: null })
    expectTidy(one, [found.path ?? ''])
    expect((await one.start({ image: 'server' })).boot_method).toBe('warm')
  })

  it('when it became unhealthy: it is rebuilt', async () => {
    const one = await after('unhealthy')
    expect(one.products.snapshots.get('web')).toMatchObject({ state: 'unhealthy', failure_count: 3 })
    await until('it is ready', () => one.products.snapshots.get('web').state === 'ready')
    const made = one.products.snapshots.get('web')
    expect(made.builds).toBe(2)
    expectTidy(one, [made.path ?? ''])
    expect((await one.start({ image: 'server' })).boot_method).toBe('warm')
  })

  it('when it was deleted, and still lived on', async () => {
    const one = await after('deleted')
    expect(one.products.snapshots.list()).toEqual([])
    expectTidy(one, [])
  })

  it('while an instance is restored from it', async () => {
    const one = await after('restoring')
    const { path = null } = one.products.snapshots.get('web')
    expectTidy(one, [path ?? ''])
    expect((await one.start({ image: 'server' })).boot_method).toBe('warm')
  })

  it.each(['filling', 'taking', 'refreshing'])('while a pool is %s: the next is full', async (scene) => {
    const one = await after(scene)
    const { pools, snapshots } = one.products
    expectTidy(one, [snapshots.get('web').path ?? ''])
    const { size } = pools.get('p')
    expect(size).toBe(scene === 'filling' ? 3 : 2)
    await until('it is full', () => pools.get('p').ready === size)
    expect(list('members')).toHaveLength(size)
    expect((await one.start({ image: 'server' })).boot_method).toBe('pool')
  })

  it('while a pool is drained: it stays so', async () => {
    const one = await after('draining')
    expect(await one.products.pools.warm('p')).toMatchObject({ drained: true, ready: 0 })
    expect(list('members')).toEqual([])
    expectTidy(one, [one.products.snapshots.get('web').path ?? ''])
  })
})
