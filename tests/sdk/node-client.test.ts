import { NodeClient, ThawError } from '@thaw/sdk/node'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home } from '../support/home.js'

let home: Home
let client: NodeClient
beforeAll(async () => {
  home = new Home()
  await home.run(['daemon', 'start'])
  client = new NodeClient(join(home.env['THAW_HOME'] as string, 'run', 'daemon.sock'))
})
afterAll(() => home[Symbol.asyncDispose]())

async function collect(command: string[], options: Parameters<NodeClient['run']>[1] = {}) {
  let [stdout, stderr] = ['', '']
  const result = await client.run(command, {
    cwd: home.project,
    env: home.env,
    onStdout: (chunk) => void (stdout += Buffer.from(chunk).toString()),
    onStderr: (chunk) => void (stderr += Buffer.from(chunk).toString()),
    ...options,
  })
  return { ...result, stdout, stderr }
}

it('runs a command, with its output and report', async () => {
  const done = await collect(['sh', '-c', 'echo out; echo err >&2; exit 3'])
  expect(done).toMatchObject({
    stdout: 'out\n',
    stderr: 'err\n',
    report: { outcome: 'cold', exit: { code: 3 } },
  })
  expect(done.summary).toMatch(/^ran cold/)
})

it('feeds stdin', async () => {
  const stdin = new Uint8Array(200_000).fill(97)
  expect((await collect(['sh', '-c', 'wc -c'], { stdin })).stdout.trim()).toBe('200000')
})

it('stops a run when told', async () => {
  const abort = new AbortController()
  const run = collect(['sleep', '60'], { signal: abort.signal })
  setTimeout(() => abort.abort(), 300)
  await expect(run).rejects.toMatchObject({ code: 'CANCELLED' })
})

it('throws errors of the catalogue', async () => {
  await expect(client.runs.get('r_none')).rejects.toBeInstanceOf(ThawError)
  await expect(client.runs.get('r_none')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  await expect(collect(['no-such-command'])).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' })
  const nobody = new NodeClient('/nonexistent/daemon.sock')
  await expect(nobody.runs.list()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
})

it('lists, draws, reads logs and forgets', async () => {
  await collect(['sh', '-c', 'echo logged'])
  const [run] = await client.runs.list()
  const id = run?.id ?? ''
  expect((await client.runs.tree(id)).branches).toHaveLength(1)
  let text = ''
  for await (const chunk of client.runs.logs(id, 'stdout')) text += Buffer.from(chunk).toString()
  expect(text).toBe('logged\n')
  expect(await client.runs.remove(id)).toContain(id)
  expect((await client.runs.list()).map((one) => one.id)).not.toContain(id)
})
