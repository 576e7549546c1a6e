/** A snapshot of a machine as a file, and on another THAW_HOME: by the command line, with a daemon that is killed in between. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Image, ImportedSnapshot, Instance, Snapshot } from '@thaw/protocol'
import { findPaths } from '../../../packages/thaw/src/system/index.js'
import { Home } from '../../support/home.js'
import { askCounter, counterImage, whyNot } from '../../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

describe.skipIf(reason !== null)('a snapshot of a machine', () => {
  let here: Home
  let there: Home
  let file: string
  beforeAll(async () => {
    const env = { XDG_CACHE_HOME: dirname(findPaths().cache), THAW_SNAPSHOT_AUTO: '0' }
    here = new Home(env)
    there = new Home(env)
    file = join(here.directory, 'web.thaw')
    const image = here.write('image.json', JSON.stringify(await counterImage()))
    expect((await here.run(['image', 'create', image])).stderr).toBe('')
    const made = await here.run(['snapshot', 'create', 'counter', '--name', 'web'])
    expect(made.stderr).toContain('ready after')
  })
  afterAll(async () => {
    await here[Symbol.asyncDispose]()
    await there[Symbol.asyncDispose]()
  })

  it('is written into a file that only its owner may read, without its holes', async () => {
    const { bytes } = await here.json<{ bytes: number }>(['snapshot', 'export', 'web', file])
    expect(bytes).toBe(statSync(file).size)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const { memory_bytes } = await here.json<Snapshot>(['snapshot', 'show', 'web'])
    // Memory and the root file system, compressed.
    expect(bytes).toBeGreaterThan(20e6)
    expect(bytes).toBeLessThan(memory_bytes + 400e6)
    const again = await here.run(['snapshot', 'export', 'web', file])
    expect(again.stderr).toContain('EXPORT_UNWRITABLE')
  })

  it('is refused where the file is damaged, and nothing is left', async () => {
    const damaged = join(there.directory, 'damaged.thaw')
    const bytes = readFileSync(file)
    const middle = bytes.length >> 1
    bytes.fill(bytes.readUInt8(middle) ^ 0xff, middle, middle + 64)
    writeFileSync(damaged, bytes)
    const done = await there.run(['snapshot', 'import', damaged])
    expect(done.stderr).toContain('IMPORT_REFUSED')
    expect(await there.json(['snapshot', 'ls'])).toEqual([])
    expect(await there.json<Image[]>(['image', 'ls'])).toEqual([])
  })

  it('is there on another THAW_HOME with its image, and goes on there', async () => {
    const { snapshot, warnings } = await there.json<ImportedSnapshot>(['snapshot', 'import', file])
    expect(warnings).toEqual([])
    expect(snapshot).toMatchObject({ name: 'web', state: 'ready', image: 'counter', engine: 'vm' })
    expect(statSync(join(snapshot.path ?? '', 'disk-0')).blocks * 512).toBeLessThan(1e9)
    const { pid } = await there.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    const one = await there.json<Instance>(['instance', 'create', 'counter', '--name', 'far'])
    expect(one).toMatchObject({ boot_method: 'warm', from: snapshot.id, boot_reason: null })
    expect(await askCounter(one)).toMatchObject({ count: 1, host: 'far' })
    const told = await there.run(['instance', 'exec', 'far', 'cat', '/count'])
    expect(told).toMatchObject({ code: 0, stdout: '1 far\n', stderr: '' })
    expect((await there.run(['snapshot', 'verify', 'web'])).code).toBe(0)
    const twice = await there.run(['snapshot', 'import', file])
    expect(twice.stderr).toContain('NAME_TAKEN')
    const second = await there.json<ImportedSnapshot>(['snapshot', 'import', file, '--name', 'second'])
    expect(second.snapshot.image_id).toBe(snapshot.image_id)
  })

  it('can be started, too, where it is not', async () => {
    await there.run(['snapshot', 'rm', 'web', 'second'])
    const cold = await there.json<Instance>(['instance', 'create', 'counter', '--name', 'cold'])
    expect(cold).toMatchObject({ boot_method: 'cold', state: 'ready' })
  })
})
