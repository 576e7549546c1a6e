/** The socket on which the agents of one run report. */
import { readFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { agentMessage, type AgentMessage, type DaemonMessage } from '@thaw/protocol/agent'
import type { BranchListener } from '../engine.js'
import type { Log } from '../../system/index.js'
import { splitLines } from './lines.js'

/** Asks the agent for a checkpoint (agents/python/thaw_agent/marks.py). */
export const ASK = 'SIGRTMAX'
export const ASK_NUMBER = 64

/** Whether a process has a handler for what asks its agent. */
export function canBeAsked(pid: number): boolean {
  try {
    return catchesAsk(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

/** @param status of a process, as the kernel tells it in /proc */
export function catchesAsk(status: string): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1]
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(ASK_NUMBER - 1)) & 1n) === 1n
}

export type Hello = Extract<AgentMessage, { t: 'hello' }>

/** One agent process's line. */
export class AgentLine {
  readonly hello: Hello
  readonly #socket: Socket
  #onMessage: ((message: AgentMessage) => void) | null = null
  #early: AgentMessage[] = []
  readonly closed: Promise<void>

  constructor(socket: Socket, hello: Hello) {
    this.#socket = socket
    this.hello = hello
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  send(message: DaemonMessage): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`)
  }

  /** Takes over what the agent says, from its first message on. */
  listen(onMessage: (message: AgentMessage) => void): void {
    this.#onMessage = onMessage
    const early = this.#early
    this.#early = []
    for (const message of early) onMessage(message)
  }

  receive(message: AgentMessage): void {
    if (this.#onMessage === null) this.#early.push(message)
    else this.#onMessage(message)
  }

  close(): void {
    this.#socket.destroy()
  }
}

export class AgentServer implements AsyncDisposable {
  readonly path: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #log: Log
  onHello: (line: AgentLine) => void = () => {}

  private constructor(path: string, log: Log) {
    this.path = path
    this.#log = log
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** Listens on a path in a private directory. */
  static async listen(path: string, log: Log): Promise<AgentServer> {
    const agents = new AgentServer(path, log)
    await new Promise<void>((resolve, reject) => {
      agents.#server.once('error', reject)
      agents.#server.listen(path, () => resolve())
    })
    return agents
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
    let line: AgentLine | null = null
    const take = splitLines((text) => {
      const message = agentMessage.parse(
        line !== null && !text.startsWith('{') ? { t: 'fault', text } : JSON.parse(text),
      )
      if (line !== null) return line.receive(message)
      if (message.t !== 'hello') throw new Error('the first message is not hello')
      line = new AgentLine(socket, message)
      this.onHello(line)
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        take(chunk)
      } catch (error) {
        // Its process runs on without checkpoints; nothing that it says later can be trusted.
        this.#log.error('An agent sent what is not in the protocol.', { error })
        socket.destroy()
      }
    })
  }

  /** Closes every line. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

/** Hands on what an agent says of its program; a checkpoint is left to the engine. */
export function hearsay(message: Exclude<AgentMessage, { t: 'checkpoint' }>, listener: BranchListener): void {
  switch (message.t) {
    case 'events':
      return listener.events(message.list)
    case 'write':
      return listener.write(message.path, message.seq, message.pre, message.mode ?? null)
    case 'refused':
      return listener.refused(message.why, message.asked, message.sandbox)
    case 'end':
      return listener.end(message.seq, message.work)
    case 'failure':
      return listener.failure?.(message)
    case 'fault':
      return listener.fault?.(message.text)
    default:
      throw new Error(`a branch does not send ${message.t}`)
  }
}
