/** A copy brought back by QEMU alone, without thaw's engine: the same command line, the same steps of QMP. */
import { spawn, type SpawnOptions } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { chainOf, diskName } from '../../../packages/thaw/src/engines/vm/disks.js'
import { Guest } from '../../../packages/thaw/src/engines/vm/guest/guest.js'
import type { VmImage } from '../../../packages/thaw/src/engines/vm/image.js'
import { FD, machineWords, type Accelerator } from '../../../packages/thaw/src/engines/vm/qemu/flags.js'
import type { VmTools } from '../../../packages/thaw/src/engines/vm/tools.js'
import { scope } from '../../support/vm.js'

/** As thaw starts programs: the kernel shares out processors among sessions before it does within them. */
const ALONE: SpawnOptions = { detached: true, stdio: 'ignore' }

export interface BareClone extends AsyncDisposable {
  pid: number
  guest: Guest
}

/** Returns when the guest program has been told that it goes on: until then it stands still. */
export async function restoreBare(
  tools: VmTools,
  accelerator: Accelerator['name'],
  { directory: image, manifest }: VmImage,
): Promise<BareClone> {
  const own = mkdtempSync(join(tmpdir(), 'thaw-bare-'))
  const disk = join(own, 'disk')
  const last = chainOf(image) - 1
  const format = last === 0 ? 'raw' : 'qcow2'
  const [program = '', ...before] = tools.command('usr/bin/qemu-img')
  const words = ['create', '-q', '-f', 'qcow2', '-F', format, '-b', join(image, diskName(last)), disk]
  const made = spawn(program, [...before, ...words], ALONE)
  if ((await new Promise((resolve) => made.once('close', resolve))) !== 0) throw new Error('qemu-img failed')
  const at = (name: string) => join(image, name)
  const files = { kernel: at('kernel'), initrd: at('initrd'), memory: at('memory'), disk, shared: false }
  const { shape } = manifest
  const line = { type: 'microvm', accelerator, shape, firmware: tools.firmware } as const
  const [qemu = '', ...given] = [
    ...tools.command('usr/bin/qemu-system-x86_64'),
    ...machineWords(line, files),
    '-S',
    '-incoming',
    'defer',
  ]
  const child = spawn(qemu, given, { ...ALONE, stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'] })
  const gone = new Promise((resolve) => child.once('close', resolve))
  const execute = await openQmp(child.stdio[FD.qmp] as Duplex)
  await execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'x-ignore-shared', state: true }],
  })
  await execute('migrate-incoming', { uri: `file:${at('state')}` })
  while (((await execute('query-migrate', {})) as { status?: string }).status !== 'completed') {
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await execute('cont', {})
  const guest = new Guest(child.stdio[FD.channel] as Duplex, manifest.lines)
  await guest.renew({ hostname: 'bare', network: null }, scope)
  return {
    pid: child.pid ?? 0,
    guest,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await gone
      rmSync(own, { recursive: true, force: true })
    },
  }
}

async function openQmp(stream: Duplex): Promise<(execute: string, given: object) => Promise<unknown>> {
  const waiting: ((line: Record<string, unknown>) => void)[] = []
  let text = ''
  stream.on('data', (bytes: Buffer) => {
    const lines = (text + bytes.toString()).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const value = JSON.parse(line) as Record<string, unknown>
      if (!('event' in value)) waiting.shift()?.(value)
    }
  })
  const next = () => new Promise<Record<string, unknown>>((resolve) => waiting.push(resolve))
  await next()
  const execute = async (name: string, given: object) => {
    const answer = next()
    stream.write(`${JSON.stringify({ execute: name, arguments: given })}\n`)
    const { error, return: value } = await answer
    if (error !== undefined) throw new Error(`${name}: ${JSON.stringify(error)}`)
    return value
  }
  await execute('qmp_capabilities', {})
  return execute
}
