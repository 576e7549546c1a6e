/** Times and memory of machines and their copies: `npm run vm`, written into docs/vm-results.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { findAccelerator } from '../../../packages/thaw/src/engines/vm/probe.js'
import type { VmImage } from '../../../packages/thaw/src/engines/vm/image.js'
import type { VmBranch } from '../../../packages/thaw/src/engines/vm/vm.js'
import { Bench, provider, scope, shell } from '../../support/vm.js'

const RESTORES = Number(process.argv[2] ?? 100)

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const began = performance.now()
  const value = await work()
  return { ms: performance.now() - began, value }
}

/** A process's share of the memory that it uses. Bytes. */
function shareOf(pid: number): number {
  const found = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))
  return Number(found?.[1] ?? 0) * 1024
}

const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
const ms = (value: number) => `${value.toFixed(0)} ms`

await using bench = await Bench.open()
const load = loadavg()[0] ?? 0
const boot = await timed(() => bench.boot())
await shell(boot.value.guest, 'python3 -c "x = bytearray(30_000_000)"')
const alone = shareOf(boot.value.machine.pid)
const running = await timed(() => bench.engine.checkpoint(bench.group, boot.value, {}, scope))
const ending = await timed(() => bench.engine.checkpoint(bench.group, boot.value, { stop: true }, scope))
const image: VmImage = ending.value
const restores: number[] = []
for (let n = 0; n < RESTORES; n++) {
  const one = await timed(async () => {
    const clone = await bench.restore(image, `clone-${n}`)
    await shell(clone.guest, 'true')
    return clone
  })
  restores.push(one.ms)
  await one.value[Symbol.asyncDispose]()
}
const ten = await timed(() =>
  Promise.all(
    Array.from({ length: 10 }, async (_, n) => {
      const clone = await bench.restore(image, `ten-${n}`)
      await shell(clone.guest, 'true')
      return clone
    }),
  ),
)
const each = ten.value.map(({ machine }) => shareOf(machine.pid))
const third = await timed(() => bench.engine.checkpoint(bench.group, ten.value[0] as VmBranch, {}, scope))
const accelerator = await findAccelerator(await provider.get(() => {}, scope), provider.directory, scope)

const rows: [string, string][] = [
  ['cold boot to the first program', ms(boot.ms)],
  ['copy of a machine that runs on (memory copied, on disk)', ms(running.ms)],
  ['copy of a machine that ends with it (memory moved, on disk)', ms(ending.ms)],
  [
    `restore to a program's answer, median of ${RESTORES} (highest)`,
    `${ms(median(restores))} (${ms(Math.max(...restores))})`,
  ],
  ['10 restores at once, to the last answer', ms(ten.ms)],
  ['copy of a copy, settled into a memory file', ms(third.ms)],
  ['memory of the machine that was booted', mb(alone)],
  ['memory of each of 10 clones, its share (median)', mb(median(each))],
  ['size of a copy on disk', mb(image.size)],
]
const text = `# Machines: what was measured

\`npm run vm\`: machines of 256 MB, one processor, ${accelerator.name === 'kvm' ? 'KVM' : 'emulated (TCG), since there is no usable KVM'}; host with ${cpus().length} processors, load ${load.toFixed(0)} from other work when it began. A machine of the process \`/sbin/init\` of thaw alone, in which Python had used 30 MB before.

| what | |
|---|---|
${rows.map(([what, value]) => `| ${what} | ${value} |`).join('\n')}

Not compared with a bare QEMU in the same run yet.
`
writeFileSync(process.env['THAW_VM_FILE'] ?? 'vm-results.md', text)
console.log(text)
