/** Archives that are sent over TCP to become images. */
import { Client, fetchTransport } from '@thaw/sdk'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, openAsBlob, readdirSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { tarOf } from '../support/archive.js'
import { Home, until } from '../support/home.js'

let home: Home
let api: Api
let client: Client
let images: string
/** A root file system with a few megabytes in it. */
let archive: string
const definition = { name: 'sent:1', command: ['/bin/true'], ports: [80], user: 'root' }

beforeAll(async () => {
  home = new Home({ THAW_UPLOAD_LIMIT: '8MB' })
  api = await Api.start(home)
  client = new Client(fetchTransport(api.url, api.token ?? undefined))
  images = join(home.env['THAW_HOME'] ?? '', 'state', 'images')
  archive = join(home.directory, 'root.tar')
  const content = Buffer.alloc(3_000_000, 'some of it ')
  writeFileSync(
    archive,
    await tarOf([
      { name: 'bin/true', content, mode: 0o755 },
      { name: 'etc/passwd', content: '' },
    ]),
  )
})
afterAll(() => home[Symbol.asyncDispose]())

const sha256 = (file: string) => execFileSync('sha256sum', [file], { encoding: 'utf8' }).slice(0, 64)
/** What is there of a finished image and nothing else. */
const nothingLeft = () => readdirSync(images).filter((name) => !name.startsWith('img_'))

it('makes an image of what is sent, as it comes or as a Blob, and names where it came from', async () => {
  const made = await client.images.upload(definition, createReadStream(archive), { sha256: sha256(archive) })
  expect(made).toMatchObject({
    name: 'sent:1',
    kind: 'rootfs',
    path: 'an upload',
    user: 'root',
    ports: [80],
    imported: { source: 'an upload', format: 'tar', layers: 1 },
  })
  expect(statSync(join(images, made.id, 'rootfs/bin/true')).size).toBe(3_000_000)
  expect(nothingLeft()).toEqual([])
  await expect(client.images.upload(definition, createReadStream(archive))).rejects.toMatchObject({
    code: 'NAME_TAKEN',
  })
  await client.images.remove('sent:1')
  const blob = await openAsBlob(archive)
  expect((await client.images.upload({ ...definition, name: 'blob' }, blob)).imported?.bytes).toBeGreaterThan(
    3_000_000,
  )
  await client.images.remove('blob')
})

it('refuses what is not what was announced, or reaches out of its root', async () => {
  const wrong = client.images.upload(definition, createReadStream(archive), { sha256: '0'.repeat(64) })
  await expect(wrong).rejects.toMatchObject({ code: 'IMAGE_REFUSED' })
  const hostile = await tarOf([
    { name: 'link', type: 'symlink', linkname: '/' },
    { name: 'link/thaw-was-here', content: 'x' },
    { name: '../../thaw-was-here', content: 'x' },
  ])
  await client.images.upload({ ...definition, name: 'hostile' }, single(hostile)).then(
    ({ imported }) => expect(imported?.left_out.join()).toContain('thaw-was-here'),
    (error: unknown) => expect(error).toMatchObject({ code: 'IMAGE_REFUSED' }),
  )
  expect(existsSync('/thaw-was-here') || existsSync(join(images, '../thaw-was-here'))).toBe(false)
  await expect(client.images.upload(definition, single(Buffer.from('no archive')))).rejects.toMatchObject({
    code: 'IMAGE_REFUSED',
  })
  await expect(client.images.upload(definition, single(Buffer.alloc(0)))).rejects.toMatchObject({
    code: 'IMAGE_REFUSED',
  })
  expect(nothingLeft()).toEqual([])
})

it('takes no more than its limit: 413, whether the size is told or found', async () => {
  const large = join(home.directory, 'large')
  writeFileSync(large, Buffer.alloc(9_000_000))
  await expect(client.images.upload(definition, createReadStream(large))).rejects.toMatchObject({
    code: 'PAYLOAD_TOO_LARGE',
  })
  await expect(client.images.upload(definition, await openAsBlob(large))).rejects.toMatchObject({
    code: 'PAYLOAD_TOO_LARGE',
  })
  expect(nothingLeft()).toEqual([])
})

