/** Times and memory of machines and their copies: `npm run vm`, written into docs/vm-results.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { findPlatform } from '../../../packages/thaw/src/engines/vm/probe.js'
import type { VmImage } from '../../../packages/thaw/src/engines/vm/image.js'
import type { VmBranch } from '../../../packages/thaw/src/engines/vm/vm.js'
import { Bench, provider, scope, shell } from '../../support/vm.js'
import { restoreBare } from './bare.js'

const RESTORES = Number(process.argv[2] ?? 100)
/** Each so many restores one by QEMU alone, so that both meet the same load. */
const BARE_EVERY = 3
const AT_ONCE = 10

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
const tools = await provider.get(() => {}, scope)
const { accelerator } = await findPlatform(tools, provider.directory, scope)
const restores: number[] = []
const bare: number[] = []
const restore = async (name: string) => {
  const clone = await bench.restore(image, name)
  await shell(clone.guest, 'true')
  return clone
}
const restoreAlone = async () => {
  const clone = await restoreBare(tools, accelerator.name, image)
  await shell(clone.guest, 'true')
  return clone
}
for (let n = 0; n < RESTORES; n++) {
  const one = await timed(() => restore(`clone-${n}`))
  restores.push(one.ms)
  await one.value[Symbol.asyncDispose]()
  if (n % BARE_EVERY !== 0) continue
  const other = await timed(restoreAlone)
  bare.push(other.ms)
  await other.value[Symbol.asyncDispose]()
}
const atOnce = <T>(make: (n: number) => Promise<T>) =>
  timed(() => Promise.all(Array.from({ length: AT_ONCE }, (_, n) => make(n))))
const tenBare = await atOnce(restoreAlone)
const eachBare = tenBare.value.map(({ pid }) => shareOf(pid))
await Promise.all(tenBare.value.map((one) => one[Symbol.asyncDispose]()))
const ten = await atOnce((n) => restore(`ten-${n}`))
const each = ten.value.map(({ machine }) => shareOf(machine.pid))
const third = await timed(() => bench.engine.checkpoint(bench.group, ten.value[0] as VmBranch, {}, scope))
const loadAfter = loadavg()[0] ?? 0

const rows: [string, string][] = [
  ['cold boot to the first program', ms(boot.ms)],
  ['copy of a machine that runs on (memory copied, on disk)', ms(running.ms)],
  ['copy of a machine that ends with it (memory moved, on disk)', ms(ending.ms)],
  [
    `restore to a program's answer, median of ${RESTORES} (lowest, highest)`,
    `${ms(median(restores))} (${ms(Math.min(...restores))}, ${ms(Math.max(...restores))})`,
  ],
  [
    `the same by QEMU alone, median of ${bare.length} in between`,
    `${ms(median(bare))} (${ms(Math.min(...bare))}, ${ms(Math.max(...bare))})`,
  ],
  ['thaw against QEMU alone, medians', `${(median(restores) / median(bare)).toFixed(2)} x`],
  ['restore against the cold boot', `${(median(restores) / boot.ms).toFixed(2)} x`],
  [`${AT_ONCE} restores at once, to the last answer`, ms(ten.ms)],
  [`the same by QEMU alone`, ms(tenBare.ms)],
  ['copy of a copy, settled into a memory file', ms(third.ms)],
  ['memory of the machine that was booted', mb(alone)],
  [`memory of each of ${AT_ONCE} clones, its share (median)`, mb(median(each))],
  ['the same by QEMU alone', mb(median(eachBare))],
  ['size of a copy on disk', mb(image.size)],
]
const text = `# Machines: what was measured

\`npm run vm\`: machines of 256 MB, one processor, ${accelerator.name === 'kvm' ? 'KVM' : 'emulated (TCG), since there is no usable KVM'}; host with ${cpus().length} processors, load ${load.toFixed(0)} when it began and ${loadAfter.toFixed(0)} when it ended, nearly all of it from other work. Python had used 30 MB in it before it was copied.

| what | |
|---|---|
${rows.map(([what, value]) => `| ${what} | ${value} |`).join('\n')}

By QEMU alone: the same command line, without thaw's engine (tests/vm/measure/bare.ts); a layer for the disk, QMP, and the guest program told to go on are part of both.
`
writeFileSync(process.env['THAW_VM_FILE'] ?? 'vm-results.md', text)
console.log(text)
