/** Pools: members that stand still until they are taken. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PoolRequest } from '@thaw/protocol'
import { until } from '../support/home.js'
import { remains, whyNot } from '../support/process.js'
import { pagesOf, ProductBench } from '../support/products.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/pools.test.ts is skipped: ${why}`)

const SERVER = `
import http.server, socket
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        self.send_response(200); self.end_headers()
        self.wfile.write(f"{count} {socket.gethostname()}".encode())
    def log_message(self, *args): print("asked", flush=True)
http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
`
const PYTHON = ['python3', '-B', '-u', 'server.py']
const READY = { ports: [8000], readiness: { port: 8000 } }

function ask(port: number | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, (answer) => resolve(text(answer))).on('error', reject)
  })
}

describe.skipIf(why !== null)('a pool', () => {
  let bench: ProductBench
  let before: ReturnType<typeof remains>
  beforeEach(async () => {
    bench = new ProductBench()
    before = remains(bench.project)
    writeFileSync(join(bench.project, 'server.py'), SERVER)
    await bench.command('server', PYTHON, READY)
  })
  afterEach(async () => {
    await bench[Symbol.asyncDispose]()
    expect(remains('/tmp').sandboxes).toEqual(before.sandboxes)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(bench.directory)
  })
  const create = (request: object) =>
    bench.products.pools.create(PoolRequest.parse({ name: 'web', ...request }))

  it('gives members, and is filled again', async () => {
    const made = await bench.snapshot({ image: 'server' })
    create({ snapshots: [made.id], size: 2 })
    expect(await bench.products.pools.warm('web')).toMatchObject({
      ready: 2,
      hits: 0,
      misses: 0,
      take_ms: null,
    })
    expect(bench.products.pools.get('web').memory_bytes).toBeGreaterThan(1_000_000)
    const one = await bench.start({ image: 'server', name: 'one' })
    expect(one).toMatchObject({ boot_method: 'pool', from: made.id, boot_reason: null })
    expect(await ask(one.ports[0]?.host)).toBe('1 one')
    // Without a name of its own, it has that of the member.
    const two = await bench.products.provision.take('web', {}, bench.scope).ready
    expect(two.boot_method).toBe('pool')
    expect(await ask(two.ports[0]?.host)).toBe(`1 ${two.name}`)
    expect(
      bench.lines.some((line) =>
        line.startsWith('Instance one fully provisioned via warm boot from pool web'),
      ),
    ).toBe(true)
    await until('full again', () => bench.products.pools.get('web').ready === 2)
    const { hits, misses, take_ms } = bench.products.pools.get('web')
    expect({ hits, misses, count: take_ms?.count }).toEqual({ hits: 2, misses: 0, count: 2 })
    expect(take_ms?.p99).toBeGreaterThanOrEqual(take_ms?.p50 ?? Infinity)
  })

  it('falls to its snapshot when it is empty, and to a start when that is damaged', async () => {
    const made = await bench.snapshot({ image: 'server' })
    create({ snapshots: [made.id], size: 1 })
    await bench.products.pools.warm('web')
    const all = await Promise.all([1, 2, 3].map(() => bench.start({ image: 'server' })))
    expect(all.map((one) => one.boot_method).sort()).toEqual(['pool', 'warm', 'warm'])
    expect(all.filter((one) => one.boot_reason === 'its pool is empty')).toHaveLength(2)
    expect(bench.products.pools.get('web')).toMatchObject({ hits: 1, misses: 2 })
    await bench.products.pools.drain('web')
    truncateSync(pagesOf(made.path), 4096)
    const cold = await bench.start({ image: 'server' })
    expect(cold.boot_method).toBe('cold')
    expect(cold.boot_reason).toMatch(/pages-1\.img/)
    // Filling it strikes the snapshot too, which is then made anew, and the pool is full in the end.
    await bench.products.pools.resize('web', 2)
    await until('it is full', () => bench.products.pools.get('web').ready === 2, 40)
    expect(bench.products.snapshots.get(made.id)).toMatchObject({
      state: 'ready',
      builds: 2,
      failure_count: 3,
    })
  })

  it('takes in turn where several snapshots serve it, and passes over members that have ended', async () => {
    const [first, second] = [
      await bench.snapshot({ image: 'server' }),
      await bench.snapshot({ image: 'server' }),
    ]
    create({ snapshots: [first.id, second.id], size: 4 })
    await bench.products.pools.warm('web')
    const froms: (string | null)[] = []
    for (let i = 0; i < 4; i++) froms.push((await bench.start({ image: 'server' })).from)
    expect(froms).toEqual([first.id, second.id, first.id, second.id])
    await until('full again', () => bench.products.pools.get('web').ready === 4)
    for (const pid of remains('/tmp').sandboxes.filter((one) => !before.sandboxes.includes(one))) {
      // Members only: what was taken is an instance, and is named in its list.
      if (bench.products.instances.list().every((one) => !isAncestor(Number(pid), one.pid)))
        process.kill(Number(pid), 'SIGKILL')
    }
    const next = await bench.start({ image: 'server' })
    expect(next.state).toBe('ready')
    await until('full again', () => bench.products.pools.get('web').ready === 4, 20)
    expect((await bench.start({ image: 'server' })).boot_method).toBe('pool')
  })

  it('changes its size, its members, and ends', async () => {
    const made = await bench.snapshot({ image: 'server' })
    create({ snapshots: [made.id], size: 1 })
    await bench.products.pools.warm('web')
    await bench.products.pools.resize('web', 3)
    expect(await bench.products.pools.warm('web')).toMatchObject({ size: 3, ready: 3 })
    expect(await bench.products.pools.resize('web', 1)).toMatchObject({ size: 1, ready: 1 })
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { oldest_seconds } = bench.products.pools.get('web')
    const refreshed = await bench.products.pools.refresh('web')
    expect(refreshed.ready).toBe(1)
    expect(refreshed.oldest_seconds).toBeLessThan(oldest_seconds ?? 0)
    expect(await bench.products.pools.drain('web')).toMatchObject({ ready: 0, drained: true })
    const { pools, snapshots } = bench.products
    await expect(pools.resize('web', 21)).rejects.toMatchObject({
      message: 'A pool has from 1 to 20 members, not 21.',
    })
    await expect(snapshots.remove(made.id, { cascade: false, force: false })).rejects.toMatchObject({
      code: 'HAS_DEPENDENTS',
    })
    await snapshots.remove(made.id, { cascade: true, force: false })
    expect([pools.list(), snapshots.list()]).toEqual([[], []])
  })

  it('is there again after its daemon', async () => {
    const made = await bench.snapshot({ image: 'server' })
    create({ snapshots: [made.id], size: 2 })
    await bench.products.pools.warm('web')
    await bench.reopen()
    await until('it is filled', () => bench.products.pools.get('web').ready === 2)
    expect((await bench.start({ image: 'server' })).boot_method).toBe('pool')
    rmSync(join(bench.project, 'server.py'))
    expect((await bench.start({ image: 'server' })).boot_method).toBe('pool')
  })
})

function isAncestor(pid: number, of: number | null): boolean {
  for (let at = of ?? 0; at > 1;) {
    if (at === pid) return true
    at = parentOf(at)
  }
  return false
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return 0
  }
}
