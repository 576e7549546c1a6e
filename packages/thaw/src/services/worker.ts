/** A process that serves calls, on as many connections as there are calls at a time. */
import { Asked, Slot } from './party.js'

export class Worker {
  readonly name: string
  /** Its pid where it lives. */
  pid: number
  readonly control = new Asked()
  readonly slots: Slot[] = []
  /** Whether it is for one call only. */
  readonly alone: boolean
  /** Of the code that it was forked with. */
  readonly version: string
  /** Whether it may differ from what a fork would make now: it was meant for a call. */
  used: boolean
  /** Set when it has ended. */
  onGone: () => void = () => {}
  #gone = false

  constructor(name: string, pid: number, { slots = 1, alone = false, version = '', used = false } = {}) {
    this.name = name
    this.pid = pid
    this.alone = alone
    this.version = version
    this.used = used
    this.control.onGone = () => this.end()
    while (this.slots.length < slots) this.#add()
  }

  get gone(): boolean {
    return this.#gone
  }

  get running(): number {
    return this.slots.filter(({ taken }) => taken).length
  }

  /** Resolves when it can be called, or has ended. */
  async ready(): Promise<void> {
    await Promise.all([this.control.arrived(), this.slots[0]?.arrived()])
  }

  /** A connection that nobody uses, taken for the caller; null: all are in use. */
  take(): Slot | null {
    const idle = this.slots.find(({ taken, line }) => !taken && line !== null)
    if (idle !== undefined) this.used = idle.taken = true
    return idle ?? null
  }

  /** One more connection, taken for the caller; null when the worker has ended. */
  async open(): Promise<Slot | null> {
    const slot = this.#add()
    this.used = slot.taken = true
    this.control.line?.send({ do: 'slot', slot: this.slots.length - 1 })
    await slot.arrived()
    return slot.line === null ? null : slot
  }

  cancel(slot: Slot, id: number): void {
    this.control.line?.send({ do: 'cancel', slot: this.slots.indexOf(slot), id })
  }

  /** Whether it says something within so many milliseconds. */
  async answers(milliseconds: number): Promise<boolean> {
    let timer!: NodeJS.Timeout
    const silent = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, milliseconds, false)
    })
    const answered = this.control.ask({ do: 'ping' }).then(
      () => true,
      () => false,
    )
    const first = await Promise.race([answered, silent])
    clearTimeout(timer)
    return first
  }

  get parties(): (Asked | Slot)[] {
    return [this.control, ...this.slots]
  }

  end(): void {
    if (this.#gone) return
    this.#gone = true
    for (const one of this.parties) one.end()
    this.onGone()
  }

  #add(): Slot {
    const slot = new Slot()
    slot.onGone = () => this.end()
    this.slots.push(slot)
    return slot
  }
}
