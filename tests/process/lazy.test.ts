import { tmpdir } from 'node:os'
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { plainCommand } from '../../packages/thaw/src/engines/process/criu/criu.js'
import type { CriuProvider } from '../../packages/thaw/src/engines/process/criu/provide.js'
import { canBeLazy, memoryOf } from '../../packages/thaw/src/engines/process/lazy.js'
import { ProcessEngine } from '../../packages/thaw/src/engines/process/process.js'
import { openScope } from '../../packages/thaw/src/system/index.js'
import { WITHOUT_CARE } from '../../packages/thaw/src/engines/process/keeper.js'
import { Bench, provider, remains, whyNot, type Watched } from '../support/process.js'

const why = await whyNot()
const criu = why === null ? await provider.get(() => {}, openScope()) : null
const without = why ?? (criu !== null && canBeLazy(criu) ? null : 'memory that comes later needs root')
if (without !== null) console.error(`skipped: ${without}`)

const MEGABYTES = 300
/** Answers with a digest of all of its memory, of a child's too. */
const HOLDER = `
import hashlib, os, random, sys, threading
held = bytearray(random.Random(7).randbytes(1 << 20) * ${MEGABYTES})
for i in range(0, len(held), 4096): held[i:i+4] = i.to_bytes(4, "little")
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "exit": sys.exit(3)
    if word == "fork":
        if os.fork() == 0:
            print("child", hashlib.sha256(held).hexdigest(), flush=True); os._exit(0)
        os.wait()
    elif word == "thread":
        t = threading.Thread(target=lambda: print("thread", hashlib.sha256(held).hexdigest(), flush=True)); t.start(); t.join()
    elif word == "sum": print("sum", hashlib.sha256(held).hexdigest(), flush=True)
    elif word == "write": held[-5:] = b"other"; print("written", flush=True)
    else: print("one", held[4096 * 1000], flush=True)
`

describe.skipIf(without !== null)('memory that comes later', () => {
  let bench: Bench
  let one: Watched
  let sum: string
  beforeEach(async () => {
    bench = new Bench()
    one = await bench.launch(['python3', '-c', HOLDER])
    await one.prints('ready', 30)
    await one.ask('sum\n', 'sum ')
    sum = one.stdout.split(' ').at(-1)?.trim() ?? ''
    expect(sum).toHaveLength(64)
  })
  afterEach(() => bench[Symbol.asyncDispose]())

  it('is all there, for threads and children too, and leaves no process', async () => {
    const image = await bench.checkpoint(one)
    expect(memoryOf(image)).toBeGreaterThan(MEGABYTES << 20)
    const clones = await Promise.all([bench.restore(image), bench.restore(image)])
    for (const two of clones) {
      expect(two.branch.parts.pages).not.toBeNull()
      for (const [word, answer] of [
        ['fork', 'child'],
        ['thread', 'thread'],
        ['sum', 'sum'],
      ]) {
        await two.type(`${word}\n`)
        await two.prints(`${answer} ${sum}`, 30)
      }
    }
    // One that ends before its memory has come.
    const early = await bench.restore(image)
    await early.type('exit\n')
    expect(await early.ended).toMatchObject({ code: 3, signal: null, strays: 0 })
    await early.branch.gone
    for (const two of clones) {
      await two.branch.parts.pages?.done
      await two.type('exit\n')
      expect(await two.ended).toMatchObject({ code: 3, strays: 0 })
      await two.branch.gone
    }
    one.branch.end()
    await one.branch.gone
    expect(remains('/').sandboxes).toEqual([])
  })

  it('is waited for by a checkpoint', async () => {
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image)
    await two.ask('write\n', 'written')
    const again = await bench.checkpoint(two)
    await two.ask('sum\n', 'sum ')
    const changed = two.stdout.split(' ').at(-1)?.trim() ?? ''
    expect(changed).not.toBe(sum)
    const three = await bench.restore(again)
    await three.type('sum\n')
    await three.prints(`sum ${changed}`, 30)
    const plain = await bench.restore(image, { lazyFrom: Infinity })
    expect(plain.branch.parts.pages).toBeNull()
    await plain.type('sum\n')
    await plain.prints(`sum ${sum}`, 30)
  })

  it('keeps its image in use until it has come', async () => {
    const image = await bench.checkpoint(one)
    const uses: string[] = []
    bench.care = {
      ...WITHOUT_CARE,
      use: () => {
        uses.push('begun')
        return Promise.resolve({ [Symbol.dispose]: () => void uses.push('ended') })
      },
      remove: (given) => given.remove(),
    }
    const two = await bench.restore(image)
    const { pages } = two.branch.parts
    const server = childOf(pages?.guards[0] ?? 0)
    process.kill(server, 'SIGSTOP')
    await two.type('sum\n')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(uses).toEqual(['begun'])
    process.kill(server, 'SIGCONT')
    await two.prints(`sum ${sum}`, 30)
    await pages?.done
    await new Promise((resolve) => setImmediate(resolve))
    expect(uses).toEqual(['begun', 'ended'])
  })

  it('never reads as zeros: the program ends with what gives it its pages', async () => {
    const image = await bench.checkpoint(one)
    const held = () => readdirSync('/proc/self/fd').length
    const before = held()
    for (let round = 0; round < 5; round++) {
      const two = await bench.restore(image)
      const server = childOf(two.branch.parts.pages?.guards[0] ?? 0)
      process.kill(server, 'SIGSTOP')
      await two.type('sum\n')
      await new Promise((resolve) => setTimeout(resolve, 20))
      process.kill(server, 'SIGKILL')
      expect(await two.ended).toMatchObject({ code: null, signal: 'SIGKILL' })
      expect(two.stdout).not.toContain('sum')
      await two.branch.gone
    }
    expect(held()).toBeLessThanOrEqual(before + 2)
  })

  it('is brought at once where it cannot come later', async (context) => {
    const image = await bench.checkpoint(one)
    const wrapper = join(bench.project, 'criu')
    const real = plainCommand(criu as NonNullable<typeof criu>)
    // The sandbox shows only what is asked for of the temporary directory.
    if (real[0]?.startsWith(`${tmpdir()}/`) === true) return context.skip('criu was fetched below /tmp')
    const words = real.map((word) => `'${word}'`).join(' ')
    const tried = join(bench.project, 'tried')
    writeFileSync(
      wrapper,
      `#!/bin/sh\n[ "$1" = lazy-pages ] && { echo >>'${tried}'; exit 1; }\nexec ${words} "$@"\n`,
    )
    chmodSync(wrapper, 0o755)
    const broken = { get: () => Promise.resolve({ ...criu, path: wrapper, parts: null }) }
    const engine = new ProcessEngine(broken as unknown as CriuProvider)
    for (const _round of [1, 2]) {
      const two = await bench.restore(image, { view: 'shared' }, engine)
      expect(two.branch.parts.pages).toBeNull()
      await two.type('sum\n')
      await two.prints(`sum ${sum}`, 30)
    }
    // Once is enough to know.
    expect(existsSync(tried) && readFileSync(tried, 'utf8')).toBe('\n')
  })
})

function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(/\s+/)[0])
}