it('asks for a scope and a definition', async () => {
  const stranger = new Client(fetchTransport(api.url, (await api.newToken('read')).token))
  await expect(stranger.images.upload(definition, createReadStream(archive))).rejects.toMatchObject({
    code: 'FORBIDDEN',
  })
  for (const given of ['', '{', '[]', '{"name":"a/../b"}', '{"name":"x","path":"/etc"}']) {
    const path = `/v1/images/archive?definition=${encodeURIComponent(given)}`
    const answer = await api.call('POST', path, {
      headers: { 'content-type': 'application/octet-stream' },
      body: 'x',
    })
    expect([given, answer.status]).toEqual([given, 400])
  }
})

it('keeps nothing of what breaks off, also when the daemon is killed meanwhile', async () => {
  const begin = () => {
    const query = `definition=${encodeURIComponent(JSON.stringify({ ...definition, name: 'half' }))}`
    const sent = request(`${api.url}/v1/images/archive?${query}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/octet-stream' },
    })
    sent.on('error', () => {})
    sent.write(Buffer.alloc(1_000_000))
    return sent
  }
  const drafts = () => nothingLeft().length
  const first = begin()
  await until('it has begun', () => drafts() === 1)
  first.destroy()
  await until('nothing is left', () => drafts() === 0)
  const second = begin()
  await until('it has begun again', () => drafts() === 1)
  const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
  process.kill(pid, 'SIGKILL')
  await until('it has ended', () => !existsSync(`/proc/${pid}`))
  second.destroy()
  expect(await home.json(['image', 'ls'])).toEqual([])
  expect(nothingLeft()).toEqual([])
  api = await Api.start(home)
  client = new Client(fetchTransport(api.url, api.token ?? undefined))
})

it('is what `thaw image import` does on stdin, and where THAW_URL names another daemon', async () => {
  const done = home.shell(
    `cat ${archive} | thaw image import - --name piped --json -- /bin/true >/dev/null && thaw image ls`,
  )
  expect([done.code, done.stdout]).toEqual([0, expect.stringContaining('piped')])
  const far = new Home({ THAW_URL: api.url, THAW_TOKEN: api.token ?? '' })
  try {
    const sent = await far.run(['image', 'import', archive, '--name', 'far', '--json', '--', '/bin/true'])
    expect(sent).toMatchObject({ code: 0, stderr: '' })
    expect((await client.images.list()).map(({ name }) => name).sort()).toEqual(['far', 'piped'])
    const directory = await far.run(['image', 'import', far.project, '--name', 'x', '--', '/bin/true'])
    expect(directory).toMatchObject({ code: 125, stderr: expect.stringMatching(/^thaw: USAGE: .*tar -C/) })
    expect((await far.run(['image', 'rm', 'far', 'piped'])).code).toBe(0)
    expect((await far.run(['image', 'ls'])).stdout).toContain('No images')
    // None was started for that.
    expect(far.processes()).toEqual([])
    far.env['THAW_TOKEN'] = 'thaw_nothing'
    expect((await far.run(['image', 'ls'])).stderr).toMatch(/^thaw: UNAUTHORIZED: /)
    far.env['THAW_URL'] = 'nowhere'
    expect((await far.run(['image', 'ls'])).stderr).toMatch(/^thaw: USAGE: THAW_URL/)
  } finally {
    await far[Symbol.asyncDispose]()
  }
})

it('does the same once for a key', async () => {
  const headers = { 'content-type': 'application/octet-stream', 'idempotency-key': 'upload-1' }
  const given = { ...definition, name: 'keyed' }
  const body = (await tarOf([{ name: 'a', content: 'b' }])).toString('latin1')
  const digest = createHash('sha256').update(body).digest('hex')
  const path = `/v1/images/archive?definition=${encodeURIComponent(JSON.stringify(given))}&sha256=${digest}`
  const [first, second] = [
    await api.call('POST', path, { headers, body }),
    await api.call('POST', path, { headers, body }),
  ]
  expect([first.status, second.status, second.headers['idempotency-replayed']]).toEqual([201, 201, 'true'])
  expect(second.json.id).toBe(first.json.id)
})

async function* single(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
