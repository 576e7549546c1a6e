import { spawnSync } from 'node:child_process'
import { build } from 'esbuild'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, root } from '../support/home.js'

const PROGRAM =
  'import time\n\n\ndef load():\n    time.sleep(0.4)\n    return 2\n\n\ndef report(n):\n    print("n", n)\n\n\nreport(load())\n'

let home: Home
let api: Api
beforeAll(async () => {
  home = new Home({ THAW_FACTOR: '1' })
  api = await Api.start(home)
})
afterAll(() => home[Symbol.asyncDispose]())

/** The examples in their order, as one program, for either client. */
function programOf(readme: string): string {
  const [viaSocket = '', viaHttp = '', ...rest] = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(
    ([, code]) => code ?? '',
  )
  const imports = /^import .*$/gm
  const inner = (code: string) => code.replace(imports, '')
  const url = `http://127.0.0.1:${api.port}`
  return `
${[viaSocket, viaHttp].flatMap((code) => code.match(imports) ?? []).join('\n')}
import { ThawError } from '@thaw/sdk'
import { writeFile } from 'node:fs/promises'
const [socketPath, cwd, token, edited] = process.argv.slice(2)
{ ${inner(viaSocket)} }
{ ${inner(viaHttp).replace('http://127.0.0.1:18080', url)} }
for (const thaw of [new NodeClient(socketPath), new Client(fetchTransport('${url}', token))]) {
  await writeFile(\`\${cwd}/app.py\`, edited.replace('"N"', '"n"'))
  for (const { id } of await thaw.runs.list()) await thaw.runs.remove(id, { force: true, cascade: true })
${rest.join('\n')}
}
`
}

/** What a program made of an example prints. */
async function output(contents: string, args: readonly string[]): Promise<string> {
  const outfile = join(home.directory, 'examples.mjs')
  await build({
    stdin: { contents, resolveDir: join(root, 'tests', 'sdk'), loader: 'ts' },
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['thaw-source'],
    logLevel: 'silent',
  })
  const done = spawnSync(process.execPath, [outfile, ...args], {
    env: home.env,
    encoding: 'utf8',
    timeout: 50_000,
  })
  expect(done.stderr).toBe('')
  return done.stdout
}

it('its examples do what they say, over the socket and over HTTP', async () => {
  home.write('app.py', PROGRAM)
  const readme = readFileSync(join(root, 'packages', 'sdk', 'README.md'), 'utf8')
  const socket = join(home.env['THAW_HOME'] as string, 'run', 'daemon.sock')
  const edited = PROGRAM.replace('"n"', '"N"')
  const printed = await output(programOf(readme), [socket, home.project, api.token ?? '', edited])
  const each = [
    'n 2',
    'cold 0',
    'resumed report',
    '0',
    '0',
    '0',
    '0',
    'true',
    '`thaw ls` shows what exists.',
    'true',
  ]
  expect(printed.trim().split('\n')).toEqual(['v1', '0', ...each, ...each])
})

it('its example of a repair does what it says', async () => {
  home.write('thaw.toml', '')
  home.write('faulty.py', "def price(item):\n    return item['amount']\n\nprint(price({'price': 3}))\n")
  const readme = readFileSync(join(root, 'packages', 'sdk', 'README.md'), 'utf8')
  const example = /```ts repair\n(.*?)```/s.exec(readme)?.[1] ?? ''
  const given = 'const [socketPath, cwd] = process.argv.slice(2)\n'
  const socket = join(home.env['THAW_HOME'] as string, 'run', 'daemon.sock')
  const printed = await output(example.replace('const thaw', `${given}const thaw`), [socket, home.project])
  expect(printed).toContain("KeyError {'price': 3}\n")
  expect(printed).toContain("repair 1: KeyError: 'amount' at faulty.py:2\n")
  expect(printed.trim().split('\n').at(-1)).toBe("repaired [ 'faulty.py' ]")
})
