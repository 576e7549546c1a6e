import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CheckpointNode, Exported, ImportedCheckpoint, RunSummary } from '@thaw/protocol'
import { pack, type Headers } from 'tar-stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { writeExport } from '../../packages/thaw/src/engines/process/export.js'
import { readExport } from '../../packages/thaw/src/engines/process/import.js'
import { ENTRY, FRAME, LENGTH_FRAME, SKIPPED } from '../../packages/thaw/src/engines/process/parcel.js'
import { compress, loadZstd } from '../../packages/thaw/src/store/zstd.js'
import { findPaths, makeFifo } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { lookOf } from '../support/images.js'
import { whyNot } from '../support/process.js'
import { Project } from '../support/project.js'

interface Part {
  header: Headers
  content?: string | Buffer
}

/** As export.ts lays it out, of whatever parts. */
async function craft(file: string, parts: readonly Part[], frame = FRAME): Promise<void> {
  const tar = pack()
  for (const { header, content } of parts) tar.entry(header, content ?? '')
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk)
  const whole = Buffer.concat(chunks)
  const out: Uint8Array[] = []
  for (let at = 0; at < whole.length; at += frame) {
    const bytes = compress(whole.subarray(at, at + frame))
    const length = Buffer.alloc(LENGTH_FRAME)
    length.writeUInt32LE(SKIPPED, 0)
    length.writeUInt32LE(4, 4)
    length.writeUInt32LE(bytes.length, 8)
    out.push(length, bytes)
  }
  writeFileSync(file, Buffer.concat(out))
}

const file = (name: string, content: string | Buffer = 'x'): Part => ({ header: { name }, content })
const directory = (name: string): Part => ({ header: { name, type: 'directory' } })
/** With digests that fit. */
function closed(parts: readonly Part[]): Part[] {
  const digests = parts
    .filter(({ header }) => (header.type ?? 'file') === 'file')
    .map(({ header, content }) => [
      header.name,
      createHash('sha256')
        .update(content ?? '')
        .digest('hex'),
    ])
  return [...parts, file(ENTRY.digests, JSON.stringify(Object.fromEntries(digests)))]
}

