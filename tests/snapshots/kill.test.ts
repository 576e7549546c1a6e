/** kill -9 of a whole daemon, and a full disk: nothing lost, half offered, left over. Each state and step: killed.test.ts. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Instance, Pool, Snapshot } from '@thaw/protocol'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { remains, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/snapshots/kill.test.ts is skipped: ${why}`)

const PROGRAM = `
import socket
held = b"x" * 30_000_000
s = socket.socket(); s.bind(("127.0.0.1", 7000)); s.listen()
while True: s.accept()[0].close()
`

describe.skipIf(why !== null)('kill -9 of the daemon', () => {
  let home: Home
  beforeEach(() => make())
  afterEach(() => home[Symbol.asyncDispose]())

  function make(env: Record<string, string> = {}): void {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_SNAPSHOT_AUTO: '0', ...env })
    home.write('program.py', PROGRAM)
  }
  const image = async (more: object = {}) => {
    const command = ['python3', '-B', 'program.py']
    const readiness = { port: 7000 }
    const definition = { kind: 'directory', name: 'it', path: home.project, command, readiness, ...more }
    const done = await home.run(['image', 'create', home.write('image.json', JSON.stringify(definition))])
    expect(done.stderr).toBe('')
  }
  const state = () => join(home.env['THAW_HOME'] as string, 'state')
  const list = () => home.json<Snapshot[]>(['snapshot', 'ls'])
  const show = () => home.json<Snapshot>(['snapshot', 'show', 'web'])
  /** Ends the daemon, waits until all of it has gone, and starts the next. */
  const daemon = async () => (await home.json<{ pid: number }>(['daemon', 'status'])).pid
  const kill = async (pid: number) => {
    process.kill(pid, 'SIGKILL')
    await until('its sandboxes are gone', () => remains('/tmp', pid).sandboxes.length === 0)
    expect((await home.run(['daemon', 'start'])).code).toBe(0)
  }
  /** Kills it when a build comes to a step. */
  const killAt = async (step: string, args: string[]) => {
    const pid = await daemon()
    const build = home.start(args)
    await until(`the step ${step}`, () => build.text('stderr').includes(`${step}: `), 20)
    await kill(pid)
    // It may have been whole a moment before.
    expect([0, 125]).toContain((await build.ended).code)
  }
  const expectWhole = async () => {
    await until('it is ready', async () => (await show()).state === 'ready', 30)
    const { path } = await show()
    expect(readdirSync(join(state(), 'snapshots'))).toEqual([path?.split('/').at(-1)])
    expect(readdirSync(join(state(), 'building'))).toEqual([])
    expect((await home.run(['snapshot', 'verify', 'web'])).code).toBe(0)
  }

  it('in a build', async () => {
    await image()
    await killAt('checkpoint', ['snapshot', 'create', 'it', '--name', 'web'])
    // What was interrupted is begun again by itself.
    await expectWhole()
    expect(await list()).toHaveLength(1)
  })

  it('with a pool that is full, and one that was taken', async () => {
    await image()
    expect((await home.run(['snapshot', 'create', 'it', '--name', 'web'])).code).toBe(0)
    expect(await home.json<Pool>(['pool', 'create', 'web', '--size', '2', '--name', 'p'])).toMatchObject({
      ready: 2,
    })
    const taken = await home.json<Instance>(['pool', 'take', 'p'])
    expect(taken.boot_method).toBe('pool')
    await kill(await daemon())
    const pool = () => home.json<Pool>(['pool', 'show', 'p'])
    await until('it is filled', async () => (await pool()).ready === 2)
    expect(await home.json(['instance', 'show', taken.id])).toMatchObject({
      state: 'failed',
      reason: 'its daemon was killed',
    })
    // While it is being filled, too.
    await home.run(['pool', 'resize', 'p', '6'])
    await kill(await daemon())
    await until('it is filled', async () => (await pool()).ready === 6, 20)
    expect((await home.json<Instance>(['pool', 'take', 'p'])).boot_method).toBe('pool')
    await expectWhole()
  })

  it.skipIf(process.getuid?.() !== 0)('a disk that is full in a build leaves nothing', async () => {
    const small = mkdtempSync(join(tmpdir(), 'thaw-small-'))
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=700', 'thaw-test', small]).status).toBe(0)
    try {
      await home[Symbol.asyncDispose]()
      make({ THAW_SNAPSHOT_PATH: small })
      await image()
      const done = await home.run(['snapshot', 'create', 'it', '--name', 'web'])
      expect(done.code).toBe(125)
      expect(done.stderr).toMatch(/disk is full/i)
      const [directory = ''] = readdirSync(small).sort()
      // The rebuild that it tries by itself meets the same.
      await until('nothing is left', async () => {
        const { step, rebuild_at } = await show()
        return step === null && rebuild_at !== null && readdirSync(join(small, directory)).length === 0
      })
      expect(await show()).toMatchObject({ state: 'unhealthy', path: null })
      const cold = await home.json<Instance>(['instance', 'create', 'it'])
      expect(cold).toMatchObject({ boot_method: 'cold', state: 'ready' })
    } finally {
      await home.run(['daemon', 'stop', '--force'])
      spawnSync('umount', [small])
      rmSync(small, { recursive: true, force: true })
    }
  })
})
