import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findCarrier } from '../../packages/thaw/src/engines/process/network.js'
import { Bench, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)
const carrier = findCarrier()
if (carrier === null) console.error('skipped: neither slirp4netns nor pasta is installed')

const SERVER = `
import socket, sys
s = socket.create_server(("127.0.0.1", 8093))
print("ready", flush=True)
for line in sys.stdin:
    c = socket.create_connection(("127.0.0.1", 8093)); a, _ = s.accept()
    a.send(line.encode()); print("got", c.recv(99).decode().strip(), flush=True)
`
const ROUTES = `
import sys
print("ready", flush=True)
for line in sys.stdin: print([l.split()[0] for l in open("/proc/net/route")][1:], "done", flush=True)
`

describe.skipIf(why !== null)('the network of a sandbox', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  it('is the machine’s by default: a clone cannot have a port that the original holds, and is told so', async () => {
    const one = await bench.launch(['python3', '-c', SERVER.replace('8093', '0').replace('8093', '0')])
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    await expect(bench.restore(image)).rejects.toMatchObject({
      code: 'ENGINE_FAILED',
      hint: expect.stringContaining('private network'),
    })
    await one.branch.signal('SIGKILL')
    await one.branch.gone
    await bench.restore(image)
  })

  it('private: every clone has the port', async () => {
    const one = await bench.launch(['python3', '-c', SERVER], { network: 'private' })
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    const clones = await Promise.all([1, 2, 3].map(() => bench.restore(image)))
    for (const [i, two] of [one, ...clones].entries()) await two.ask(`${i}\n`, `got ${i}`)
  })

  it.skipIf(carrier === null)('private with a way out: it has a route, and so has a clone', async () => {
    const one = await bench.launch(['python3', '-c', ROUTES], { network: 'private+out' })
    await one.prints('ready')
    await one.ask('\n', 'done')
    expect(one.stdout).toContain("'tap0'")
    const two = await bench.restore(await bench.checkpoint(one))
    await two.ask('\n', 'done')
    expect(two.stdout).toContain("'tap0'")
  })
})