describe('a file of a checkpoint', () => {
  let place: string
  let target: string
  beforeAll(() => loadZstd())
  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'thaw-export-'))
    target = join(place, 'target')
    mkdirSync(target)
  })
  afterEach(() => rmSync(place, { recursive: true, force: true }))

  const refused = (why: RegExp) =>
    expect.objectContaining({ code: 'IMPORT_REFUSED', message: expect.stringMatching(why) })

  async function whole(): Promise<string> {
    const from = join(place, 'image')
    mkdirSync(join(from, 'tmp', 'deep'), { recursive: true })
    mkdirSync(join(from, 'criu'))
    writeFileSync(
      join(from, 'criu', 'pages-1.img'),
      Buffer.concat([randomBytes(3 << 20), Buffer.alloc(1 << 20)]),
    )
    writeFileSync(join(from, 'tmp', 'deep', 'a'), 'a', { mode: 0o640 })
    linkSync(join(from, 'tmp', 'deep', 'a'), join(from, 'tmp', 'b'))
    symlinkSync('/etc/passwd', join(from, 'tmp', 'link'))
    makeFifo(join(from, 'tmp', 'pipe'), 0o620)
    utimesSync(join(from, 'tmp', 'deep'), 1, 1.5)
    const to = join(place, 'file')
    const texts = { [ENTRY.manifest]: '{}' }
    await writeExport({
      file: to,
      about: { of: 'it' },
      texts,
      roots: [{ from, as: ENTRY.image, without: [] }],
    })
    return to
  }

  it('holds everything as it was, is readable by its owner only, and by tar', async () => {
    const exported = await whole()
    expect(statSync(exported).mode & 0o777).toBe(0o600)
    expect(await readExport(exported, target)).toEqual({ about: '{"of":"it"}', manifest: '{}' })
    const image = join(target, 'image')
    expect(lookOf(image, ['criu', 'tmp/deep', 'tmp/b'])).toEqual(
      lookOf(join(place, 'image'), ['criu', 'tmp/deep', 'tmp/b']),
    )
    expect(statSync(join(image, 'tmp', 'b')).ino).toBe(statSync(join(image, 'tmp', 'deep', 'a')).ino)
    expect(statSync(join(image, 'tmp', 'deep')).mtimeMs).toBe(1500)
    expect(lstatSync(join(image, 'tmp', 'link')).isSymbolicLink()).toBe(true)
    expect(lstatSync(join(image, 'tmp', 'pipe')).isFIFO()).toBe(true)
    expect(lstatSync(join(image, 'tmp', 'pipe')).mode).toBe(
      lstatSync(join(place, 'image', 'tmp', 'pipe')).mode,
    )
    // What anybody has: zstd and tar.
    const listed = spawnSync('sh', ['-c', 'zstd -dc "$0" | tar -t', exported], { encoding: 'utf8' })
    if (!/not found/.test(listed.stderr))
      expect(listed.stdout.split('\n')).toContain('image/criu/pages-1.img')
  })

  it('never takes the place of another, and leaves nothing when it fails', async () => {
    const exported = await whole()
    const work = { file: exported, about: {}, texts: {}, roots: [] }
    await expect(writeExport(work)).rejects.toMatchObject({ code: 'EXPORT_UNWRITABLE' })
    await expect(writeExport({ ...work, file: '/no/such/place' })).rejects.toMatchObject({
      code: 'EXPORT_UNWRITABLE',
    })
    const roots = [{ from: '/dev', as: 'image', without: [] }]
    await expect(writeExport({ ...work, file: join(place, 'devices'), roots })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    expect(readdirSync(place).sort()).toEqual(['file', 'image', 'target'])
  })

  it('is refused when it is truncated, or any byte of it is another', async () => {
    const exported = await whole()
    const bytes = readFileSync(exported)
    const fresh = () => {
      rmSync(target, { recursive: true })
      mkdirSync(target)
    }
    for (const size of [0, 5, 11, 12, 500, bytes.length >> 1, bytes.length - 600, bytes.length - 1]) {
      writeFileSync(exported, bytes)
      truncateSync(exported, size)
      await expect(readExport(exported, target), `of ${size} bytes`).rejects.toEqual(refused(/./))
      fresh()
    }
    for (let i = 0; i < 40; i++) {
      const at = Math.floor((bytes.length * i) / 40) + (i % 13)
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] as number) ^ (1 << (i % 8))
      writeFileSync(exported, damaged)
      try {
        // A bit of what tar fills up with, or of how it is compressed, may mean nothing.
        await readExport(exported, target)
        expect(lookOf(join(target, 'image'), ['criu'])).toEqual(lookOf(join(place, 'image'), ['criu']))
      } catch (error) {
        expect(error).toEqual(refused(/./))
      }
      fresh()
    }
  })

  it('is refused when it would reach out of its place', async () => {
    const outside = join(place, 'outside')
    const hostile = join(place, 'hostile')
    const link = (name: string, linkname: string, type: Headers['type'] = 'symlink'): Part => ({
      header: { name, linkname, type: type as 'symlink' },
    })
    const tree = [directory('image/tmp')]
    const cases: [string, Part[], RegExp][] = [
      ['up', [file('image/tmp/../../../outside')], /no name/],
      ['up from output', [file('../outside')], /no name/],
      ['absolute', [file(outside)], /no name/],
      ['elsewhere', [file('outside')], /no part/],
      ['no known part', [file('image/other')], /no part/],
      ['a link among images', [directory('image/criu'), link('image/criu/x', '/etc')], /no part/],
      ['a link in the place of a part', [link('image/tmp', place)], /no part/],
      ['through a link', [...tree, link('image/tmp/x', place), file('image/tmp/x/outside')], /./],
      ['over a link', [...tree, link('image/tmp/x', outside), file('image/tmp/x')], /twice/],
      ['a hard link out', [...tree, link('image/tmp/x', '/etc/passwd', 'link')], /link to something else/],
      ['a hard link up', [...tree, link('image/tmp/x', '../../hostile', 'link')], /link to something else/],
      [
        'a hard link to a text',
        [...tree, file(ENTRY.about), link('image/tmp/x', ENTRY.about, 'link')],
        /link/,
      ],
      ['twice', [...tree, file('image/tmp/x'), file('image/tmp/x')], /twice/],
      ['a device', [...tree, { header: { name: 'image/tmp/x', type: 'character-device' } }], /no part/],
    ]
    for (const [what, parts, why] of cases) {
      rmSync(target, { recursive: true })
      mkdirSync(target)
      await craft(hostile, closed(parts))
      await expect(readExport(hostile, target), what).rejects.toEqual(refused(why))
      expect(existsSync(outside), what).toBe(false)
    }
  })

  it('is refused when parts are not those that it names', async () => {
    const hostile = join(place, 'hostile')
    const good = [file(ENTRY.about, '{}'), directory('image/tmp'), file('image/tmp/x', 'right')]
    await craft(hostile, closed(good))
    expect(await readExport(hostile, target)).toMatchObject({ about: '{}' })
    const wrong = closed(good).map((part) =>
      part.header.name === 'image/tmp/x' ? file('image/tmp/x', 'wrong') : part,
    )
    const cases: [Part[], RegExp][] = [
      [wrong, /"image\/tmp\/x" is damaged/],
      [good, /ends early/],
      [closed(good).filter(({ header }) => header.name !== 'image/tmp/x'), /"image\/tmp\/x" is missing/],
      [[...closed(good), file('image/tmp/y')], /follows its end/],
      [[...good, file(ENTRY.digests, '[')], /digests cannot be read/],
    ]
    for (const [parts, why] of cases) {
      rmSync(target, { recursive: true })
      mkdirSync(target)
      await craft(hostile, parts)
      await expect(readExport(hostile, target)).rejects.toEqual(refused(why))
    }
    const fresh = () => {
      rmSync(target, { recursive: true })
      mkdirSync(target)
    }
    // A frame that swells, and an entry that is larger than the disk.
    await craft(hostile, closed([file('output/stdout', Buffer.alloc(FRAME * 3))]), FRAME * 2)
    fresh()
    await expect(readExport(hostile, target)).rejects.toEqual(refused(/damaged/))
    const claims = pack()
    claims.entry({ name: 'output/stdout', size: 2 ** 50 }).write('x')
    const chunk = (await claims[Symbol.asyncIterator]().next()).value as Buffer
    const bytes = compress(chunk)
    const length = Buffer.alloc(LENGTH_FRAME)
    length.writeUInt32LE(SKIPPED, 0)
    length.writeUInt32LE(4, 4)
    length.writeUInt32LE(bytes.length, 8)
    writeFileSync(hostile, Buffer.concat([length, bytes]))
    fresh()
    await expect(readExport(hostile, target)).rejects.toMatchObject({ code: 'DISK_FULL' })
  })
})

