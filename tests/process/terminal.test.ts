import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../support/home.js'
import { Bench, TERMINAL, whyNot, type Watched } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

const firstOf = (...paths: string[]) => paths.find((path) => existsSync(path))
const PROGRAMS = {
  less: firstOf('/usr/bin/less', '/bin/less'),
  vim: firstOf('/usr/bin/vim.tiny', '/usr/bin/vim'),
  top: firstOf('/usr/bin/top'),
}
for (const [name, path] of Object.entries(PROGRAMS))
  if (path === undefined) console.warn(`tests/process/terminal.test.ts: skipped in part, there is no ${name}`)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.skipIf(why !== null)('a program at a terminal', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  const env = { PATH: process.env['PATH'] ?? '', TERM: 'xterm', HOME: '/nonexistent' }
  const launch = (...argv: string[]) => bench.launch(argv, { streams: TERMINAL, env })
  const again = async (one: Watched) => bench.restore(await bench.checkpoint(one), { streams: TERMINAL })
  const times = (text: string, part: string) => text.split(part).length - 1

  it('gets what was typed and not read, lines and a part of one, and it is not shown twice', async () => {
    const one = await launch('sh', '-c', 'trap go=1 USR1; while [ -z "$go" ]; do sleep 0.05; done; cat')
    await pause(300)
    await one.type('ahead one\nahead two\npar')
    await pause(300)
    const before = one.stdout
    const image = await bench.checkpoint(one)
    // Standing still and reading what waits has shown nothing.
    expect(one.stdout).toBe(before)
    const clones = [one, await bench.restore(image, { streams: TERMINAL })]
    for (const two of clones) {
      const from = two === one ? before.length : 0
      await two.branch.signal('SIGUSR1')
      await until('cat has repeated both lines', () => two.stdout.slice(from).includes('ahead two\r\n'))
      await two.type('tial\n')
      await until('the rest', () => two.stdout.slice(from).includes('partial\r\n'))
      // The shell tells how its sleep was ended.
      const shown = two.stdout
        .slice(from)
        .replaceAll('\r', '')
        .replace(/^User defined.*\n/, '')
      expect(shown).toBe('ahead one\nahead two\ntial\npartial\n')
      await two.type('\x04')
      expect(await two.ended).toMatchObject({ code: 0 })
    }
  })

  it('gets what was typed in a mode of its own, and keeps that mode', async () => {
    const program = join(bench.project, 'keys.py')
    writeFileSync(
      program,
      'import os, signal, termios, time, tty\n' +
        'go = []\nsignal.signal(signal.SIGUSR1, lambda *_: go.append(1))\n' +
        'tty.setraw(0)\nprint("ready", end="", flush=True)\n' +
        'while not go: time.sleep(.01)\n' +
        'read = b""\nwhile not read.endswith(b"q"): read += os.read(0, 100)\n' +
        'print(read, termios.tcgetattr(0)[3] & (termios.ICANON | termios.ECHO | termios.ISIG), "end", flush=True)\n',
    )
    const one = await launch('python3', program)
    await one.prints('ready')
    // As a user would: ^C, ^D, a return and an escape sequence are keys like others.
    await one.type('a\x03\x04\r\x1b[A\x00z')
    await pause(200)
    const two = await again(one)
    const three = await again(two)
    for (const each of [one, two, three]) {
      await each.branch.signal('SIGUSR1')
      await each.ask('q', 'end')
      expect(each.stdout).toContain(String.raw`b'a\x03\x04\r\x1b[A\x00zq' 0 end`)
    }
  })

  it('edits lines as before, with what it remembers of them', async () => {
    const one = await launch('python3', '-q', '-i', '-c', 'import readline')
    await one.ask('x = 40 + 1\n', '>>> ')
    await one.ask('print("sum", x)\n', 'sum 41')
    await one.type('x += ')
    await pause(200)
    for (const two of [await again(one), await again(one)]) {
      // The line that was begun goes on; the keys for up and return repeat the one before it.
      await two.type('1\n')
      await pause(100)
      await two.ask('\x1b[A\x1b[A\n', 'sum 42')
    }
  })

  it.skipIf(PROGRAMS.less === undefined)('fills the screen: less', async () => {
    const lines = Array.from({ length: 300 }, (_, i) => `line number ${i + 1}`)
    writeFileSync(join(bench.project, 'text'), `${lines.join('\n')}\n`)
    const one = await launch(PROGRAMS.less ?? '', 'text')
    await one.prints('line number 20')
    const two = await again(one)
    await two.ask('G', 'line number 300')
    await two.branch.resize({ rows: 10, cols: 40 })
    await until('it is shown anew', () => two.stdout.split('number 278').length > 2)
    await pause(300)
    await two.ask('g', 'line number 1\r\n')
    await two.type('q')
    expect(await two.ended).toMatchObject({ code: 0 })
  })

  it.skipIf(PROGRAMS.vim === undefined)('fills the screen: vim', async () => {
    const one = await launch(PROGRAMS.vim ?? '', '-u', 'NONE', '-n', 'text')
    await one.prints('text')
    await one.type('ifirst')
    await pause(300)
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image, { streams: TERMINAL, view: 'shared' })
    await two.type(' second\x1b:wq\n')
    expect(await two.ended).toMatchObject({ code: 0 })
    expect(readFileSync(join(bench.project, 'text'), 'utf8')).toBe('first second\n')
  })

  it.skipIf(PROGRAMS.top === undefined)('fills the screen: top', async () => {
    const one = await launch(PROGRAMS.top ?? '', '-d', '0.3')
    await one.prints('load average')
    const two = await again(one)
    await until('it goes on', () => times(two.stdout, 'load average') > 1)
    await two.type('q')
    expect(await two.ended).toMatchObject({ code: 0 })
    expect(times(one.stdout, 'load average')).toBeGreaterThan(0)
  })
})
