/** What an engine does for runs. Engines know nothing of languages. */
import type {
  AgentEvent,
  AgentSetup,
  CheckpointMessage,
  FilePatch,
  PreImage,
  StopPlace,
} from '@thaw/protocol/agent'
import type { Allowance } from '@thaw/protocol'
import type { Scope } from '../system/index.js'

export interface Ability {
  name: string
  works: boolean
  /** Why not, and what to do; null when it works. */
  reason: string | null
}

export interface TerminalSize {
  rows: number
  cols: number
}

/** How a branch is connected to its caller. */
export interface StreamsSpec {
  stdin: 'null' | 'stream'
  /** One pipe for stdout and stderr: their order is kept, everything arrives as stdout. */
  joined: boolean
  terminal: TerminalSize | null
}

/** Told what a branch does. Calls come in order; none comes after `exited` has resolved. */
export interface BranchListener {
  /** Returns false to stop reading until `Branch.resumeOutput`. The bytes are valid during the call only. */
  output(stream: 'stdout' | 'stderr', bytes: Buffer): boolean
  events(list: AgentEvent[]): void
  write(path: string, seq: number, pre: PreImage, mode: number | null): void
  /**
   * All output from before the checkpoint has been handed over, and the branch goes on when this resolves; or the message
   * is `quiet`: nothing was printed since the checkpoint before, nor read from stdin, and the branch goes on already.
   */
  checkpoint(image: Image, message: CheckpointMessage, stdinConsumed: number): Promise<void>
  /** @param asked somebody waits for this checkpoint */
  refused(why: string | null, asked: boolean): void
  /** The agent has sent everything there is to know. */
  end(seq: number, work: number): void
}

export interface BranchExit {
  code: number | null
  signal: string | null
  /** Processes it had left running. */
  strays: number
  /** Bytes of stdin that the program had taken. */
  stdinConsumed: number
}

/** A live process of a run. */
export interface Branch {
  readonly id: string
  readonly pid: number
  /** What of its patches could not be put in place; hot ones only. */
  readonly left: readonly string[]
  readonly exited: Promise<BranchExit>
  /** Resolves when the bytes are in the program's pipe; at once when the program is gone. */
  writeStdin(bytes: Uint8Array): Promise<void>
  endStdin(): void
  resumeOutput(): void
  /** The caller reads this stream no more; the program is told as any writer to a closed pipe is. */
  closeOutput(stream: 'stdout' | 'stderr'): void
  /** To the program's process group. A program that is gone is no error. */
  signal(name: string): Promise<void>
  resize(size: TerminalSize): Promise<void>
  /** Has the program take a checkpoint soon; the listener learns of it. @throws ThawError UNSUPPORTED */
  askCheckpoint(): Promise<void>
}

/** A checkpoint as the engine keeps it. */
export interface Image {
  readonly engine: 'fork'
  readonly pid: number
  /** Whether it can still be restored. */
  readonly alive: boolean
  /** Whether the directory it works in is still the one of that name. */
  readonly inPlace: boolean
}

export interface LaunchSpec {
  branch: string
  argv: string[]
  env: Record<string, string>
  cwd: string
  umask: number
  /** What the daemon itself can give. */
  allowance: Allowance
  streams: StreamsSpec
  listener: BranchListener
}

/** A process parked before its program's first statement. */
export interface BaseSpec {
  /** Command line in which `stub` stands for the program's agent. */
  argv: (stub: string) => string[]
  python: string
  env: Record<string, string>
  cwd: string
  umask: number
  /** What the daemon itself can give. */
  allowance: Allowance
  setup: Omit<AgentSetup, 'socket' | 'cache'>
}

export interface RestoreSpec {
  branch: string
  /** Variables to set; null unsets. */
  env: Record<string, string | null> | null
  files: FilePatch[]
  stops: readonly StopPlace[]
  /** Which of the branches of one resume it is, from 1; null elsewhere. */
  number: number | null
  streams: StreamsSpec
  listener: BranchListener
}

export interface Engine<Group = unknown> {
  readonly name: 'fork' | 'process' | 'vm'
  /** What works here, and for what does not: why, and what to do. */
  probe(): Promise<Ability[]>
  /** Starts a program without an agent. On failure nothing is left. */
  launch(group: Group, spec: LaunchSpec, scope: Scope): Promise<Branch>
  /** Parks an interpreter before its program's first statement: checkpoint 0. On failure nothing is left. */
  prepare(group: Group, spec: BaseSpec, scope: Scope): Promise<Image>
  /** Prerequisite: the image is alive. On failure the image is as it was. */
  restore(group: Group, image: Image, spec: RestoreSpec, scope: Scope): Promise<Branch>
  /** Ends a parked process. One that is gone is no error. */
  discard(image: Image): Promise<void>
}

/** A parked process cannot go on as asked, and stays as it was: `message` says why. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused'
}
