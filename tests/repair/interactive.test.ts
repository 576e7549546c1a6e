import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RepairReport } from '@thaw/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home, root } from '../support/home.js'
import { Project } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

const FAULTY = `import time

def price(item):
    wanted = item["name"].upper()
    return {"TEA": 3}[wanted]

time.sleep(0.3)
for name in ("tea", "bread"):
    print(price({"name": name}), flush=True)
`

it('opens an editor at the failure, with pdb on the frozen frames', async () => {
  const project = new Project(home, 'editor')
  project.write('thaw.toml', '')
  project.write('job.py', FAULTY)
  const looked = join(home.directory, 'looked')
  // Looks around in the frozen frames, as a person would beside the editor, and edits what it is given.
  const editor = home.write(
    'editor.sh',
    `#!/bin/sh
printf 'p wanted\\nup\\np name\\nq\\n' | ${process.execPath} ${join(root, 'packages/thaw/bin/thaw.js')} resume -q "$THAW_FAILURE" > ${looked} 2>&1
echo "$1 $2" >> ${looked}
sed -i 's/{"TEA": 3}/{"TEA": 3, "BREAD": 4}/' "$2"
`,
  )
  const file = join(home.directory, 'report.json')
  const done = await home.run(['repair', '-i', '--report', file, 'job.py'], {
    cwd: project.directory,
    env: { EDITOR: `sh ${editor}` },
  })
  expect(done, done.stderr).toMatchObject({ code: 0, stdout: '3\n4\n' })
  const text = readFileSync(looked, 'utf8')
  expect(text).toMatch(/\(Pdb\) 'BREAD'/)
  expect(text).toMatch(/\(Pdb\) 'bread'/)
  expect(text).toMatch(/\+5 .*job\.py\n$/)
  expect(project.read('job.py')).toContain('"BREAD": 4')
  expect((JSON.parse(readFileSync(file, 'utf8')) as RepairReport).outcome).toBe('repaired')
}, 60_000)

it('ends where the person gives up, with the files as before', async () => {
  const project = new Project(home, 'gives-up')
  project.write('thaw.toml', '')
  project.write('job.py', FAULTY)
  const done = await home.run(['repair', '-i', 'job.py'], {
    cwd: project.directory,
    env: { EDITOR: 'false' },
  })
  expect(done.code).toBe(1)
  expect(done.stderr).toMatch(/The repairer gave up/)
  expect(project.read('job.py')).toBe(FAULTY)
}, 60_000)

it('takes checkpoints before the calls that are named', async () => {
  const project = new Project(home, 'at')
  project.write('thaw.toml', '')
  project.write(
    'job.py',
    `def step(n):\n    return 10 // (3 - n)\n\nfor n in range(5):\n    print(step(n), flush=True)\n`,
  )
  const kept = join(home.directory, 'kept.json')
  const options = [
    '--hot',
    '--at',
    'job.py:step',
    '--with',
    `cat > ${kept}; sed -i 's|(3 - n)|(5 - n)|' job.py`,
  ]
  const done = await home.run(['repair', ...options, 'job.py'], { cwd: project.directory })
  // From the moment before the failing call: what three calls have printed stays as it was.
  expect(done, done.stderr).toMatchObject({ code: 0, stdout: '3\n5\n10\n5\n10\n' })
  const { checkpoints } = JSON.parse(readFileSync(kept, 'utf8')) as { checkpoints: { before: string }[] }
  expect(checkpoints.filter(({ before }) => before.startsWith('step()'))).toHaveLength(4)
}, 60_000)
