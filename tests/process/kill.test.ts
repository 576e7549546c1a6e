import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ProcessGroup } from '../../packages/thaw/src/engines/process/group.js'
import { ProcessImage } from '../../packages/thaw/src/engines/process/image.js'
import { silentLog } from '../../packages/thaw/src/system/index.js'
import { bundle } from '../support/bundle.js'
import { until } from '../support/home.js'
import { moments } from '../support/moments.js'
import { Bench, remains, sandboxMounts, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

describe.skipIf(why !== null)('kill -9 of the daemon', () => {
  let built: Awaited<ReturnType<typeof bundle>>
  beforeAll(async () => {
    built = await bundle('tests/process/victim.ts')
  })
  afterAll(() => built[Symbol.dispose]())

  it.each(
    ['launch', 'checkpoint', 'restore', 'discard'].flatMap((step) =>
      moments(10, 1, 60).map((delay) => ({ step, delay })),
    ),
  )('during $step, after $delay ms: nothing lives, nothing half is offered', async ({ step, delay }) => {
    const mounts = sandboxMounts()
    const victim = spawn(process.execPath, [built.program], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    victim.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = new Promise((resolve) => victim.once('close', resolve))
    // Its second round, so that an image from before is there.
    await until(
      `${step} in the second round`,
      () => said.slice(said.indexOf('kept ')).includes(`\n${step}\n`),
      30,
    )
    const kept = /kept (\S+)/.exec(said)?.[1] as string
    const directory = /directory (\S+)/.exec(said)?.[1] as string
    const tree = below(victim.pid as number)
    expect(tree.length).toBeGreaterThan(step === 'launch' ? 0 : 5)
    await new Promise((resolve) => setTimeout(resolve, delay))
    victim.kill('SIGKILL')
    await ended
    try {
      await until('all processes are gone', () => remains('/', victim.pid).sandboxes.length === 0)
      await until('the whole tree is gone', () => tree.every((pid) => !existsSync(`/proc/${pid}`)))
      // Those of tests that run beside may come and go.
      await until('no mount is left', () => sandboxMounts() <= mounts)
      // The next daemon's first look.
      await using group = ProcessGroup.open(join(directory, 'images'), join(directory, 'work'), silentLog)
      expect(readdirSync(group.work)).toEqual([])
      for (const name of readdirSync(group.images)) ProcessImage.open(join(group.images, name)).check()
      await using bench = new Bench()
      mkdirSync(join(directory, 'project'), { recursive: true })
      const again = await bench.restore(ProcessImage.open(kept))
      await again.ask('b\n', '2 b')
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})

/** All descendants. */
function below(pid: number): number[] {
  const found: number[] = []
  const walk = (parent: number) => {
    for (const task of list(`/proc/${parent}/task`)) {
      for (const child of read(`/proc/${parent}/task/${task}/children`).trim().split(/\s+/).filter(Boolean)) {
        found.push(Number(child))
        walk(Number(child))
      }
    }
  }
  walk(pid)
  return found
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
