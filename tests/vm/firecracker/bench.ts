/** What the tests of Firecracker's side share: a stand-in that can misbehave, and what a machine is made of. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FirecrackerMonitor } from '../../../packages/thaw/src/engines/vm/firecracker/machine.js'
import type { Machine, MachineSpec } from '../../../packages/thaw/src/engines/vm/monitor.js'
import { openScope, withTimeout } from '../../../packages/thaw/src/system/index.js'
import { root, until } from '../../support/home.js'

const STAND_IN = join(root, 'tests', 'vm', 'firecracker', 'stand-in.mjs')

export const soon = (ms = 30_000) => withTimeout(openScope(), ms)

/** What the stand-in is told, as its first lines explain. */
export type Told = Partial<Record<'STAND_IN' | 'version' | 'snapshotVersion', string>>

/** A directory for one test; gone at its end. */
export class Bench implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'thaw-firecracker-'))
  #count = 0

  /** A program that behaves like Firecracker, but for what it is told. */
  program(told: Told = {}): string {
    const path = this.#path('firecracker')
    const { STAND_IN: fault = '', version = '1.17.0', snapshotVersion = '12.0.0' } = told
    const script = [
      '#!/bin/sh',
      'case "$1" in',
      `--version) printf 'Firecracker v${version}\\n\\n' && exit ;;`,
      `--snapshot-version) echo 'v${snapshotVersion}' && exit ;;`,
      'esac',
      `STAND_IN='${fault}' VERSION='${version}' SNAPSHOT_VERSION='${snapshotVersion}'`,
      'export STAND_IN VERSION SNAPSHOT_VERSION',
      `exec '${process.execPath}' '${STAND_IN}' "$@"`,
    ]
    writeFileSync(path, `${script.join('\n')}\n`)
    chmodSync(path, 0o755)
    return path
  }

  monitor(told: Told = {}): FirecrackerMonitor {
    return new FirecrackerMonitor(this.program(told))
  }

  /** A directory that is empty. */
  empty(): string {
    const path = this.#path('d')
    mkdirSync(path)
    return path
  }

  file(content: string | Uint8Array): string {
    const path = this.#path('file')
    writeFileSync(path, content)
    return path
  }

  /** @param network of the machine */
  spec(network: 'none' | 'user' = 'none'): MachineSpec {
    return {
      shape: { memory: 128 << 20, cpus: 1, network },
      kernel: { release: '6.1.0', image: this.file('\x7fELF kernel'), initrd: this.file('initrd') },
      disk: this.file('base'),
      directory: this.empty(),
    }
  }

  /** Processes that work below this directory, or were started from it. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((pid) => {
        try {
          const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
          return command.includes(this.directory) ? [`${pid} ${command}`] : []
        } catch {
          return []
        }
      })
  }

  async nothingRuns(): Promise<void> {
    await until(`nothing of ${this.directory} runs`, () => this.processes().length === 0)
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #path(name: string): string {
    return join(this.directory, `${++this.#count}-${name}`)
  }
}

/** What a machine's guest has said, and says. */
export class Guest {
  readonly #machine: Machine
  #said = ''

  constructor(machine: Machine) {
    this.#machine = machine
    machine.channel.on('data', (bytes: Buffer) => (this.#said += bytes.toString()))
  }

  get said(): string {
    return this.#said
  }

  async says(text: string): Promise<void> {
    await until(`${JSON.stringify(text)} in ${JSON.stringify(this.#said)}`, () => this.#said.includes(text))
  }

  async echoes(text: string): Promise<void> {
    this.#machine.channel.write(text)
    await this.says(text)
  }
}
