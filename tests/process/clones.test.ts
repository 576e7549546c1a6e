import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { root } from '../support/home.js'
import { Bench, whyNot, type Watched } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

describe.skipIf(why !== null)('clones of one checkpoint', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  const drawn = async (one: Watched) => {
    await one.ask('\n', 'drew')
    return one.stdout
  }
  const example = (name: string) => join(root, 'examples', 'clones', name)

  it.each([
    ['bash', 'draw.bash', '/usr/bin/bash'],
    ['perl', 'draw.pl', '/usr/bin/perl'],
    [process.execPath, 'draw.mjs', process.execPath],
  ])(
    'draw the same random numbers, unless they ask which branch they are: %s',
    async (program, name, path) => {
      if (!existsSync(path)) return console.warn(`skipped: there is no ${path}`)
      const seeding = await bench.launch([program, example(name)], {
        env: { PATH: '/usr/bin:/bin', UV_USE_IO_URING: '0' },
      })
      await seeding.prints('ready')
      const image = await bench.checkpoint(seeding)
      const [one, two] = await Promise.all([bench.restore(image), bench.restore(image)])
      expect(await drawn(one)).not.toBe(await drawn(two))
    },
  )

  it.each([
    ['perl', '-e', '$| = 1; srand(1); print "ready\\n"; while (<STDIN>) { printf "drew %.12f\\n", rand() }'],
    // OpenSSL's generator: keys, too.
    [
      'node',
      '-e',
      'const { randomUUID } = require("crypto"); randomUUID(); console.log("ready");' +
        'process.stdin.on("data", () => console.log("drew", randomUUID()))',
    ],
  ])('that do not ask draw the same: %s', async (...argv) => {
    const env = { PATH: process.env['PATH'] ?? '', UV_USE_IO_URING: '0' }
    const plain = await bench.launch(argv, { env })
    await plain.prints('ready')
    const image = await bench.checkpoint(plain)
    const [one, two] = await Promise.all([bench.restore(image), bench.restore(image)])
    expect(await drawn(one)).toBe(await drawn(two))
  })

  it('find in /run/thaw/branch who they are, also through a descriptor from before', async () => {
    const one = await bench.launch([
      'bash',
      '-c',
      'exec 5</run/thaw/branch; read id number <&5; echo "I am $id, number $number."; ' +
        'while read x; do read id number < /dev/fd/5; echo "I am $id, number $number."; done',
    ])
    await one.prints('I am b_1, number 0.')
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image, { number: 7 })
    await two.ask('\n', 'I am b_2, number 7.')
    const three = await bench.restore(await bench.checkpoint(two), { number: 8 })
    await three.ask('\n', 'I am b_3, number 8.')
  })

  it('agree in pids, host name, environment and monotonic clock, not in the wall clock', async () => {
    const program = join(bench.project, 'facts.py')
    writeFileSync(
      program,
      'import os, socket, sys, time\n' +
        'started = time.monotonic()\nprint("ready", flush=True)\n' +
        'for line in sys.stdin:\n' +
        '    print(os.getpid(), socket.gethostname(), os.environ["MARK"], round(time.monotonic() - started), "wall", time.time(), flush=True)\n',
    )
    const one = await bench.launch(['python3', program], {
      env: { PATH: process.env['PATH'] ?? '', MARK: 'm' },
    })
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    const clones = await Promise.all([bench.restore(image), bench.restore(image)])
    const told = []
    for (const clone of clones) {
      await clone.ask('\n', 'wall')
      told.push(clone.stdout.trim().split(' wall '))
    }
    expect(told[0]?.[0]).toBe(told[1]?.[0])
    expect(told[0]?.[0]).toMatch(/^1000 \S+ m [01]$/)
    for (const [, wall] of told) expect(Math.abs(Number(wall) - Date.now() / 1000)).toBeLessThan(30)
  })
})