const why = await whyNot()
if (why !== null) console.warn(`skipped: ${why}`)

describe.skipIf(why !== null)('thaw checkpoint export and import', () => {
  let home: Home
  let other: Home
  beforeAll(() => {
    const cache = { XDG_CACHE_HOME: join(findPaths().cache, '..') }
    home = new Home(cache)
    other = new Home(cache)
  })
  afterAll(async () => {
    await home[Symbol.asyncDispose]()
    await other[Symbol.asyncDispose]()
  })

  it(
    'takes a checkpoint to another thaw, with what had been printed before it',
    { timeout: 180_000 },
    async () => {
      const project = new Project(home, 'travels')
      project.write(
        'count.sh',
        'for i in 1 2 3 4 5 6; do echo "line $i"; echo "err $i" >&2; sleep 0.1; done\n',
      )
      const flags = ['--break-output', 'line 3$']
      const first = await project.run(['sh', 'count.sh'], { flags })
      // A checkpoint whose output lies in two branches.
      const second = await project.resume(['--break-output', 'line 5', first.report.checkpoint?.id ?? ''])
      const id = second.report.checkpoint?.id ?? ''
      const target = join(home.directory, 'travels.thaw')
      const done = await home.json<Exported>(['checkpoint', 'export', id, target])
      expect(done).toMatchObject({ checkpoint: id, file: target, bytes: statSync(target).size })
      expect(statSync(target).mode & 0o777).toBe(0o600)
      expect(await home.run(['checkpoint', 'export', id, target])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining('EXPORT_UNWRITABLE'),
      })
      const { checkpoint, warnings } = await other.json<ImportedCheckpoint>(['checkpoint', 'import', target])
      expect(warnings).toEqual([])
      expect(readdirSync(join(other.directory, 'home', 'state', 'imports'))).toEqual([])
      expect(checkpoint).toMatchObject({ kind: 'stop', state: 'parked' })
      const [run] = await other.json<RunSummary[]>(['ls'])
      expect(run).toMatchObject({
        id: checkpoint.run,
        command: ['sh', 'count.sh'],
        checkpoints: 1,
        times_run: 0,
      })
      expect((await other.run(['logs', '--stdout', checkpoint.branch])).stdout).toBe(
        'line 1\nline 2\nline 3\nline 4\nline 5\n',
      )
      for (let i = 0; i < 2; i++) {
        const resumed = await other.run(['resume', '-q', checkpoint.id])
        expect(resumed).toMatchObject({ code: 0, stdout: 'line 6\n' })
      }
      // Told in words, with what is to be known of it.
      const said = await home.run(['checkpoint', 'export', id, `${target}.2`])
      expect(said.stdout).toMatch(/exported c_\S+ to .*\nIt holds the memory and the environment/)
      // It outlives its daemon, as any other on disk, and leaves nothing.
      const { pid } = await other.json<{ pid: number }>(['daemon', 'status'])
      process.kill(pid, 'SIGKILL')
      expect((await other.run(['resume', '-q', checkpoint.id])).stdout).toBe('line 6\n')
      expect((await other.run(['rm', '--cascade', checkpoint.id])).code).toBe(0)
      const images = join(other.directory, 'home', 'state', 'runs', checkpoint.run, 'images')
      await until('its image is gone', () => readdirSync(images).length === 0)
    },
  )

  it('says before a resume that the program was replaced, and refuses the resume', async () => {
    const project = new Project(home, 'replaced')
    const program = join(project.directory, 'own-shell')
    writeFileSync(program, readFileSync('/bin/sh'), { mode: 0o755 })
    project.write('count.sh', 'for i in 1 2 3; do echo "line $i"; sleep 0.2; done\n')
    const { report } = await project.run([program, 'count.sh'], { flags: ['--break-output', 'line 1'] })
    const target = join(home.directory, 'replaced.thaw')
    await home.json(['checkpoint', 'export', report.checkpoint?.id ?? '', target])
    utimesSync(program, 1, 1)
    const { checkpoint, warnings } = await other.json<ImportedCheckpoint>(['checkpoint', 'import', target])
    expect(warnings).toEqual([`${program} was replaced`])
    expect((await other.run(['resume', checkpoint.id])).stderr).toContain('IMAGE_MISMATCH')
    expect((await other.run(['resume', '--force', '-q', checkpoint.id])).stdout).toBe('line 2\nline 3\n')
  })

  it('refuses what lives in memory, what is damaged, and what is not there; nothing is left', async () => {
    const project = new Project(home, 'refused')
    project.write('app.py', 'def a():\n    print("a")\n\ndef b():\n    print("b")\n\na()\nb()\n')
    const { report } = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:b'] })
    const target = join(home.directory, 'refused.thaw')
    const forked = await home.run(['checkpoint', 'export', report.checkpoint?.id ?? '', target])
    expect(forked.stderr).toMatch(/UNSUPPORTED: .*lives in memory.*--engine process/)
    expect(existsSync(target)).toBe(false)
    writeFileSync(target, 'no checkpoint')
    const before = await other.json<RunSummary[]>(['ls'])
    expect((await other.run(['checkpoint', 'import', target])).stderr).toContain('IMPORT_REFUSED')
    expect((await other.run(['checkpoint', 'import', `${target}.none`])).stderr).toContain('FILE_UNREADABLE')
    expect(await other.json<RunSummary[]>(['ls'])).toEqual(before)
    const nodes = await home.json<{ checkpoints: CheckpointNode[] }>(['tree', report.run])
    expect(nodes.checkpoints.length).toBeGreaterThan(0)
  })
})
