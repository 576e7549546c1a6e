import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Bench, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

const COUNTER = `
import sys
n = 0
print("ready", flush=True)
for line in sys.stdin:
    n += 1
    print(n, line.strip(), flush=True)
    if line.strip() == "exit": sys.exit(n)
`

describe.skipIf(why !== null)('a program in a sandbox', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  it('runs, and ends with its code', async () => {
    const one = await bench.launch(['sh', '-c', 'echo out; echo err >&2; exit 7'])
    expect(await one.ended).toMatchObject({ code: 7, signal: null, strays: 0 })
    expect([one.stdout, one.stderr]).toEqual(['out\n', 'err\n'])
  })

  it('goes on after a checkpoint, and again from it', async () => {
    const one = await bench.launch(['python3', '-c', COUNTER])
    await one.prints('ready')
    await one.ask('a\n', '1 a')
    const image = await bench.checkpoint(one)
    await one.ask('b\n', '2 b')
    const two = await bench.restore(image)
    await two.ask('c\n', '2 c')
    await two.type('exit\n')
    expect(await two.ended).toMatchObject({ code: 3, signal: null })
    await one.type('exit\n')
    expect(await one.ended).toMatchObject({ code: 3, signal: null })
  })
})
