/** What is imported as an image, and what is refused. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Image, ImageDefinition } from '@thaw/protocol'
import { Images } from '../../packages/thaw/src/snapshots/images/images.js'
import { Journal } from '../../packages/thaw/src/store/index.js'
import { openScope, silentLog } from '../../packages/thaw/src/system/index.js'
import { machines } from '../support/instances.js'
import { digestOf, dockerArchive, tarOf, writeOci, type Member } from '../support/archive.js'

const asRoot = process.getuid?.() === 0
const has = (program: string) => spawnSync(program, ['--version']).error === undefined

let directory: string
let journal: Journal
let images: Images
const store = () => join(directory, 'images')
const open = () => new Images(journal, store(), machines, silentLog)

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-images-')))
  journal = new Journal(join(directory, 'journal.db'))
  images = open()
})
afterEach(() => {
  // Its own way: directories in an image may be closed to their owner.
  for (const image of images.list()) images.remove(image)
  journal[Symbol.dispose]()
  rmSync(directory, { recursive: true })
})

const write = (name: string, bytes: string | Uint8Array) => {
  const path = join(directory, name)
  writeFileSync(path, bytes)
  return path
}
const take = (path: string, more: { command?: string[]; name?: string; reference?: string } = {}) =>
  images.create(
    { kind: 'rootfs', engine: 'process', name: 'one:test', path, command: ['/bin/sh'], ...more },
    openScope(),
  )
const takeTar = async (members: readonly Member[]) => take(write('root.tar', await tarOf(members)))
const root = (image: Image) => images.rootOf(image) as string
const read = (image: Image, name: string) => readFileSync(join(root(image), name), 'utf8')

const HELLO: Member[] = [
  { name: './', type: 'directory', mode: 0o755 },
  { name: './bin/', type: 'directory', mode: 0o555 },
  { name: './bin/hello', content: 'hello', mode: 0o755, mtime: new Date(1_600_000_000_000) },
  { name: './bin/hi', type: 'link', linkname: './bin/hello' },
  { name: './sbin', type: 'symlink', linkname: '/bin' },
]

describe('an archive of a root file system', () => {
  it('keeps content, modes, times, owners, links of both kinds', async () => {
    const image = await takeTar([
      ...HELLO,
      { name: 'su', content: 'x', mode: 0o4755, uid: 12, gid: 34 },
      { name: 'sbin/more', content: 'through a link' },
    ])
    expect(image).toMatchObject({ name: 'one:test', kind: 'rootfs', cwd: '/', imported: { format: 'tar' } })
    expect(read(image, 'bin/hello')).toBe('hello')
    expect(lstatSync(join(root(image), 'bin/hello'))).toMatchObject({ nlink: 2, mtimeMs: 1_600_000_000_000 })
    expect(statSync(join(root(image), 'bin')).mode & 0o777).toBe(0o555)
    expect(readlinkSync(join(root(image), 'sbin'))).toBe('/bin')
    expect(read(image, 'bin/more')).toBe('through a link')
    const su = statSync(join(root(image), 'su'))
    if (asRoot) expect(su).toMatchObject({ uid: 12, gid: 34, mode: 0o104755 })
    else expect(su.mode & 0o7777).toBe(0o755)
    expect(image.imported?.owners).toBe(asRoot)
  })

  it.each([
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => spawnSync('zstd', ['-c'], { input: bytes }).stdout],
  ])('may be compressed by %s', async (kind, pack) => {
    if (kind === 'zstd' && !has('zstd')) return console.warn('skipped: zstd is not installed')
    const large = Buffer.alloc(3_000_000, 'some text that comes again and again. ')
    const tar = await tarOf([...HELLO, { name: 'large', content: large }])
    const image = await take(write('packed', pack(tar)))
    expect(readFileSync(join(root(image), 'large')).equals(large)).toBe(true)
  })

  it('leaves devices and pipes out, and says so', async () => {
    const image = await takeTar([
      ...HELLO,
      { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3 },
      { name: 'pipe', type: 'fifo' },
    ])
    expect(image.imported?.left_out).toEqual(['dev/null (a device)', 'pipe (a fifo)'])
    expect(existsSync(join(root(image), 'pipe'))).toBe(false)
  })

  it.each<[string, Member[]]>([
    ['an absolute path', [{ name: '/etc/passwd', content: 'x' }]],
    ['a path with ..', [{ name: 'a/../../x', content: 'x' }]],
    ['a link that leads out, and a file below', [link('out', '../../..'), { name: 'out/x', content: 'x' }]],
    ['links in a circle', [link('a', 'b'), link('b', 'a'), { name: 'a/x', content: 'x' }]],
    ['a hard link to something outside', [{ name: 'x', type: 'link', linkname: '../../journal.db' }]],
    ['a hard link with an absolute name', [{ name: 'x', type: 'link', linkname: '/etc/passwd' }]],
    [
      'a hard link through a link that leads out',
      [link('out', '../../..'), { name: 'x', type: 'link', linkname: 'out/journal.db' }],
    ],
    [
      'a file below a file',
      [
        { name: 'a', content: 'x' },
        { name: 'a/b', content: 'x' },
      ],
    ],
  ])('is refused with %s, and leaves nothing', async (_what, members) => {
    await expect(takeTar([...HELLO, ...members])).rejects.toMatchObject({ code: 'IMAGE_REFUSED' })
    expect(readdirSync(store())).toEqual([])
    expect(images.list()).toEqual([])
    expect(existsSync(join(directory, 'x'))).toBe(false)
  })

  it('writes nothing through links, wherever they lead', async () => {
    const outside = write('outside', 'untouched')
    const image = await takeTar([
      link('absolute', directory),
      link('file', outside),
      { name: 'absolute/new', content: 'in it' },
      { name: 'file', content: 'replaced' },
    ])
    expect(readFileSync(outside, 'utf8')).toBe('untouched')
    expect(existsSync(join(directory, 'new'))).toBe(false)
    expect(read(image, join('.', directory, 'new'))).toBe('in it')
    expect(read(image, 'file')).toBe('replaced')
  })

  it('is refused when it is cut short, is no archive, or is too large', async () => {
    const tar = await tarOf([...HELLO, { name: 'x', content: 'y'.repeat(5000) }])
    await expect(take(write('short', tar.subarray(0, tar.length - 4000)))).rejects.toMatchObject({
      code: 'IMAGE_REFUSED',
    })
    await expect(take(write('text', 'no archive '.repeat(200)))).rejects.toMatchObject({
      code: 'IMAGE_REFUSED',
    })
    await expect(take(write('empty', ''))).rejects.toMatchObject({ code: 'IMAGE_REFUSED' })
    await expect(take(join(directory, 'absent'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    const path = write('bomb', gzipSync(await tarOf([{ name: 'zeros', content: Buffer.alloc(2_000_000) }])))
    const definition: ImageDefinition = {
      kind: 'rootfs',
      engine: 'process',
      name: 'b',
      path,
      command: ['/x'],
    }
    for (const most of [
      { bytes: 1_000_000, entries: 100 },
      { bytes: 10_000_000, entries: 0 },
    ]) {
      await expect(images.create(definition, openScope(), most)).rejects.toMatchObject({
        code: 'IMAGE_REFUSED',
      })
    }
    expect(readdirSync(store())).toEqual([])
  })
})

describe('an image of another tool', () => {
  const base = () =>
    tarOf([
      ...HELLO,
      { name: 'etc/old', content: 'old' },
      { name: 'etc/kept', content: 'kept' },
      { name: 'var/cache/a', content: 'a' },
      { name: 'var/cache/deep/b', content: 'b' },
      { name: 'lib', type: 'symlink', linkname: 'usr/lib' },
      { name: 'usr/lib/one', content: '1' },
    ])
  const second = () =>
    tarOf([
      { name: 'etc/.wh.old', content: '' },
      { name: 'var/cache/new', content: 'new' },
      { name: 'var/cache/.wh..wh..opq', content: '' },
      { name: 'lib/two', content: '2' },
      { name: 'bin/hello', content: 'HELLO' },
      { name: '.wh..wh.plnk', content: '' },
    ])
  const config = {
    Env: ['PATH=/bin', 'MODE=a=b'],
    Entrypoint: ['/bin/hello'],
    Cmd: ['--loud'],
    WorkingDir: '/var',
    User: '12:34',
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
  }
  const stacked = (image: Image) => {
    expect(readdirSync(join(root(image), 'etc'))).toEqual(['kept'])
    expect(readdirSync(join(root(image), 'var/cache'))).toEqual(['new'])
    expect(readdirSync(join(root(image), 'usr/lib')).sort()).toEqual(['one', 'two'])
    expect(read(image, 'bin/hello')).toBe('HELLO')
    expect(read(image, 'bin/hi')).toBe('hello')
    expect(readdirSync(root(image)).sort()).toEqual(['bin', 'etc', 'lib', 'sbin', 'usr', 'var'])
  }
  const defaults = {
    command: ['/bin/hello', '--loud'],
    cwd: '/var',
    env: { PATH: '/bin', MODE: 'a=b' },
    user: '12:34',
    ports: [80],
  }

  async function layout(spoil?: string) {
    const [one, two] = [await base(), await second()]
    const packed = gzipSync(two)
    const path = join(directory, 'layout')
    const made = writeOci(
      path,
      [
        { bytes: one, content: digestOf(one) },
        { bytes: packed, content: spoil === 'content' ? digestOf(one) : digestOf(two) },
      ],
      config,
    )
    const last = made.blob(made.layers[1]?.digest ?? '')
    if (spoil === 'bytes') writeFileSync(last, gzipSync(one))
    if (spoil === 'missing') rmSync(last)
    if (spoil === 'link') {
      rmSync(last)
      symlinkSync('/dev/zero', last)
    }
    return path
  }

  it('an OCI layout: layers one over the other, whiteouts, its configuration as defaults', async () => {
    const path = await layout()
    const image = await images.create({ kind: 'rootfs', engine: 'process', name: 'app', path }, openScope())
    stacked(image)
    expect(image).toMatchObject({ ...defaults, imported: { format: 'oci', layers: 2 } })
    expect(images.get('app').id).toBe(image.id)
    const tar = join(directory, 'layout.tar')
    spawnSync('tar', ['-C', path, '-cf', tar, '.'])
    const second = await images.create(
      { kind: 'rootfs', engine: 'process', name: 'tar', path: tar, command: ['/own'], env: { MODE: 'c' } },
      openScope(),
    )
    stacked(second)
    expect(second).toMatchObject({ command: ['/own'], env: { PATH: '/bin', MODE: 'c' } })
    expect(readdirSync(join(store(), second.id))).toEqual(['rootfs'])
  })

  it('what docker save writes', async () => {
    const layers = [await base(), await second()]
    const path = write('saved.tar', await dockerArchive(layers, config, 'web:1'))
    const image = await images.create({ kind: 'rootfs', engine: 'process', name: 'web:1', path }, openScope())
    stacked(image)
    expect(image).toMatchObject({ ...defaults, imported: { format: 'docker', layers: 2 } })
    await expect(take(path, { reference: 'web:2' })).rejects.toMatchObject({
      code: 'IMAGE_REFUSED',
      message: expect.stringContaining('web:1') as string,
    })
  })

  it.each(['bytes', 'content', 'missing', 'link'])('is refused when a layer is wrong (%s)', async (spoil) => {
    await expect(take(await layout(spoil))).rejects.toMatchObject({ code: 'IMAGE_REFUSED' })
    expect(readdirSync(store())).toEqual([])
  })

  it('is refused when it is for another machine', async () => {
    const bytes = await base()
    const path = join(directory, 'foreign')
    writeOci(path, [{ bytes, content: digestOf(bytes) }], config, 'riscv64')
    await expect(take(path)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it.skipIf(!asRoot || !has('umoci') || !has('skopeo'))('as umoci and skopeo make them', async () => {
    const path = join(directory, 'umoci')
    const sh = (script: string) => {
      const done = spawnSync('sh', ['-ec', script], { cwd: directory, encoding: 'utf8' })
      expect(done.status, done.stderr).toBe(0)
    }
    sh(`umoci init --layout ${path}; umoci new --image ${path}:v1
      umoci unpack --image ${path}:v1 bundle; mkdir -p bundle/rootfs/etc; echo a > bundle/rootfs/etc/a
      ln bundle/rootfs/etc/a bundle/rootfs/etc/b; umoci repack --image ${path}:v1 bundle
      rm -rf bundle; umoci unpack --image ${path}:v1 bundle; rm bundle/rootfs/etc/a; echo c > bundle/rootfs/etc/c
      umoci repack --image ${path}:v1 bundle; umoci config --image ${path}:v1 --config.cmd /bin/sh --config.env A=B
      skopeo copy --insecure-policy oci:${path}:v1 docker-archive:saved.tar:my/app:v1`)
    const one = await images.create(
      { kind: 'rootfs', engine: 'process', name: 'umoci', path, reference: 'v1' },
      openScope(),
    )
    const saved = join(directory, 'saved.tar')
    const two = await images.create(
      { kind: 'rootfs', engine: 'process', name: 'skopeo', path: saved },
      openScope(),
    )
    for (const image of [one, two]) {
      expect(readdirSync(join(root(image), 'etc')).sort()).toEqual(['b', 'c'])
      expect(image).toMatchObject({ command: ['/bin/sh'], env: { A: 'B' }, imported: { layers: 2 } })
    }
  })
})

describe('images', () => {
  it('are made of a directory, with what is in it', async () => {
    const path = join(directory, 'tree')
    mkdirSync(join(path, 'bin'), { recursive: true })
    writeFileSync(join(path, 'bin', 'sh'), 'sh')
    chmodSync(join(path, 'bin', 'sh'), 0o755)
    spawnSync('ln', [join(path, 'bin', 'sh'), join(path, 'bin', 'bash')])
    symlinkSync('../../../etc', join(path, 'etc'))
    spawnSync('mkfifo', [join(path, 'pipe')])
    const image = await take(path)
    expect(image.imported).toMatchObject({ format: 'directory', left_out: ['pipe (a fifo)'] })
    expect(statSync(join(root(image), 'bin/bash'))).toMatchObject({ nlink: 2 })
    expect(readlinkSync(join(root(image), 'etc'))).toBe('../../../etc')
    expect(statSync(join(root(image), 'bin/sh')).mode & 0o777).toBe(0o755)
  })

  it('are commands in a directory of the machine', async () => {
    const definition: ImageDefinition = {
      kind: 'directory',
      engine: 'process',
      name: 'here',
      path: directory,
      command: ['true'],
    }
    const image = await images.create(definition, openScope())
    expect(image).toMatchObject({ cwd: directory, env: {}, imported: null })
    expect(images.rootOf(image)).toBeNull()
    await expect(images.create(definition, openScope())).rejects.toMatchObject({ code: 'NAME_TAKEN' })
    await expect(
      images.create({ ...definition, name: 'b', path: '/no/such' }, openScope()),
    ).rejects.toMatchObject({ code: 'DIRECTORY_GONE' })
  })

  it('are found by name, tag and id, and leave nothing when they are removed', async () => {
    const image = await take(write('root.tar', await tarOf(HELLO)), { name: 'web:latest' })
    for (const given of ['web', 'web:latest', image.id, image.id.slice(0, 9), image.id.slice(4, 10)]) {
      expect(images.get(given).id, given).toBe(image.id)
    }
    expect(() => images.get('nothing')).toThrow(expect.objectContaining({ code: 'IMAGE_NOT_FOUND' }))
    images.remove(image)
    expect(images.list()).toEqual([])
    expect(readdirSync(store())).toEqual([])
  })

  it.skipIf(!asRoot)('that do not fit on the disk leave nothing', async () => {
    const small = join(directory, 'small')
    mkdirSync(small)
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'thaw-test', small]).status).toBe(0)
    try {
      const store = new Images(journal, small, machines, silentLog)
      const path = write('large.tar', await tarOf([{ name: 'large', content: Buffer.alloc(3_000_000) }]))
      await expect(
        store.create({ kind: 'rootfs', engine: 'process', name: 'b', path, command: ['x'] }, openScope()),
      ).rejects.toMatchObject({ code: 'DISK_FULL' })
      expect(readdirSync(small)).toEqual([])
    } finally {
      spawnSync('umount', [small])
    }
  })

  it('that were interrupted are swept, and one that is given up leaves nothing', async () => {
    const image = await takeTar(HELLO)
    mkdirSync(join(store(), 'draft-abcdef', 'rootfs'), { recursive: true })
    mkdirSync(join(store(), 'img_without_row'))
    images = open()
    expect(readdirSync(store())).toEqual([image.id])
    const gone = new AbortController()
    gone.abort()
    const path = write('again.tar', await tarOf(HELLO))
    const scope = openScope(silentLog, gone.signal)
    await expect(
      images.create({ kind: 'rootfs', engine: 'process', name: 'b', path, command: ['x'] }, scope),
    ).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(readdirSync(store())).toEqual([image.id])
  })
})

function link(name: string, linkname: string): Member {
  return { name, type: 'symlink', linkname }
}
