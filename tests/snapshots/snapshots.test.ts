/** Snapshots: made, used, damaged, rebuilt, given up. */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ForkRequest, PoolRequest } from '@thaw/protocol'
import { until } from '../support/home.js'
import { remains, whyNot } from '../support/process.js'
import { pagesOf, ProductBench } from '../support/products.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/snapshots.test.ts is skipped: ${why}`)

/** Slow to start; counts what it is asked. */
const SERVER = `
import http.server, os, socket, sys, time
time.sleep(0.7)
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        self.send_response(200); self.end_headers()
        self.wfile.write(f"{count} {socket.gethostname()} {os.path.exists('prepared')}".encode())
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 8000), Handler)
server.serve_forever()
`
const PYTHON = ['python3', '-B', '-u', 'server.py']
const READY = { ports: [8000], readiness: { port: 8000 } }

function ask(port: number | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, (answer) => resolve(text(answer))).on('error', reject)
  })
}

/** Another byte in the middle of a file. */
function flip(file: string): void {
  const fd = openSync(file, 'r+')
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, 5000)
  byte[0] = (byte[0] ?? 0) ^ 1
  writeSync(fd, byte, 0, 1, 5000)
  closeSync(fd)
}

describe.skipIf(why !== null)('a snapshot', () => {
  let bench: ProductBench
  let before: ReturnType<typeof remains>
  beforeEach(() => {
    bench = new ProductBench()
    before = remains(bench.project)
    writeFileSync(join(bench.project, 'server.py'), SERVER)
  })
  afterEach(async () => {
    await bench[Symbol.asyncDispose]()
    expect(remains('/tmp').sandboxes).toEqual(before.sandboxes)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(bench.directory)
  })
  it('is built step by step, and spares the start', async () => {
    await bench.command('server', PYTHON, READY)
    const cold = await bench.start({ image: 'server', name: 'cold' })
    expect(cold).toMatchObject({ boot_method: 'cold', boot_reason: 'no snapshot of server exists' })
    const begun = bench.products.snapshots.create({ image: 'server', from: null, name: 'web', prepare: null })
    expect(begun.state).toBe('creating')
    const lines: string[] = []
    for await (const line of bench.products.snapshots.lines('web', true)) lines.push(line.text)
    const steps = lines.map((line) => line.slice(0, line.indexOf(':')))
    expect(steps.slice(0, 8)).toEqual([
      'start',
      'wait',
      'verify',
      'network',
      'pause',
      'checkpoint',
      'store',
      'destroy',
    ])
    const made = bench.products.snapshots.get('web')
    expect(made).toMatchObject({ state: 'ready', builds: 1, step: null, success_count: 0, engine: 'process' })
    expect(made.memory_bytes).toBeGreaterThan(1_000_000)
    expect(made.cold_seconds).toBeGreaterThan(0.7)
    const warm = await bench.start({ image: 'server', name: 'warm' })
    expect(warm).toMatchObject({ boot_method: 'warm', boot_reason: null, from: made.id })
    expect(warm.saved_seconds).toBeGreaterThan(0.1)
    expect(await ask(warm.ports[0]?.host)).toBe('1 warm False')
    expect(
      bench.lines.some((line) =>
        /^Instance warm fully provisioned via warm boot \(saved ~[\d.]+s\)$/.test(line),
      ),
    ).toBe(true)
    expect(bench.products.snapshots.get('web')).toMatchObject({ success_count: 1, failure_count: 0 })
    expect(await bench.products.snapshots.verify('web', bench.scope)).toMatchObject({
      ok: true,
      reason: null,
    })
  })

  it('is given up for a start where it does not serve, and says why', async () => {
    await bench.command('server', PYTHON, READY)
    const made = await bench.snapshot({ image: 'server' })
    const own = await bench.start({ image: 'server', env: { A: 'b' } })
    expect(own).toMatchObject({ boot_method: 'cold', boot_reason: 'it has an environment of its own' })
    // A page that is not what was written.
    flip(pagesOf(made.path))
    const second = await bench.start({ image: 'server', name: 'second' })
    expect(second).toMatchObject({ boot_method: 'cold', state: 'ready', from: null })
    expect(second.boot_reason).toMatch(/pages-1\.img is not what was written/)
    expect(await ask(second.ports[0]?.host)).toBe('1 second False')
    flip(pagesOf(made.path))
    expect((await bench.start({ image: 'server' })).boot_method).toBe('warm')
    const after = bench.products.snapshots.get(made.id)
    expect(after).toMatchObject({
      failure_count: 1,
      success_count: 1,
      consecutive_failures: 0,
      state: 'ready',
    })
  })

  it('is rebuilt by itself after three failures in a row', async () => {
    await bench.command('server', PYTHON, READY)
    const made = await bench.snapshot({ image: 'server' })
    truncateSync(pagesOf(made.path), 4096)
    for (const count of [1, 2]) {
      expect((await bench.start({ image: 'server' })).boot_method).toBe('cold')
      expect(bench.products.snapshots.get(made.id)).toMatchObject({ state: 'ready', failure_count: count })
    }
    expect((await bench.start({ image: 'server' })).boot_method).toBe('cold')
    expect(bench.products.snapshots.get(made.id).state).not.toBe('ready')
    // Whoever comes now waits for it.
    const next = await bench.start({ image: 'server' })
    expect(next).toMatchObject({ boot_method: 'warm', from: made.id })
    const rebuilt = bench.products.snapshots.get(made.id)
    expect(rebuilt).toMatchObject({ state: 'ready', builds: 2, failure_count: 3, consecutive_failures: 0 })
    expect(rebuilt.path).not.toBe(made.path)
    expect(existsSync(made.path ?? '')).toBe(false)
  })

  it('fails where what was restored is not ready', async () => {
    writeFileSync(join(bench.project, 'ok'), '')
    const readiness = { command: ['test', '-e', join(bench.project, 'ok')], timeout: 1 }
    await bench.command('slow', ['sleep', '1000'], { readiness })
    const made = await bench.snapshot({ image: 'slow' })
    rmSync(join(bench.project, 'ok'))
    await expect(bench.start({ image: 'slow', name: 'x' })).rejects.toMatchObject({ code: 'NOT_READY' })
    expect(bench.products.snapshots.get(made.id).failure_count).toBe(1)
    expect(bench.products.instances.get('x')).toMatchObject({ state: 'failed', boot_method: 'cold' })
    writeFileSync(join(bench.project, 'ok'), '')
    expect((await bench.start({ image: 'slow' })).boot_method).toBe('warm')
  })

  it('fails where the machine is not what it was, and where it cannot be restored', async () => {
    // A program that was replaced since: what is in memory does not fit its file any more.
    const program = join(bench.project, 'sleeper')
    copyFileSync('/bin/sleep', program)
    await bench.command('other', [program, '1000'])
    const { id } = await bench.snapshot({ image: 'other' })
    utimesSync(program, 1, 1)
    const one = await bench.start({ image: 'other' })
    expect(one.boot_method).toBe('cold')
    expect(one.boot_reason).toMatch(/The checkpoint does not fit: .*sleeper was replaced/)
    expect(bench.products.snapshots.get(id).failure_count).toBe(1)
    // A file that it reads has another size: criu refuses.
    writeFileSync(join(bench.project, 'data'), 'x'.repeat(100))
    await bench.command('reader', ['sh', '-c', 'exec 5<data; echo open; sleep 1000'], {
      readiness: { output: 'open' },
    })
    await bench.snapshot({ image: 'reader' })
    expect((await bench.start({ image: 'reader' })).boot_method).toBe('warm')
    writeFileSync(join(bench.project, 'data'), 'y')
    const two = await bench.start({ image: 'reader', name: 'two' })
    expect(two).toMatchObject({ boot_method: 'cold', state: 'ready', name: 'two' })
    expect(two.boot_reason).toMatch(/failed: /)
  })

  it('is waited for while it is being made, for so long', async () => {
    await bench[Symbol.asyncDispose]()
    bench = new ProductBench({ snapshot_wait: 0.2 })
    writeFileSync(join(bench.project, 'server.py'), SERVER)
    await bench.command('server', PYTHON, READY)
    const { id } = bench.products.snapshots.create({ image: 'server', from: null, name: null, prepare: null })
    const early = await bench.start({ image: 'server' })
    expect(early).toMatchObject({
      boot_method: 'cold',
      boot_reason: `snapshot ${id} is still creating after 0.2 s`,
    })
    await bench.products.snapshots.built(id, bench.scope)
    expect((await bench.start({ image: 'server' })).boot_method).toBe('warm')
  })

  it('is made by itself at the second use', async () => {
    await bench[Symbol.asyncDispose]()
    bench = new ProductBench({ snapshot_auto: 2 })
    writeFileSync(join(bench.project, 'server.py'), SERVER)
    await bench.command('server', PYTHON, READY)
    await bench.start({ image: 'server' })
    expect(bench.products.snapshots.list()).toEqual([])
    await bench.start({ image: 'server' })
    expect(bench.products.snapshots.list()).toMatchObject([{ automatic: true, state: 'creating' }])
    expect((await bench.start({ image: 'server' })).boot_method).toBe('warm')
    expect(bench.products.snapshots.list()).toHaveLength(1)
  })

  it('has children, which are not orphaned by mistake', async () => {
    await bench.command('server', PYTHON, READY)
    const parent = await bench.snapshot({ image: 'server', name: 'parent' })
    const prepare = ['touch', join(bench.project, 'prepared')]
    const child = await bench.snapshot({ from: 'parent', name: 'child', prepare })
    expect(child.parent).toBe(parent.id)
    const one = await bench.products.provision.createFrom('child', { name: 'one' }, bench.scope).ready
    expect(one).toMatchObject({ boot_method: 'warm', from: child.id })
    expect(await ask(one.ports[0]?.host)).toBe('1 one True')
    const plain = await bench.start({ image: 'server' })
    expect(plain.from).toBe(parent.id)
    // By a start, what was run in it is run again.
    flip(pagesOf(child.path))
    const two = await bench.products.provision.createFrom('child', {}, bench.scope).ready
    expect(two.boot_method).toBe('cold')
    expect(await ask(two.ports[0]?.host)).toMatch(/^1 .* True$/)
    const { snapshots } = bench.products
    await expect(snapshots.remove('parent', { cascade: false, force: false })).rejects.toMatchObject({
      code: 'HAS_DEPENDENTS',
    })
    // Instances live on its files: they go with the last of those.
    expect(await snapshots.remove('parent', { cascade: true, force: false })).toEqual([child.id, parent.id])
    expect(snapshots.get(parent.id).state).toBe('deleted')
    expect(existsSync(parent.path ?? '')).toBe(true)
    expect(await ask(plain.ports[0]?.host)).toMatch(/^1 /)
    for (const instance of [one, two, plain]) await bench.end(instance)
    await until('nothing left', () => !existsSync(parent.path ?? '') && snapshots.list().length === 0)
  })

  it.skipIf(process.getuid?.() !== 0)(
    'lies on a file system of its own, where that is wished for',
    async () => {
      const other = mkdtempSync(join(tmpdir(), 'thaw-other-'))
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=300m,mode=700', 'thaw-test', other]).status).toBe(
        0,
      )
      try {
        await bench[Symbol.asyncDispose]()
        bench = new ProductBench({ snapshot_path: other })
        writeFileSync(
          join(bench.project, 'server.py'),
          SERVER.replace('time.sleep(0.7)', 'open("written", "w")'),
        )
        await bench.command('server', PYTHON, READY)
        const made = await bench.snapshot({ image: 'server', name: 'parent' })
        expect(made.path?.startsWith(`${other}/thaw-`)).toBe(true)
        const prepare = ['touch', join(bench.project, 'prepared')]
        await bench.snapshot({ from: 'parent', name: 'child', prepare })
        const one = await bench.products.provision.createFrom('child', { name: 'one' }, bench.scope).ready
        expect(await ask(one.ports[0]?.host)).toBe('1 one True')
        // Its layers are there, its checkpoint is with the state.
        const { instances } = bench.products
        const [clone] = await instances.fork('one', ForkRequest.parse({ names: ['two'] }), bench.scope)
        expect(await ask(clone?.ports[0]?.host)).toBe('2 two True')
        bench.products.pools.create(PoolRequest.parse({ name: 'p', snapshots: ['child'], size: 1 }))
        expect(await bench.products.pools.warm('p')).toMatchObject({ ready: 1 })
        expect((await bench.products.provision.take('p', {}, bench.scope).ready).boot_method).toBe('pool')
      } finally {
        await bench[Symbol.asyncDispose]()
        expect(spawnSync('umount', [other]).status).toBe(0)
        rmSync(other, { recursive: true })
        bench = new ProductBench()
      }
    },
  )

  it('outlives its daemon', async () => {
    await bench.command('server', PYTHON, READY)
    const made = await bench.snapshot({ image: 'server', name: 'web' })
    await bench.start({ image: 'server' })
    await bench.reopen()
    expect(bench.products.snapshots.get('web')).toEqual({
      ...made,
      success_count: 1,
      last_used_at: expect.any(String) as string,
    })
    expect((await bench.start({ image: 'server' })).boot_method).toBe('warm')
    rmSync(made.path ?? '', { recursive: true })
    await bench.reopen()
    await until('it is made again', () => bench.products.snapshots.get('web').builds === 2, 20)
  })
})
