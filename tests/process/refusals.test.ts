import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ProcessImage } from '../../packages/thaw/src/engines/process/image.js'
import { Bench, COUNTER, whyNot, type Watched } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

describe.skipIf(why !== null)('a checkpoint is refused', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  /** The refusal; the program has gone on, and nothing is left. */
  async function refusal(one: Watched): Promise<{ code: string; message: string; hint: string }> {
    const error = await bench.checkpoint(one).then(
      () => null,
      (thrown: unknown) => thrown as { code: string; message: string; hint: string },
    )
    expect(readdirSync(bench.group.images)).toEqual([])
    await one.ask('on\n', 'on')
    if (error === null) throw new Error('it was not refused')
    return error
  }

  const echoing = (first: string) => [
    'python3',
    '-c',
    `${first}\nimport sys\nprint("ready", flush=True)\nfor line in sys.stdin: print(line, end="", flush=True)`,
  ]

  it('for an io_uring ring', async () => {
    const one = await bench.launch(
      echoing(`
import ctypes, os
fd = ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(256))
if fd < 0: print("disabled", flush=True)`),
    )
    await one.prints('ready')
    if (one.stdout.includes('disabled')) return
    const { code, message, hint } = await refusal(one)
    expect(code).toBe('NOT_COPYABLE')
    expect(message).toMatch(
      /^Process \d+ \(python3.*, 1000 in its sandbox\) has an io_uring ring open as descriptor 3\.$/,
    )
    expect(hint).toMatch('UV_USE_IO_URING=0')
  })

  it('for a traced process', async () => {
    const one = await bench.launch(
      echoing(`
import ctypes, os, signal
child = os.fork()
if child == 0:
    ctypes.CDLL(None).ptrace(0, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitpid(child, os.WUNTRACED)`),
    )
    await one.prints('ready')
    expect(await refusal(one)).toMatchObject({
      code: 'NOT_COPYABLE',
      message: expect.stringMatching(
        /\(python3.*, 10\d\d in its sandbox\) is traced by process \d+ \(python3/,
      ),
    })
  })

  it('for a nested pid namespace', async () => {
    const one = await bench.launch(
      echoing(`
import subprocess, time
subprocess.Popen(["unshare", "--user", "--map-root-user", "--pid", "--fork", "sleep", "100"])
time.sleep(.3)`),
    )
    await one.prints('ready')
    expect(await refusal(one)).toMatchObject({
      code: 'NOT_COPYABLE',
      message: expect.stringMatching(/has a \w+ namespace of its own/),
    })
  })

  it.skipIf(!existsSync('/dev/fuse'))('for a device', async () => {
    const one = await bench.launch(echoing(`import os; fd = os.open("/dev/fuse", os.O_RDWR)`))
    await one.prints('ready')
    expect(await refusal(one)).toMatchObject({
      code: 'NOT_COPYABLE',
      message: expect.stringContaining('has a device (/dev/fuse) open as descriptor 3.'),
    })
  })

  it('for a connection to the outside, unless it is to be closed or kept', async () => {
    const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    const one = await bench.launch([
      'python3',
      '-c',
      `
import socket, sys
s = socket.create_connection(("127.0.0.1", ${port}))
print("ready", flush=True)
for line in sys.stdin:
    try: s.send(b"x"); print("sent", line, end="", flush=True)
    except OSError as error: print("broken", line, end="", flush=True)
`,
    ])
    await one.prints('ready')
    const { code, message } = await refusal(one)
    expect([code, message]).toEqual([
      'OUTSIDE_CONNECTION',
      expect.stringMatching(
        new RegExp(`connection from 127\\.0\\.0\\.1:\\d+ to 127\\.0\\.0\\.1:${port} \\(descriptor 3\\)`),
      ),
    ])
    const image = await bench.checkpoint(one, { tcp: 'close' })
    await one.ask('a\n', 'sent a')
    const two = await bench.restore(image)
    await two.ask('b\n', 'broken b')
    server.close()
  })

  it('for a periodic timer with unread ticks, as long as they are unread', async () => {
    const one = await bench.launch([
      'python3',
      '-c',
      `
import ctypes, os, sys
libc = ctypes.CDLL(None); fd = libc.timerfd_create(1, 0)
libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(0, 100_000_000, 0, 100_000_000), None)
os.read(fd, 8); print("ready", flush=True)
for line in sys.stdin:
    libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(100, 0, 0, 1), None); os.read(fd, 8); print(line, end="", flush=True)
`,
    ])
    await one.prints('ready')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await refusal(one)).toMatchObject({
      code: 'CHECKPOINT_REFUSED',
      message: expect.stringMatching(/1000 in its sandbox\) has a periodic timer \(descriptor 3\)/),
    })
    // Its ticks have been read by now.
    const two = await bench.restore(await bench.checkpoint(one))
    await two.ask('again\n', 'again')
  })

  it('when the program has ended', async () => {
    const one = await bench.launch(['true'])
    await one.ended
    await expect(bench.checkpoint(one)).rejects.toMatchObject({ code: 'CHECKPOINT_REFUSED' })
  })

  it.skipIf(process.geteuid?.() !== 0)(
    'when the disk is full; the program lives, and the next one succeeds',
    async () => {
      const small = join(bench.directory, 'small')
      mkdirSync(small)
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', small])
      try {
        await using other = new Bench(join(small, 'images'))
        const one = await other.launch(['python3', '-c', COUNTER])
        await one.prints('ready')
        for (let i = 0; i < 3; i++) {
          await expect(other.checkpoint(one)).rejects.toMatchObject({ code: 'DISK_FULL' })
          expect(readdirSync(other.group.images)).toEqual([])
          await one.ask(`${i}\n`, `${i + 1} ${i}`)
        }
        execFileSync('mount', ['-o', 'remount,size=100m', small])
        const image = await other.checkpoint(one)
        const two = await other.restore(image)
        await two.ask('x\n', '4 x')
      } finally {
        execFileSync('umount', [small])
      }
    },
  )
})

describe.skipIf(why !== null)('an image', () => {
  it('that does not fit, or is damaged, is refused and said why', async () => {
    await using bench = new Bench()
    const one = await bench.launch(['python3', '-c', COUNTER])
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    const file = join(image.directory, 'manifest.json')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace(/"kernel":"[^"]*"/, '"kernel":"2.4.0"'))
    const old = ProcessImage.open(image.directory)
    await expect(bench.restore(old)).rejects.toMatchObject({
      code: 'IMAGE_MISMATCH',
      message: expect.stringMatching(/the kernel was 2\.4\.0, is /),
    })
    const two = await bench.restore(old, { force: true })
    await two.ask('a\n', '1 a')
    writeFileSync(file, text.replace('"format":2', '"format":3'))
    expect(() => ProcessImage.open(image.directory)).toThrow(/format 3/)
    writeFileSync(file, text.slice(0, 100))
    expect(() => ProcessImage.open(image.directory)).toThrow(/cannot be read/)
    writeFileSync(file, text)
    for (const name of readdirSync(join(image.directory, 'criu')))
      if (name.startsWith('pages-')) writeFileSync(join(image.directory, 'criu', name), '')
    await expect(bench.restore(image)).rejects.toMatchObject({ code: 'IMAGE_BROKEN' })
    await one.ask('b\n', '1 b')
  })
})
