/** What machines are made of here: microvm where QEMU can start one, KVM only where a kernel has been seen to boot with it. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import {
  bootId,
  checkScope,
  nativeProgram,
  startProcess,
  ThawError,
  withTimeout,
  writeFileAtomic,
  type Scope,
} from '../../system/index.js'
import { kernelWords, MACHINE_TYPES, machineWords, type Accelerator, type MachineType } from './qemu/flags.js'
import { QemuProcess } from './qemu/process.js'
import type { VmTools } from './tools.js'

const KVM = '/dev/kvm'
/** With KVM a kernel is there after a fraction of a second; where it hangs, it hangs for good. Milliseconds. */
const DEADLINE = 8000
const SHAPE = { memory: 128 * 1024 ** 2, cpus: 1, network: 'none' } as const
/** Said by the guest program. */
const HERE = 'thaw-guest: here'

const Kept = z.object({
  type: z.enum(MACHINE_TYPES),
  whyNotMicrovm: z.string().nullable(),
  accelerator: z.object({
    name: z.enum(['kvm', 'tcg']),
    bootMs: z.number().nullable(),
    reason: z.string().nullable(),
  }),
})

export interface Platform {
  type: MachineType
  /** What QEMU said; null: it is one, or nobody asked. */
  whyNotMicrovm: string | null
  accelerator: Accelerator
}

/**
 * Tries it once per boot of this host; what was found is kept.
 *
 * @param cache directory for what can be made again
 * @param named a type of machine that is not to be chosen; null: the first that can be started
 */
export async function findPlatform(
  tools: VmTools,
  cache: string,
  scope: Scope,
  named: MachineType | null = namedType(),
): Promise<Platform> {
  const here = `${bootId().slice(0, 8)}-${process.geteuid?.() ?? ''}-${tools.version}`
  const file = join(cache, `platform-${named === null ? '' : `${named}-`}${here}.json`)
  if (existsSync(file)) {
    const kept = Kept.safeParse(JSON.parse(readFileSync(file, 'utf8')))
    if (kept.success) return kept.data
  }
  const whyNotMicrovm = named === null ? await tryType(tools, 'microvm', scope) : null
  const type = named ?? (whyNotMicrovm === null ? 'microvm' : 'q35')
  const found: Platform = { type, whyNotMicrovm, accelerator: await tryKvm(tools, type, scope) }
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  await writeFileAtomic(file, `${JSON.stringify(found)}\n`)
  return found
}

/** THAW_MACHINE: for those who want the same on all hosts. @throws ThawError INVALID_SETTING */
function namedType(): MachineType | null {
  const named = process.env['THAW_MACHINE'] ?? ''
  if (named === '') return null
  const type = MACHINE_TYPES.find((one) => one === named)
  if (type !== undefined) return type
  throw new ThawError(
    'INVALID_SETTING',
    `THAW_MACHINE is ${named}; it is one of ${MACHINE_TYPES.join(', ')}.`,
  )
}

/** Starts one that does not run. Why it could not be, as QEMU says; null: it could. */
async function tryType(tools: VmTools, type: MachineType, scope: Scope): Promise<string | null> {
  const line = { type, accelerator: 'tcg', shape: SHAPE, firmware: tools.firmware } as const
  const argv = [...tools.command('usr/bin/qemu-system-x86_64'), ...machineWords(line, null), '-S']
  try {
    await using _ = await QemuProcess.start(argv, 'none', '/', withTimeout(scope, DEADLINE))
    return null
  } catch (error) {
    checkScope(scope, 'trying a machine')
    return ThawError.from(error).message.trim().replaceAll('\n', '; ').slice(0, 200)
  }
}

async function tryKvm(tools: VmTools, type: MachineType, scope: Scope): Promise<Accelerator> {
  const emulated = (reason: string): Accelerator => ({ name: 'tcg', bootMs: null, reason })
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK)
  } catch {
    return emulated(existsSync(KVM) ? `${KVM} is not open to this user` : `there is no ${KVM}`)
  }
  const began = performance.now()
  const said = await bootOnce(tools, type, scope)
  if (said.includes(HERE)) return { name: 'kvm', bootMs: performance.now() - began, reason: null }
  const complaint = said.trim().split('\n').at(-1)?.slice(0, 200) ?? ''
  return emulated(
    `${KVM} is there, but a kernel did not boot with it within ${DEADLINE / 1000} s${complaint === '' ? '' : ` (${complaint})`}`,
  )
}

/** Boots a kernel with KVM, without disk or channel; returns what it printed. */
async function bootOnce(tools: VmTools, type: MachineType, scope: Scope): Promise<string> {
  const { image, initrd } = await tools.kernel()
  const line = { type, accelerator: 'kvm', shape: SHAPE, firmware: tools.firmware } as const
  const kernel = ['-kernel', image, '-initrd', initrd, '-append', kernelWords('kvm', ['thaw_probe=1'])]
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
