/** One machine and its clones, over the stand-in: each request of theirs is checked against Firecracker's description. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ThawError } from '../../../packages/thaw/src/system/index.js'
import { Bench, Guest, soon } from './bench.js'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(async () => {
  await bench.nothingRuns()
  bench[Symbol.dispose]()
})

async function refusal(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = ThawError.from(
    await promise.then(
      () => expect.unreachable(),
      (cause: unknown) => cause,
    ),
  )
  return { code: error.code, message: error.message }
}

it('boots, is spoken to, saves, goes on, and comes back as clones that are apart', async () => {
  const monitor = bench.monitor()
  const spec = bench.spec()
  await using machine = await monitor.start(spec, soon())
  const guest = new Guest(machine)
  await guest.says('guest fresh base\n')
  await guest.echoes('hello')
  expect(machine.said()).toContain('the guest boots')

  await machine.pause(soon())
  const snapshot = bench.empty()
  await machine.save(snapshot, { stop: false }, soon())
  expect(readdirSync(snapshot).sort()).toEqual(['disk', 'memory', 'state'])
  // Its connection ended before the snapshot; what is written meanwhile waits for the next.
  machine.channel.write('after the snapshot')
  await machine.resume(soon())
  await guest.says('after the snapshot')

  const clones = await Promise.all(
    [1, 2, 3].map(() => monitor.restore({ shape: spec.shape, snapshot, directory: bench.empty() }, soon())),
  )
  try {
    for (const [n, clone] of clones.entries()) {
      const told = new Guest(clone)
      expect(told.said).toBe('')
      await clone.resume(soon())
      await told.says('guest fresh+ base\n')
      await told.echoes(`clone ${n}`)
    }
  } finally {
    await Promise.all(clones.map((clone) => clone[Symbol.asyncDispose]()))
  }
  await guest.echoes('the first goes on')
})

it('a clone of a clone leaves what it was made from as it was', async () => {
  const monitor = bench.monitor()
  const spec = bench.spec()
  const [first, second] = [bench.empty(), bench.empty()]
  {
    await using machine = await monitor.start(spec, soon())
    await machine.pause(soon())
    await machine.save(first, { stop: true }, soon())
    expect((await machine.exited).signal ?? 'ended').toBeTruthy()
  }
  const before = ['memory', 'state', 'disk'].map((name) => readFileSync(join(first, name), 'utf8'))
  const directory = bench.empty()
  {
    await using clone = await monitor.restore({ shape: spec.shape, snapshot: first, directory }, soon())
    writeFileSync(join(directory, 'disk'), 'written by the clone')
    await clone.save(second, { stop: false }, soon())
  }
  expect(['memory', 'state', 'disk'].map((name) => readFileSync(join(first, name), 'utf8'))).toEqual(before)
  expect(readFileSync(spec.disk, 'utf8')).toBe('base')
  await using third = await monitor.restore(
    { shape: spec.shape, snapshot: second, directory: bench.empty() },
    soon(),
  )
  await third.resume(soon())
  await new Guest(third).says('guest fresh++ written by the clone\n')
})

it('takes its sockets along when it ends, and leaves its disk to the snapshot', async () => {
  const spec = bench.spec()
  const snapshot = bench.empty()
  await using machine = await bench.monitor().start(spec, soon())
  await machine.pause(soon())
  await machine.save(snapshot, { stop: true }, soon())
  expect(statSync(join(snapshot, 'disk')).ino).toBe(statSync(join(spec.directory, 'disk')).ino)
  expect(readdirSync(spec.directory).sort()).toEqual(['disk', 'initrd', 'kernel'])
})

it.each([
  [
    'PUT /machine-config=refuse',
    'ENGINE_FAILED',
    /refused PUT \/machine-config: the stand-in was told to refuse/,
  ],
  ['PUT /actions=refuse', 'ENGINE_FAILED', /refused PUT \/actions/],
  ['PUT /drives/disk=die', 'ENGINE_FAILED', /it ended \(exit code 1\)[^]*told to die/],
  [
    'PUT /actions=die',
    'ENGINE_FAILED',
    /Its last words:\nFirecracker exiting with error: the stand-in was told to die/,
  ],
  ['GET /=malformed', 'ENGINE_FAILED', /answer to GET \/ is malformed/],
  ['PUT /vsock=hang', 'TIMEOUT', /PUT \/vsock/, 5000],
  ['socket=never', 'TIMEOUT', /socket of Firecracker/, 2000],
  ['socket=die', 'ENGINE_FAILED', /did not start: it ended \(exit code 1\)[^]*told to fail/],
])('a start that fails says why and leaves nothing: %s', async (told, code, message, ms = 30_000) => {
  const spec = bench.spec()
  const failed = await refusal(bench.monitor({ STAND_IN: told }).start(spec, soon(ms)))
  expect(failed).toEqual({ code, message: expect.stringMatching(message) as string })
  await bench.nothingRuns()
  expect(readdirSync(spec.directory).sort()).toEqual(['disk', 'initrd', 'kernel'])
})

it('a snapshot that fails halfway leaves the machine paused, able to go on', async () => {
  const spec = bench.spec()
  await using machine = await bench.monitor({ STAND_IN: 'halfway=refuse' }).start(spec, soon())
  const guest = new Guest(machine)
  await guest.says('guest fresh')
  await machine.pause(soon())
  const snapshot = bench.empty()
  expect(await refusal(machine.save(snapshot, { stop: true }, soon()))).toMatchObject({ code: 'DISK_FULL' })
  expect(readdirSync(spec.directory).sort()).toEqual(['agent.sock', 'api.sock', 'disk', 'initrd', 'kernel'])
  await machine.resume(soon())
  await guest.echoes('it goes on')
})

it('a process that dies halfway through a snapshot is told with its words', async () => {
  await using machine = await bench.monitor({ STAND_IN: 'halfway=die' }).start(bench.spec(), soon())
  await machine.pause(soon())
  const snapshot = bench.empty()
  const failed = await refusal(machine.save(snapshot, { stop: false }, soon()))
  expect(failed).toMatchObject({
    code: 'ENGINE_FAILED',
    message: expect.stringMatching(/told to die halfway/) as string,
  })
  expect((await machine.exited).code).toBe(1)
  expect(machine.channel.destroyed).toBe(true)
})

it('a load that the process does not survive is told with its words', async () => {
  const spec = bench.spec()
  const snapshot = bench.empty()
  {
    await using machine = await bench.monitor().start(spec, soon())
    await machine.pause(soon())
    await machine.save(snapshot, { stop: true }, soon())
  }
  const state = readFileSync(join(snapshot, 'state'), 'utf8')
  writeFileSync(
    join(snapshot, 'state'),
    state.replace('"disk"', '"disc"').replace('"path_on_host":"disk"', '"path_on_host":"disc"'),
  )
  const failed = await refusal(
    bench.monitor().restore({ shape: spec.shape, snapshot, directory: bench.empty() }, soon()),
  )
  expect(failed).toEqual({
    code: 'ENGINE_FAILED',
    message: expect.stringMatching(/refused PUT \/snapshot\/load: .*disc: No such file/) as string,
  })
})

it('ends with whoever cancels its start', async () => {
  const cancelled = new AbortController()
  const scope = { ...soon(), signal: cancelled.signal }
  const started = refusal(bench.monitor({ STAND_IN: 'PUT /entropy=hang' }).start(bench.spec(), scope))
  setTimeout(() => cancelled.abort(), 500)
  expect(await started).toMatchObject({ code: 'CANCELLED' })
})
