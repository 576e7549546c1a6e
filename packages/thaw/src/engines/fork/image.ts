import { readlinkSync, statSync } from 'node:fs'
import type { StartFiles } from '@thaw/protocol/agent'
import type { Image } from '../engine.js'
import type { AgentLine } from './agents.js'
import type { Family } from './family.js'

/** A parked process. */
export class ForkImage implements Image {
  readonly engine = 'fork'
  readonly family: Family
  readonly pid: number
  readonly gone: Promise<void>
  readonly line: Promise<AgentLine>
  start: StartFiles | null = null
  #alive = true
  /** A parked process clones itself once at a time. */
  turn: Promise<unknown> = Promise.resolve()

  /** @param line its line where it has reported already */
  constructor(family: Family, pid: number, line: AgentLine | null) {
    this.family = family
    this.pid = pid
    family.parked.add(pid)
    this.gone = family.exit(pid).then(() => {
      this.#alive = false
      family.parked.delete(pid)
    })
    this.line =
      line === null
        ? family.line(
            (candidate) => candidate.hello.pid === pid && candidate.hello.role !== 'branch',
            this.gone,
          )
        : Promise.resolve(line)
    // Whoever restores it learns of a failure; until then it is nobody's business.
    this.line.catch(() => {})
  }

  get alive(): boolean {
    return this.#alive
  }

  get inPlace(): boolean {
    try {
      const link = `/proc/${this.pid}/cwd`
      const [mine, named] = [statSync(link), statSync(readlinkSync(link))]
      return mine.dev === named.dev && mine.ino === named.ino
    } catch {
      return false
    }
  }

  async discard(): Promise<void> {
    this.family.parked.delete(this.pid)
    if (!this.#alive || !this.family.host.alive) return
    await this.family.host.ask({ do: 'kill', pids: [this.pid], tree: false })
    await this.gone
  }
}
