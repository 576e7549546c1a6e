/** Code that is sent to a daemon on another machine: only what has changed travels, nothing that is ignored, and nothing leads out. */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, root } from '../support/home.js'

const MAIN =
  'import lib.words\nHITS = []\ndef get():\n    HITS.append(1)\n    return [lib.words.WORD, len(HITS)]\n'

describe('code on another machine', () => {
  let home: Home
  let api: Api
  let remote: Record<string, string>
  beforeAll(async () => {
    home = new Home()
    api = await Api.start(home)
    // What the client has of its own: no daemon may be found there.
    remote = {
      THAW_URL: api.url,
      THAW_TOKEN: api.token as string,
      THAW_HOME: join(home.directory, 'elsewhere'),
    }
  }, 60_000)
  afterAll(() => home[Symbol.asyncDispose]())

  /** A project, with things that are not to travel. */
  function project(): string {
    const directory = mkdtempSync(join(home.directory, 'client-'))
    const write = (path: string, text: string) => {
      mkdirSync(join(directory, path, '..'), { recursive: true })
      writeFileSync(join(directory, path), text)
    }
    write('pyproject.toml', '')
    write('main.py', MAIN)
    write('lib/words.py', 'WORD = "one"\n')
    write('lib/data.csv', 'x\n'.repeat(50_000))
    write('lib/keep.csv', 'kept\n')
    write('.gitignore', '*.csv\n!keep.csv\n/build/\n')
    write('.thawignore', 'secrets*\n')
    write('build/out.py', '1\n')
    write('secrets.env', 'TOKEN=1\n')
    write('__pycache__/main.cpython-311.pyc', 'x')
    write('.venv/lib/huge.py', 'x')
    symlinkSync('/etc/passwd', join(directory, 'passwd'))
    symlinkSync('words.py', join(directory, 'lib', 'alias.py'))
    return directory
  }
  const SENT = [
    '.gitignore',
    '.thawignore',
    'lib/alias.py',
    'lib/keep.csv',
    'lib/words.py',
    'main.py',
    'pyproject.toml',
  ]
  const trees = (name: string) => {
    const own = join(home.env['THAW_HOME'] as string, 'state', 'services', 'code', name)
    return readdirSync(own).map((key) => join(own, key, 'tree'))
  }
  const filesIn = (directory: string): string[] =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((one) => one.isFile() && !one.parentPath.includes('__pycache__'))
      .map((one) => join(one.parentPath, one.name).slice(directory.length + 1))
      .sort()

  it('travels from the command line', async () => {
    const directory = project()
    const deploy = (...more: string[]) =>
      home.run(['service', 'deploy', 'main.py', '--name', 'cli', '--engine', 'plain', ...more], {
        cwd: directory,
        env: { ...home.env, ...remote },
      })
    const first = await deploy()
    // Two files are equal: their content travels once.
    expect(first).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/sent 6 files, \d+ bytes/) as string,
    })
    expect(trees('cli')).toHaveLength(1)
    const [tree] = trees('cli') as [string]
    expect(filesIn(tree)).toEqual(SENT)
    for (const one of [tree, join(tree, '..'), join(tree, 'lib')]) expect(statSync(one).mode & 0o077).toBe(0)
    expect((await api.post('/v1/services/cli/call/get', [])).json.result).toEqual(['one', 1])
    expect((await deploy()).stderr).toContain('sent 0 files, 0 bytes')
    writeFileSync(join(directory, 'lib', 'words.py'), 'WORD = "two"\n')
    rmSync(join(directory, 'lib', 'keep.csv'))
    expect((await deploy()).stderr).toContain('sent 1 files, 13 bytes')
    expect((await api.post('/v1/services/cli/call/get', [])).json.result).toEqual(['two', 2])
    expect(filesIn(tree)).toEqual(SENT.filter((one) => one !== 'lib/keep.csv'))
    // From another directory it is other code.
    const other = await home.run(['service', 'deploy', 'main.py', '--name', 'cli'], {
      cwd: project(),
      env: { ...home.env, ...remote },
    })
    expect(other).toMatchObject({ code: 125, stderr: expect.stringContaining('SERVICE_EXISTS') as string })
    expect(other.stderr).toContain(join(directory, 'main.py'))
    expect((await home.run(['service', 'rm', 'cli'], { env: { ...home.env, ...remote } })).code).toBe(0)
    expect(existsSync(join(tree, '..', '..'))).toBe(false)
    expect(existsSync(remote['THAW_HOME'] as string)).toBe(false)
  })

  it('travels from Python, with calls too', () => {
    const directory = project()
    writeFileSync(
      join(directory, 'client.py'),
      `
import json, os, sys, thaw, main
remote = thaw.module(main, name="py").to(thaw.Compute(engine="plain"))
sent = [remote.sender.sent]
got = [remote.get()]
with open("lib/words.py", "w") as file: file.write("WORD = 'three'\\n")
got.append(remote.get())
sent.append(remote.sender.sent)
got.append(remote.get())
print(json.dumps([sorted(sent[0]), sent[1], got, "HOME" in remote.show()["compute"]["env"]]))
remote.remove()
`,
    )
    const done = home.shell(`cd "${directory}" && python3 client.py`, {
      ...remote,
      PYTHONPATH: join(root, 'agents', 'python'),
    })
    expect(done.stderr).toBe('')
    const [first, then, got, hasHome] = JSON.parse(done.stdout) as [string[], string[], unknown[], boolean]
    expect(first).toEqual([...SENT, 'client.py'].filter((one) => one !== 'lib/words.py').sort())
    // Another name of the same file.
    expect([then, got, hasHome]).toEqual([
      ['lib/alias.py'],
      [
        ['one', 1],
        ['three', 2],
        ['three', 3],
      ],
      false,
    ])
  })

  it('is refused where a name leads out, or a content is another', async () => {
    const sha256 = createHash('sha256').update('x').digest('hex')
    const put = (files: unknown, name = 'bad') =>
      api.call('PUT', `/v1/services/${name}/code`, { body: { origin: 'here', files } })
    for (const path of ['../x', '/etc/x', 'a/../b', 'a//b', './a', 'a\0b', '', 'a\\b', 'x'.repeat(300)]) {
      const { status, json } = await put([{ path, sha256, bytes: 1 }])
      expect([path, status, json.code]).toEqual([path, 400, 'INVALID_REQUEST'])
    }
    expect(
      (
        await put([
          { path: 'a', sha256, bytes: 1 },
          { path: 'a/b', sha256, bytes: 1 },
        ])
      ).status,
    ).toBe(400)
    expect((await put([{ path: 'a', sha256, bytes: 1e9 }])).status).toBe(400)
    const many = Array.from({ length: 17 }, (_, i) => ({ path: `${i}`, sha256, bytes: 64 * 1024 * 1024 }))
    expect(await put(many)).toMatchObject({ status: 413, json: { code: 'PAYLOAD_TOO_LARGE' } })
    expect((await put([], '..%2f..')).status).toBe(400)
    expect((await put([{ path: 'a', sha256, bytes: 1 }])).json.missing).toEqual([sha256])
    const send = (body: string) =>
      api.call('PUT', `/v1/services/bad/code/${sha256}`, {
        body,
        headers: { 'content-type': 'application/octet-stream', 'content-length': String(body.length) },
      })
    expect(await send('other')).toMatchObject({ status: 400, json: { code: 'INVALID_REQUEST' } })
    expect((await send('x')).status).toBe(204)
    const { json } = await put([{ path: 'a', sha256, bytes: 1 }])
    expect(json.missing).toEqual([])
    expect(filesIn(json.root)).toEqual(['a'])
  })
})
