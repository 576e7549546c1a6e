/** Each way in which a snapshot of a machine does not serve: a start instead, the reason on the instance, in the log, in the metrics. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ImageDefinition, type Snapshot } from '@thaw/protocol'
import { openScope } from '../../../packages/thaw/src/system/index.js'
import { ProductBench } from '../../support/products.js'
import { counterImage, processesWith, provider, whyNot } from '../../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

describe.skipIf(reason !== null)('a snapshot of a machine that does not serve', () => {
  let bench: ProductBench
  let made: Snapshot
  let manifest: string
  let text: string
  const { XDG_CACHE_HOME } = process.env
  beforeAll(async () => {
    bench = new ProductBench()
    // What is restored is never ready.
    const image = await counterImage({
      readiness: { command: ['test', '!', '-e', '/restored'], timeout: 120 },
      after_restore: ['touch', '/restored'],
    })
    await bench.products.images.create(ImageDefinition.parse(image), bench.scope)
    made = await bench.snapshot({ image: 'counter', name: 'base' })
    manifest = join(made.path ?? '', 'manifest.json')
    text = readFileSync(manifest, 'utf8')
  })
  afterEach(() => {
    if (XDG_CACHE_HOME === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = XDG_CACHE_HOME
  })
  afterAll(async () => {
    const { directory } = bench
    await bench[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  })
  const current = () => bench.products.snapshots.get('base')
  /** It was started, the reason is everywhere, and the snapshot has one failure more. */
  const expectCold = async (label: string, why: RegExp) => {
    const { failure_count } = current()
    const before = (await bench.fallbacks())[label] ?? 0
    const one = await bench.start({ image: 'counter' })
    expect(one).toMatchObject({ boot_method: 'cold', state: 'ready', from: null, saved_seconds: null })
    expect(one.boot_reason).toMatch(why)
    expect(bench.lines).toContain(
      `Warm boot not possible, falling back to cold boot: ${one.boot_reason ?? ''}`,
    )
    expect(bench.lines.at(-1)).toMatch(/ fully provisioned via cold boot /)
    expect((await bench.fallbacks())[label]).toBe(before + 1)
    expect(current().failure_count).toBe(failure_count + 1)
    // Three in a row would have it built anew.
    bench.products.snapshots.used(made.id)
    await bench.end(one)
    expect(processesWith(bench.directory)).toEqual([])
  }
  /** As if it had been made so: what is on the disk is what was written. */
  const remake = async (change: (monitor: Record<string, unknown>) => void) => {
    const altered = JSON.parse(text) as { monitor: Record<string, unknown> }
    change(altered.monitor)
    await bench.rewrite(made.id, 'manifest.json', JSON.stringify(altered))
  }

  /** A cache of its own, with the machine's tools as if they had another version; what one of them is may be changed. */
  const withTools = async (version: string | null, use: (tools: string) => Promise<void>) => {
    const tools = await provider.get(() => {}, openScope())
    const cache = mkdtempSync(join(tmpdir(), 'thaw-cache-'))
    try {
      const own = join(cache, 'thaw', 'vm', 'tools', 'other')
      for (const directory of ['.', 'usr', 'usr/bin']) {
        rmSync(join(own, directory), { force: true })
        mkdirSync(join(own, directory), { recursive: true })
        for (const name of readdirSync(join(tools.path, directory))) {
          symlinkSync(join(tools.path, directory, name), join(own, directory, name))
        }
      }
      rmSync(join(own, 'vm.json'))
      const about = JSON.parse(readFileSync(join(tools.path, 'vm.json'), 'utf8')) as object
      const told = version ?? tools.version
      writeFileSync(join(own, 'vm.json'), JSON.stringify({ ...about, version: told }))
      for (const name of readdirSync(provider.directory)) {
        if (name.startsWith('platform-')) {
          const to = name.replace(tools.version, told)
          cpSync(join(provider.directory, name), join(cache, 'thaw', 'vm', to))
        }
      }
      process.env['XDG_CACHE_HOME'] = cache
      await bench.reopen()
      await use(own)
    } finally {
      rmSync(cache, { recursive: true, force: true })
    }
  }

  it('because QEMU is another', async () => {
    const { version } = await provider.get(() => {}, openScope())
    await withTools('99.1', () =>
      expectCold(
        'mismatch',
        new RegExp(`the version of qemu was ${version.replaceAll('+', '\\+')}, is 99\\.1`),
      ),
    )
  })

  it('because the model of the processors, the devices or the type of the machine are others', async () => {
    await bench.reopen()
    await remake((monitor) => {
      monitor['cpu'] = 'EPYC'
      monitor['devices'] = ['virtio-blk-device,drive=d0']
      monitor['machine'] = 'q35, tcg'
    })
    await expectCold(
      'mismatch',
      /the machine was q35, tcg, is .*; the model of its processors was EPYC, is .*; the list of its devices was virtio-blk-device,drive=d0, is /,
    )
    await bench.rewrite(made.id, 'manifest.json', text)
  })

  it('because files are missing, or not what was written', async () => {
    writeFileSync(manifest, text.replace('"format":', '"format": '))
    await expectCold('damaged', /manifest\.json is not what was written/)
    renameSync(manifest, `${manifest}.away`)
    await expectCold('damaged', /manifest\.json cannot be read/)
    renameSync(`${manifest}.away`, manifest)
    writeFileSync(manifest, text)
  })

  it('because what is restored is not ready', async () => {
    await bench.reopen()
    await expectCold('readiness', /was not ready within 30 s/)
  })

  it('because it is unhealthy', async () => {
    await withTools(null, async (tools) => {
      const qemu = join(tools, 'usr/bin/qemu-system-x86_64')
      const real = readlinkSync(qemu)
      // Neither copies nor new machines start.
      rmSync(qemu)
      symlinkSync('/bin/false', qemu)
      writeFileSync(manifest, text.replace('"format":', '"format": '))
      for (let i = 0; i < 3; i++) {
        await expect(bench.start({ image: 'counter' })).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
      }
      await expect(bench.products.snapshots.built('base', bench.scope)).rejects.toThrow()
      expect(current()).toMatchObject({ state: 'unhealthy', step: null })
      rmSync(qemu)
      symlinkSync(real, qemu)
      const one = await bench.start({ image: 'counter' })
      expect(one).toMatchObject({ boot_method: 'cold', state: 'ready', from: null })
      expect(one.boot_reason).toMatch(/^snapshot s_\w+ is unhealthy \(/)
      expect((await bench.fallbacks())['unhealthy']).toBe(1)
      await bench.end(one)
    })
  })
})
