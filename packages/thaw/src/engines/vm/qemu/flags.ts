/** Command lines of QEMU. A snapshot can be restored by exactly the line that it was made with, but for its files. */
import { readFileSync } from 'node:fs'
import type { MachineShape } from '../monitor.js'
import { GUEST_MAC, TAP } from '../way-out.js'

export interface Accelerator {
  name: 'kvm' | 'tcg'
  /** Milliseconds that a kernel took to boot; null: it was not tried. */
  bootMs: number | null
  /** Why it is not KVM; null: it is. */
  reason: string | null
}

export type MachineType = 'microvm' | 'q35'

/** Numbers of the descriptors that QEMU gets. */
export const FD = { qmp: 3, channel: 4 } as const

/** Blocks of translated code, in MiB: QEMU's own default, a quarter of the host's memory, would be counted to each. */
const TRANSLATED = 64

const CPU = { kvm: 'host', tcg: 'max' } as const

export interface Files {
  kernel: string
  initrd: string
  disk: string
  memory: string
  /** Whether what the machine writes into its memory goes into that file. */
  shared: boolean
}

export interface Line {
  type: MachineType
  accelerator: Accelerator['name']
  shape: MachineShape
  firmware: readonly string[]
}

/** @param files null: a machine without disk and channel, whose kernel the caller adds */
export function machineWords(line: Line, files: Files | null): string[] {
  const { type, accelerator, shape } = line
  const bus = type === 'microvm' ? 'device' : 'pci'
  const machine =
    type === 'microvm'
      ? 'microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,pcie=off,memory-backend=ram0'
      : 'q35,memory-backend=ram0'
  const megabytes = Math.round(shape.memory / 1024 ** 2)
  const backend =
    files === null
      ? `memory-backend-ram,id=ram0,size=${megabytes}M`
      : `memory-backend-file,id=ram0,size=${megabytes}M,mem-path=${quoted(files.memory)},share=${files.shared ? 'on' : 'off'}`
  const speed = accelerator === 'tcg' ? `tcg,thread=multi,tb-size=${TRANSLATED}` : 'kvm'
  const words: string[][] = [
    ...line.firmware.map((directory) => ['-L', directory]),
    ['-M', machine, '-object', backend, '-accel', speed, '-cpu', CPU[accelerator]],
    ['-smp', String(shape.cpus), '-m', String(megabytes)],
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    // It starts no programs and becomes nobody else.
    ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ['-chardev', `socket,id=qmp,fd=${FD.qmp}`, '-mon', 'chardev=qmp,mode=control'],
  ]
  if (files !== null) {
    words.push(...devices(bus, files), ...card(bus, shape.network), [
      '-kernel',
      files.kernel,
      '-initrd',
      files.initrd,
    ])
    words.push(['-append', kernelWords(accelerator, [])])
  }
  return words.flat()
}

/** What of a line a snapshot is tied to, besides its type and shape. */
export function hardwareOf(words: readonly string[]): { cpu: string; devices: string[] } {
  const given = (option: string) => words.filter((_, at) => words[at - 1] === option)
  return { cpu: given('-cpu').join(), devices: given('-device') }
}

function devices(bus: string, { disk }: Files): string[][] {
  return [
    // What is lost with the host is lost with the machine, too: nothing of it need be on the disk before.
    ['-drive', `id=d0,if=none,format=qcow2,file=${quoted(disk)},cache=unsafe,discard=unmap`],
    ['-device', `virtio-blk-${bus},drive=d0`],
    ['-device', `virtio-serial-${bus}`, '-chardev', `socket,id=agent,fd=${FD.channel}`],
    ['-device', 'virtserialport,chardev=agent,name=thaw.0'],
    ['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', `virtio-rng-${bus},rng=rng0`],
  ]
}

/** The tap device is there: QEMU is started beside it, and starts nothing itself. */
function card(bus: string, network: MachineShape['network']): string[][] {
  if (network === 'none') return []
  return [
    ['-netdev', `tap,id=n0,ifname=${TAP},script=no,downscript=no,vhost=off`],
    ['-device', `virtio-net-${bus},netdev=n0,mac=${GUEST_MAC}`],
  ]
}

/** What a kernel is told. Under emulation it need not measure its clock, at which it hangs now and then. */
export function kernelWords(accelerator: Accelerator['name'], more: readonly string[]): string {
  const clock =
    accelerator === 'tcg'
      ? ['no_timer_check', 'tsc=reliable', 'clocksource=tsc', `tsc_early_khz=${hostKilohertz()}`]
      : []
  return ['console=ttyS0', 'quiet', 'reboot=t', 'panic=-1', 'mitigations=off', ...clock, ...more].join(' ')
}

function hostKilohertz(): number {
  const text = readFileSync('/proc/cpuinfo', 'latin1')
  return Math.round(Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(text)?.[1] ?? 2000) * 1000)
}

/** In QEMU's options a comma is written twice. */
function quoted(path: string): string {
  return path.replaceAll(',', ',,')
}
