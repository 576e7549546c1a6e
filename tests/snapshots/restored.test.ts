/** What is a restored instance's own: name, clock, random numbers for those who ask. */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ForkRequest, PoolRequest } from '@thaw/protocol'
import { root } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { ProductBench } from '../support/products.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/restored.test.ts is skipped: ${why}`)

/** Its child asks to be told as well; `kept` is random state that nobody renews. */
const SERVER = `
import http.server, json, os, random, socket, sys, time
import thaw
kept = random.Random(1)
random.seed(1)
told = [0]
def restored():
    random.seed()
    told[0] += 1
thaw.after_restore(restored)
ask, answer = os.pipe(), os.pipe()
if os.fork() == 0:
    while os.read(ask[0], 1): os.write(answer[1], b"%.17f\\n" % random.random())
    os._exit(0)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        os.write(ask[1], b"?")
        about = {"told": told[0], "random": random.random(), "kept": kept.random(), "child": os.read(answer[0], 100).decode(),
            "urandom": os.urandom(8).hex(), "host": socket.gethostname(), "time": time.time(),
            "hooked": os.path.exists("hooked")}
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps(about).encode())
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
`
interface About {
  told: number
  random: number
  kept: number
  child: string
  urandom: string
  host: string
  time: number
  hooked: boolean
}

describe.skipIf(why !== null)('what is restored', () => {
  let bench: ProductBench
  beforeEach(() => {
    bench = new ProductBench()
    writeFileSync(join(bench.project, 'server.py'), SERVER)
    // As pip would install it.
    cpSync(join(root, 'agents/python/thaw'), join(bench.project, 'thaw'), { recursive: true })
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const ask = (port: number | undefined) =>
    new Promise<About>((resolve, reject) => {
      get({ port, host: '127.0.0.1', agent: false }, (answer) => resolve(json(answer) as Promise<About>)).on(
        'error',
        reject,
      )
    })

  it('has a name, a clock and random numbers of its own', async () => {
    await bench.command('server', ['python3', '-B', 'server.py'], {
      ports: [8000],
      readiness: { port: 8000 },
      after_restore: ['touch', 'hooked'],
    })
    const cold = await bench.start({ image: 'server', name: 'cold' })
    const first = await ask(cold.ports[0]?.host)
    expect(first).toMatchObject({ told: 0, host: 'cold', hooked: false })
    const made = await bench.snapshot({ image: 'server' })
    bench.products.pools.create(PoolRequest.parse({ name: 'p', snapshots: [made.id], size: 2 }))
    await bench.products.pools.warm('p')
    const take = (name: string) => bench.products.provision.take('p', { name }, bench.scope).ready
    const all = [
      await take('one'),
      await take('two'),
      await bench.products.provision.createFrom(made.id, { name: 'warm' }, bench.scope).ready,
    ]
    expect(all.map((one) => one.boot_method)).toEqual(['pool', 'pool', 'warm'])
    all.push(
      ...(await bench.products.instances.fork('one', ForkRequest.parse({ names: ['fork'] }), bench.scope)),
    )
    const answers: About[] = []
    for (const one of all) answers.push(await ask(one.ports[0]?.host))
    expect(answers.map(({ host }) => host)).toEqual(['one', 'two', 'warm', 'fork'])
    // A fork of what was restored once is told for the second time.
    expect(answers.map(({ told }) => told)).toEqual([1, 1, 1, 2])
    for (const name of ['random', 'child', 'urandom'] as const) {
      expect(new Set([first, ...answers].map((answer) => answer[name])).size).toBe(5)
    }
    // Clones they are: what nobody renews is the same.
    expect(new Set([first, ...answers].map(({ kept }) => kept)).size).toBe(1)
    expect(answers.every(({ hooked }) => hooked)).toBe(true)
    expect(existsSync(join(bench.project, 'hooked'))).toBe(false)
    for (const one of all) {
      const before = Date.now() / 1000
      const { time } = await ask(one.ports[0]?.host)
      expect(time).toBeGreaterThan(before - 0.1)
      expect(time).toBeLessThan(Date.now() / 1000 + 0.1)
    }
  })

  it('is no use where the command after it fails', async () => {
    const file = join(bench.project, 'works')
    writeFileSync(file, '')
    await bench.command('sleeper', ['sleep', '1000'], { after_restore: ['test', '-e', file] })
    const made = await bench.snapshot({ image: 'sleeper' })
    expect((await bench.start({ image: 'sleeper' })).boot_method).toBe('warm')
    rmSync(file)
    const one = await bench.start({ image: 'sleeper' })
    expect(one).toMatchObject({ boot_method: 'cold', state: 'ready' })
    expect(one.boot_reason).toMatch(/was restored, but test -e \S+ failed in it/)
    expect(await bench.fallbacks()).toEqual({ readiness: 1 })
    expect(bench.products.snapshots.get(made.id).failure_count).toBe(1)
  })
})
