import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { VmImage } from '../../packages/thaw/src/engines/vm/image.js'
import type { VmBranch } from '../../packages/thaw/src/engines/vm/vm.js'
import { Bench, processesWith, run, scope, shell, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

/** A counter in memory, told on the disk. */
const COUNTER = [
  'python3',
  '-uc',
  `
import os, time
n = 0
while True:
    n += 1
    with open('/count.new', 'w') as file: file.write(str(n))
    os.rename('/count.new', '/count')
    time.sleep(0.05)
`,
]

describe.skipIf(reason !== null)('a machine', () => {
  let bench: Bench
  let branch: VmBranch
  let image: VmImage
  const clones: VmBranch[] = []

  beforeAll(async () => {
    bench = await Bench.open()
    branch = await bench.boot()
  }, 240_000)
  afterAll(async () => {
    const { directory } = bench
    await bench[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  })

  it('runs programs, and tells how they end', async () => {
    const { guest } = branch
    expect(await run(guest, ['sh', '-c', 'cat; echo err >&2; exit 3'], 'typed')).toEqual({
      code: 3,
      signal: null,
      stdout: 'typed',
      stderr: 'err\n',
    })
    expect((await run(guest, ['sh', '-c', 'kill -9 $$'])).signal).toBe(9)
    await expect(run(guest, ['no-such-program'])).rejects.toMatchObject({ what: 'exec', errno: 2 })
    expect(await shell(guest, 'hostname; uname -n')).toBe('first\nfirst')
    expect(Math.abs(Number(await shell(guest, 'date +%s')) - Date.now() / 1000)).toBeLessThan(10)
  })

  it('carries more than a window of bytes both ways', async () => {
    const text = 'x'.repeat(3_000_000)
    const { stdout } = await run(
      branch.guest,
      ['sh', '-c', 'cat; head -c 1000000 /dev/zero | tr "\\0" y'],
      text,
    )
    expect(stdout.length).toBe(4_000_000)
    expect(stdout.slice(0, 3_000_000) === text).toBe(true)
  })

  it('takes files and gives them back', async () => {
    const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, i) => i % 251))
    await branch.guest.writeFile('/made/on/the/way/file', source(bytes), 0o640, scope)
    const { content, size, mode } = await branch.guest.readFile('/made/on/the/way/file', scope)
    const parts: Buffer[] = []
    for await (const part of content) parts.push(part)
    expect({ size, mode, same: Buffer.concat(parts).equals(bytes) }).toEqual({
      size: 700_000,
      mode: 0o640,
      same: true,
    })
    await expect(branch.guest.readFile('/no/such', scope)).rejects.toMatchObject({ errno: 2 })
    await expect(branch.guest.readFile('/made', scope)).rejects.toMatchObject({ errno: 21 })
  })

  it('has terminals', async () => {
    let said = ''
    const listener = { output: (_: string, bytes: Buffer) => ((said += bytes.toString()), true) }
    const program = await branch.guest.start(
      {
        argv: ['sh', '-c', 'test -t 0 && stty size; read line; echo "<$line>"'],
        env: { PATH: '/usr/bin:/bin' },
        cwd: '/',
        user: null,
        terminal: { rows: 31, cols: 97 },
        joined: true,
      },
      listener,
      scope,
    )
    await program.writeStdin(Buffer.from('hello\n'))
    expect((await program.exited).code).toBe(0)
    expect(said).toContain('31 97')
    expect(said).toContain('<hello>')
  })

  it('is copied while its programs run, and runs on', async () => {
    const listener = { output: () => true }
    const env = { PATH: '/usr/bin:/bin' }
    const program = await branch.guest.start(
      { argv: COUNTER, env, cwd: '/', user: null, terminal: null, joined: false },
      listener,
      scope,
    )
    await shell(branch.guest, 'while ! test -s /count; do sleep 0.1; done')
    branch.program = program
    image = await bench.engine.checkpoint(bench.group, branch, {}, scope)
    const before = Number(await shell(branch.guest, 'cat /count'))
    await shell(branch.guest, 'echo original > /mark')
    await expect
      .poll(async () => Number(await shell(branch.guest, 'cat /count')), { timeout: 30_000 })
      .toBeGreaterThan(before)
  }, 60_000)

  it('has copies that differ in name, time, random numbers and disks, and count on', async () => {
    for (const name of ['one', 'two']) {
      clones.push(await bench.restore(image, name))
    }
    const facts = await Promise.all(
      clones.map(async ({ guest }) => ({
        random: await shell(guest, 'head -c 16 /dev/urandom | od -An -tx1'),
        uuid: await shell(guest, 'cat /proc/sys/kernel/random/uuid'),
        name: await shell(guest, 'hostname'),
        lag: Math.abs(Number(await shell(guest, 'date +%s')) - Date.now() / 1000),
        count: Number(await shell(guest, 'cat /count')),
        mark: await shell(guest, 'cat /mark 2>/dev/null || echo none'),
      })),
    )
    const [one, two] = facts
    expect(one?.random).not.toBe(two?.random)
    expect(one?.uuid).not.toBe(two?.uuid)
    expect(facts.map(({ name }) => name)).toEqual(['one', 'two'])
    for (const { lag, count, mark } of facts) {
      expect(lag).toBeLessThan(10)
      expect(count).toBeGreaterThan(0)
      expect(mark, 'what the original wrote later').toBe('none')
    }
    await shell(clones[0]?.guest as never, 'echo one > /mark; sync')
    expect(await shell(clones[1]?.guest as never, 'cat /mark 2>/dev/null || echo none')).toBe('none')
    expect(await shell(branch.guest, 'cat /mark')).toBe('original')
    const before = Number(await shell(clones[1]?.guest as never, 'cat /count'))
    await expect
      .poll(async () => Number(await shell(clones[1]?.guest as never, 'cat /count')))
      .toBeGreaterThan(before)
  }, 120_000)

  it('has copies of copies, which need nothing of what they came from', async () => {
    const [one, two] = clones as [VmBranch, VmBranch]
    const second = await bench.engine.checkpoint(bench.group, one, {}, scope)
    await image.remove()
    await two[Symbol.asyncDispose]()
    const third = await bench.restore(second, 'third')
    expect(await shell(third.guest, 'hostname; cat /mark')).toBe('third\none')
    const last = await bench.engine.checkpoint(bench.group, third, { stop: true }, scope)
    const fourth = await bench.restore(last, 'fourth')
    expect(await shell(fourth.guest, 'hostname; cat /mark')).toBe('fourth\none')
    expect(await shell(one.guest, 'hostname')).toBe('one')
    expect(readdirSync(bench.group.images).length, 'the first was removed').toBe(2)
    expect(readdirSync(last.directory).filter((name) => name === 'stream')).toEqual([])
  }, 180_000)
})

async function* source(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
