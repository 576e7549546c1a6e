import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ProcessImage } from '../../packages/thaw/src/engines/process/image.js'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { moments } from '../support/moments.js'
import { Project } from '../support/project.js'
import { remains, sandboxMounts, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/process/kill-daemon.test.ts is skipped: ${why}`)

const COUNT = 'for i in 1 2 3 4 5 6; do echo "line $i"; sleep 0.2; done\n'
/**
 * What is asked of the daemon when it is killed, after how long (milliseconds from when the command line may have come to
 * it), and whether the checkpoint may be gone then.
 */
const STEPS: {
  step: string
  after: number[]
  args: (about: { run: string; id: string }) => string[]
  mayGo?: true
}[] = [
  { step: 'run', after: [60], args: () => ['run', '--engine', 'process', 'sh', 'count.sh'] },
  { step: 'stop', after: [150], args: () => ['run', '--break-output', 'line 1', 'sh', 'count.sh'] },
  { step: 'resume', after: moments(60, 0, 150), args: ({ id }) => ['resume', id] },
  { step: 'resume -n', after: [60], args: ({ id }) => ['resume', '-n', '3', id] },
  { step: 'verify', after: [150], args: ({ run }) => ['verify', run] },
  { step: 'gc', after: [20], args: () => ['gc'] },
  {
    step: 'rm of the checkpoint',
    after: moments(20, 0),
    args: ({ id }) => ['rm', '--cascade', id],
    mayGo: true,
  },
  { step: 'rm of the run', after: moments(0, 20), args: ({ run }) => ['rm', '--force', run], mayGo: true },
]

describe.skipIf(why !== null)('kill -9 of the daemon', () => {
  let home: Home
  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  })
  afterAll(() => home[Symbol.asyncDispose]())

  let projects = 0

  it.each(STEPS.flatMap((one) => one.after.map((delay) => ({ ...one, delay }))))(
    'during $step, $delay ms after it was asked for: nothing is left, nothing half is offered',
    async ({ args, mayGo, delay }) => {
      const project = new Project(home, `p${++projects}`)
      project.write('thaw.toml', '')
      project.write('count.sh', COUNT)
      const flags = ['--break-output', 'line 3']
      const { report } = await project.run(['sh', 'count.sh'], { flags })
      const id = report.checkpoint?.id ?? ''
      // Something to verify, and to be kept beside.
      // The program may have printed more than the line it was to stop at, before it stood still.
      const { code, stdout: rest } = await project.resume([id])
      expect({ code, rest }).toMatchObject({
        code: 0,
        rest: expect.stringMatching(/^(line 4\n)?(line 5\n)?line 6\n$/) as string,
      })
      const mountsBefore = sandboxMounts()
      const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
      const asked = home.start(args({ run: report.run, id }), { cwd: project.directory })
      // The command line takes a while to come to the daemon.
      await new Promise((resolve) => setTimeout(resolve, 80 + delay))
      process.kill(pid, 'SIGKILL')
      await asked.ended
      await until('all sandboxes are gone', () => remains('/', pid).sandboxes.length === 0)
      // Those of tests that run beside may come and go.
      await until('no mount is left', () => sandboxMounts() <= mountsBefore)

      // The next daemon's.
      await home.run(['gc'])
      const directory = join(home.directory, 'home', 'state', 'runs', report.run)
      const images = list(join(directory, 'images'))
      for (const name of images) ProcessImage.open(join(directory, 'images', name)).check()
      const again = await project.resume([id])
      if (mayGo === true && again.code === 125) {
        expect(again.stderr).toMatch(/CHECKPOINT_GONE|CHECKPOINT_NOT_FOUND/)
        expect(images).toEqual([])
      } else {
        expect(again).toMatchObject({ code: 0, stdout: rest })
        await until('the directories of branches are gone', () => list(join(directory, 'work')).length === 0)
        const { checkpoints } = await project.tree(report.run)
        expect(images).toHaveLength(checkpoints.filter(({ state }) => state === 'parked').length)
      }
      expect(list(join(home.directory, 'home', 'state', 'verify'))).toEqual([])
    },
  )
})

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : []
}
