/** Which accelerator machines get here: KVM only where a kernel has been seen to boot with it. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import {
  bootId,
  nativeProgram,
  startProcess,
  withTimeout,
  writeFileAtomic,
  type Scope,
} from '../../system/index.js'
import { kernelWords, machineWords, type Accelerator } from './qemu/flags.js'
import type { VmTools } from './tools.js'

const KVM = '/dev/kvm'
/** With KVM a kernel is there after a fraction of a second; where it hangs, it hangs for good. Milliseconds. */
const DEADLINE = 8000
const SHAPE = { memory: 128 * 1024 ** 2, cpus: 1, network: 'none' } as const
/** Said by the guest program. */
const HERE = 'thaw-guest: here'

const Kept = z.object({
  name: z.enum(['kvm', 'tcg']),
  bootMs: z.number().nullable(),
  reason: z.string().nullable(),
})

/**
 * Tries it once per boot of this host; what was found is kept.
 *
 * @param cache directory for what can be made again
 */
export async function findAccelerator(tools: VmTools, cache: string, scope: Scope): Promise<Accelerator> {
  const file = join(
    cache,
    `accelerator-${bootId().slice(0, 8)}-${process.geteuid?.() ?? ''}-${tools.version}.json`,
  )
  if (existsSync(file)) {
    const kept = Kept.safeParse(JSON.parse(readFileSync(file, 'utf8')))
    if (kept.success) return kept.data
  }
  const found = await tryKvm(tools, scope)
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  await writeFileAtomic(file, `${JSON.stringify(found)}\n`)
  return found
}

async function tryKvm(tools: VmTools, scope: Scope): Promise<Accelerator> {
  const emulated = (reason: string): Accelerator => ({ name: 'tcg', bootMs: null, reason })
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK)
  } catch {
    return emulated(existsSync(KVM) ? `${KVM} is not open to this user` : `there is no ${KVM}`)
  }
  const began = performance.now()
  const said = await bootOnce(tools, 'kvm', scope)
  if (said.includes(HERE)) return { name: 'kvm', bootMs: performance.now() - began, reason: null }
  const complaint = said.trim().split('\n').at(-1)?.slice(0, 200) ?? ''
  return emulated(
    `${KVM} is there, but a kernel did not boot with it within ${DEADLINE / 1000} s${complaint === '' ? '' : ` (${complaint})`}`,
  )
}

/** Boots a kernel without disk or channel; returns what it printed. */
async function bootOnce(tools: VmTools, accelerator: Accelerator['name'], scope: Scope): Promise<string> {
  const { image, initrd } = await tools.kernel()
  const line = { type: 'microvm', accelerator, shape: SHAPE, firmware: tools.firmware } as const
  const kernel = ['-kernel', image, '-initrd', initrd, '-append', kernelWords(accelerator, ['thaw_probe=1'])]
  const argv = [...tools.command('usr/bin/qemu-system-x86_64'), ...machineWords(line, null), ...kernel]
  const tied = [nativeProgram('sandbox'), 'tied', String(process.pid), ...argv]
  const child = await startProcess(
    tied,
    { cwd: '/', env: {}, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], grace: 0 },
    withTimeout(scope, DEADLINE),
  )
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => (said = (said + bytes.toString('latin1')).slice(-4000)))
  }
  child.pipe(3).on('error', () => {})
  await child.exited
  return said
}
