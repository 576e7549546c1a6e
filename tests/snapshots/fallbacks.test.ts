/** Each way in which a snapshot does not serve: the start instead, its reason on the instance, in the log, in the metrics. */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PoolRequest, type Instance, type Snapshot } from '@thaw/protocol'
import { findPaths, openScope } from '../../packages/thaw/src/system/index.js'
import { plainCommand } from '../../packages/thaw/src/engines/process/criu/criu.js'
import { Home, until } from '../support/home.js'
import { provider, whyNot } from '../support/process.js'
import { pagesOf, ProductBench } from '../support/products.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/fallbacks.test.ts is skipped: ${why}`)

/** Well as long as its host has the name that it was started under, or as nobody minds. */
const SERVER = `
import http.server, os, socket
name = socket.gethostname()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        same = socket.gethostname() == name or not os.path.exists("minds")
        self.send_response(200 if same else 503); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
`
const COMMAND = ['python3', '-B', 'server.py']
const READY = { readiness: { http: { port: 8000 }, timeout: 2 } }

describe.skipIf(why !== null)('a snapshot that does not serve', () => {
  let bench: ProductBench
  let made: Snapshot
  const { PATH } = process.env
  beforeEach(async () => {
    bench = new ProductBench({ snapshot_wait: 0.2 })
    writeFileSync(join(bench.project, 'server.py'), SERVER)
    await bench.command('server', COMMAND, READY)
    made = await bench.snapshot({ image: 'server', name: 'web' })
  })
  afterEach(async () => {
    process.env['PATH'] = PATH
    await bench[Symbol.asyncDispose]()
  })
  const current = () => bench.products.snapshots.get('web')
  /** It was started, the reason is everywhere; with a snapshot that was tried, that has one failure more. */
  const expectCold = async (label: string, reason: RegExp, tried: boolean) => {
    const { failure_count } = current()
    const before = (await bench.fallbacks())[label] ?? 0
    const one = await bench.start({ image: 'server' })
    expect(one).toMatchObject({ boot_method: 'cold', state: 'ready', from: null, saved_seconds: null })
    expect(one.boot_reason).toMatch(reason)
    expect(bench.lines).toContain(
      `Warm boot not possible, falling back to cold boot: ${one.boot_reason ?? ''}`,
    )
    expect(bench.lines.at(-1)).toMatch(
      new RegExp(`^Instance ${one.name} fully provisioned via cold boot \\([\\d.]+ s\\)$`),
    )
    expect((await bench.fallbacks())[label]).toBe(before + 1)
    expect(current().failure_count).toBe(failure_count + (tried ? 1 : 0))
    await bench.end(one)
  }
  const expectWarm = async () => {
    const one = await bench.start({ image: 'server' })
    expect(one).toMatchObject({ boot_method: 'warm', boot_reason: null, from: made.id })
    expect(bench.lines.at(-1)).toMatch(
      new RegExp(`^Instance ${one.name} fully provisioned via warm boot \\(saved ~[\\d.]+s\\)$`),
    )
    await bench.end(one)
  }

  it('because criu is another, or its files are not what was written', async () => {
    const criu = await provider.get(() => {}, openScope())
    const directory = join(bench.directory, 'bin')
    mkdirSync(directory)
    const real = plainCommand(criu).join(' ')
    const script = `#!/bin/sh\n[ "$1" = --version ] && echo "Version: 99.1" && exit\nexec ${real} "$@"\n`
    writeFileSync(join(directory, 'criu'), script)
    chmodSync(join(directory, 'criu'), 0o755)
    process.env['PATH'] = `${directory}${delimiter}${PATH ?? ''}`
    await bench.reopen()
    await expectCold('mismatch', new RegExp(`does not fit: criu was ${criu.version}, is 99\\.1\\.$`), true)
    process.env['PATH'] = PATH
    await bench.reopen()
    await expectWarm()
    const manifest = join(made.path ?? '', 'manifest.json')
    const text = readFileSync(manifest, 'utf8')
    const { machine, ...others } = JSON.parse(text) as { machine: { kernel: string } }
    writeFileSync(manifest, JSON.stringify({ machine: { ...machine, kernel: '1.0' }, ...others }))
    await expectCold('damaged', /manifest\.json is not what was written/, true)
    rmSync(manifest)
    await expectCold('damaged', /manifest\.json cannot be read/, true)
    writeFileSync(manifest, text)
    await expectWarm()
    expect(current()).toMatchObject({ state: 'ready', consecutive_failures: 0, builds: 1 })
  })

  it('because what is restored is not ready', async () => {
    writeFileSync(join(bench.project, 'minds'), '')
    await expectCold('readiness', /was not ready within 2 s/, true)
    rmSync(join(bench.project, 'minds'))
    await expectWarm()
  })

  it('because criu cannot restore it', async () => {
    writeFileSync(join(bench.project, 'data'), 'x'.repeat(100))
    await bench.command('reader', ['sh', '-c', 'exec 5<data; sleep 1000'])
    const reader = await bench.snapshot({ image: 'reader' })
    writeFileSync(join(bench.project, 'data'), 'y')
    const one = await bench.start({ image: 'reader' })
    expect(one).toMatchObject({ boot_method: 'cold', state: 'ready' })
    expect(one.boot_reason).toMatch(/could not be restored: /)
    expect(await bench.fallbacks()).toEqual({ restore: 1 })
    expect(bench.products.snapshots.get(reader.id).failure_count).toBe(1)
  })

  it('because it is unhealthy, or not there yet, or there is none', async () => {
    rmSync(join(bench.project, 'server.py'))
    appendFileSync(pagesOf(made.path), 'x')
    for (let i = 0; i < 3; i++) {
      await expect(bench.start({ image: 'server' })).rejects.toMatchObject({ code: 'NOT_READY' })
    }
    // The rebuild that comes by itself meets the same; the next one is a minute away.
    await expect(bench.products.snapshots.built('web', bench.scope)).rejects.toThrow(/At the step wait/)
    expect(current()).toMatchObject({ state: 'unhealthy', failure_count: 3, step: null })
    expect(Date.parse(current().rebuild_at ?? '') - Date.now()).toBeGreaterThan(30_000)
    writeFileSync(join(bench.project, 'server.py'), SERVER)
    await expectCold('unhealthy', /^snapshot s_\w+ is unhealthy \(At the step wait: /, false)
    // By name it is no different.
    const named = await bench.products.provision.createFrom('web', {}, bench.scope).ready
    expect(named).toMatchObject({ boot_method: 'cold', state: 'ready' })
    expect(await bench.fallbacks()).toEqual({ damaged: 3, unhealthy: 2 })
    await bench.end(named)
    writeFileSync(join(bench.project, 'server.py'), `import time\ntime.sleep(3)\n${SERVER}`)
    bench.products.snapshots.rebuild('web')
    await bench.command('quick', COMMAND, { readiness: { seconds: 0 } })
    const how = { readiness: { seconds: 0, timeout: 1 } }
    const early = await bench.products.provision.createFrom('web', how, bench.scope).ready
    expect(early.boot_reason).toBe(`snapshot ${made.id} is still creating after 0.2 s`)
    const none = await bench.start({ image: 'quick' })
    expect(none.boot_reason).toBe('no snapshot of quick exists')
    expect(await bench.fallbacks()).toEqual({ damaged: 3, unhealthy: 2, creating: 1, none: 1 })
  })

  it('nor one whose pool is empty, which its snapshot stands in for', async () => {
    bench.products.pools.create(PoolRequest.parse({ name: 'p', snapshots: [made.id], size: 1 }))
    await bench.products.pools.warm('p')
    const both = await Promise.all([1, 2].map(() => bench.start({ image: 'server' })))
    expect(both.map((one) => one.boot_method).sort()).toEqual(['pool', 'warm'])
    expect(await bench.fallbacks()).toEqual({ pool_empty: 1 })
    // What is asked of the snapshot itself never was the pool's.
    const named = await bench.products.provision.createFrom('web', {}, bench.scope).ready
    expect(named).toMatchObject({ boot_method: 'warm', boot_reason: null })
    await bench.products.snapshots.remove('web', { cascade: true, force: false })
    expect(() => bench.products.provision.createFrom(made.id, {}, bench.scope)).toThrow(/was deleted/)
  })
})

describe.skipIf(why !== null)('another kernel', () => {
  it('is no place for a snapshot, until that is made anew there', async () => {
    await using home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_SNAPSHOT_AUTO: '0' })
    const other = 'setarch "$(uname -m)" --uname-2.6'
    if (home.shell(`${other} true`).code !== 0) return console.warn('skipped: setarch does not work here')
    const image = { kind: 'directory', name: 'it', path: home.project, command: ['sleep', '1000'] }
    await home.run(['image', 'create', home.write('image.json', JSON.stringify(image))])
    expect((await home.run(['snapshot', 'create', 'it', '--name', 'web'])).code).toBe(0)
    const create = () => home.json<Instance>(['instance', 'create', 'it'])
    expect((await create()).boot_method).toBe('warm')
    await home.run(['daemon', 'stop', '--force'])
    // The same kernel, which tells programs of this persuasion that it is 2.6.
    expect(home.shell(`${other} "$THAW" daemon start`).code).toBe(0)
    const cold = await create()
    expect(cold.boot_method).toBe('cold')
    expect(cold.boot_reason).toMatch(/does not fit: the kernel was \S+, is 2\.6\./)
    expect(readFileSync(join(home.directory, 'home/state/daemon.log'), 'utf8')).toMatch(
      /falling back to cold boot: snapshot .* the kernel was/,
    )
    await home.run(['snapshot', 'rebuild', 'web'])
    const builds = async () => (await home.json<Snapshot>(['snapshot', 'show', 'web'])).builds
    await until('it is built anew', async () => (await builds()) === 2, 20)
    expect((await create()).boot_method).toBe('warm')
  })
})
