import { execFileSync } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, STEPS, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
let server: Server
let posted: string[]
beforeAll(async () => {
  home = new Home({ THAW_FACTOR: '0.5' })
  server = createServer((request, answer) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      posted.push(body)
      answer.end('ok')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  await home[Symbol.asyncDispose]()
  server.closeAllConnections()
  server.close()
})

const client = () => `${STEPS}
import urllib.request
def post():
    with urllib.request.urlopen("http://127.0.0.1:${(server.address() as AddressInfo).port}/", data=b"x") as answer:
        print(answer.read().decode())

def end():
    print("end")

post()
work()
end()
`

it('a post to a server happens each time', async () => {
  posted = []
  const project = new Project(home, 'post')
  project.write('app.py', client())
  for (let n = 1; n <= 2; n++) {
    expect(await project.run(PYTHON)).toMatchObject({ code: 0, stdout: 'a\nb\nc\nok\nend\n' })
    expect(posted).toHaveLength(n)
  }
  project.edit('app.py', 'print("end")', 'print("END")')
  const third = await project.run(PYTHON)
  expect(third).toMatchObject({
    code: 0,
    stdout: 'a\nb\nc\nok\nEND\n',
    report: { outcome: 'resumed', kept_effects: [] },
  })
  expect(posted).toHaveLength(3)
  expect(third.report.reason).toMatch(/has to happen again/)
})

it('with --effects keep, or in thaw.toml, a post happens once, and is named', async () => {
  for (const how of ['flag', 'file']) {
    posted = []
    const project = new Project(home, `keep-${how}`)
    const flags = how === 'flag' ? ['--effects', 'keep'] : []
    if (how === 'file') project.write('thaw.toml', 'effects = "keep"\n')
    project.write('app.py', client())
    expect((await project.run(PYTHON, { flags })).report).toMatchObject({ outcome: 'cold', kept_effects: [] })
    const second = await project.run(PYTHON, { flags })
    expect(second).toMatchObject({ stdout: 'a\nb\nc\nok\nend\n', report: { outcome: 'replayed' } })
    expect(second.report.kept_effects.join()).toMatch(/127\.0\.0\.1/)
    expect(posted).toHaveLength(1)
    project.edit('app.py', 'print("end")', 'print("END")')
    const third = await project.run(PYTHON, { flags })
    expect(third).toMatchObject({ stdout: 'a\nb\nc\nok\nEND\n', report: { outcome: 'resumed' } })
    expect(third.report.kept_effects.join()).toMatch(/127\.0\.0\.1/)
    expect(posted).toHaveLength(1)
  }
})

it('a child process is started again', async () => {
  const project = new Project(home, 'child')
  project.write(
    'app.py',
    `${STEPS}
import subprocess
def count():
    subprocess.run(["sh", "-c", "echo x >> /tmp/$COUNTER; wc -l < /tmp/$COUNTER"], check=True)

count()
work()
def end():
    print("end")
end()
`,
  )
  const env = { COUNTER: `thaw-count-${process.pid}` }
  try {
    const printed = (n: number) => `${n}\na\nb\nc\nend\n`
    for (const n of [1, 2, 3]) {
      const done = await project.run(PYTHON, { env })
      // The child is not held back by Python's buffer.
      expect(done.stdout).toBe(printed(n))
      expect(done.report.outcome).toBe(n === 1 ? 'cold' : 'resumed')
    }
    const kept = await project.run(PYTHON, { env, flags: ['--effects', 'keep'] })
    expect(kept.stdout).toBe(printed(3))
    expect(kept.report.kept_effects.join()).toMatch(/wc -l/)
  } finally {
    execFileSync('rm', ['-f', `/tmp/${env.COUNTER}`])
  }
})

it('a file made by touch in a child is made again', async () => {
  const project = new Project(home, 'touch')
  project.write(
    'app.py',
    `${WORK}\nimport subprocess\nsubprocess.run(["touch", "made"])\nwork()\nprint("x")\n`,
  )
  await project.run(PYTHON)
  execFileSync('rm', [project.path('made')])
  expect((await project.run(PYTHON)).stdout).toBe('x\n')
  expect(project.files()).toHaveProperty('made')
})

it('a child that only asks does not hold a replay back, and its answer is an input', async () => {
  const project = new Project(home, 'git')
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      cwd: project.directory,
      env: home.env,
      encoding: 'utf8',
    })
  git('init', '-q')
  project.write(
    'app.py',
    `${WORK}
import subprocess
work()
def ask():
    print(subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip())
ask()
`,
  )
  git('add', 'app.py')
  git('commit', '-q', '-m', 'one')
  const first = git('rev-parse', 'HEAD')
  expect((await project.run(PYTHON)).stdout).toBe(first)
  expect(await project.run(PYTHON)).toMatchObject({ stdout: first, report: { outcome: 'replayed' } })
  git('commit', '-q', '--allow-empty', '-m', 'two')
  const second = git('rev-parse', 'HEAD')
  expect(second).not.toBe(first)
  const third = await project.run(PYTHON)
  expect(third.stdout).toBe(second)
  expect(third.report.outcome).toBe('resumed')
})

it('a child that nobody announces is one too', async () => {
  const project = new Project(home, 'spawned')
  project.write(
    'app.py',
    `${WORK}
import multiprocessing, os
def count(name):
    with open(name, "a") as file:
        file.write("x")
    return os.path.getsize(name)
def main():
    work()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(count, [os.environ["COUNTER"]]))
if __name__ == "__main__":
    main()
`,
  )
  const env = { COUNTER: `${home.directory}/spawned` }
  for (const n of [1, 2]) expect((await project.run(PYTHON, { env })).stdout).toBe(`[${n}]\n`)
  const kept = await project.run(PYTHON, { env, flags: ['--effects', 'keep'] })
  expect(kept).toMatchObject({ stdout: '[2]\n', report: { outcome: 'replayed' } })
  expect(kept.report.kept_effects.join()).toMatch(/a child process/)
})
