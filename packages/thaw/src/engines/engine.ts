/** What an engine does for runs. Engines know nothing of languages. */
import type {
  AgentEvent,
  AgentSetup,
  CheckpointMessage,
  FailureMessage,
  FilePatch,
  PreImage,
  RestoreMessage,
  StopPlace,
  StartFiles,
} from '@thaw/protocol/agent'
import type { Allowance } from '@thaw/protocol'
import type { Scope, ThawError } from '../system/index.js'

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

/** Told what a program prints. */
export interface OutputListener {
  /** Returns false to stop reading until `Branch.resumeOutput`. The bytes are valid during the call only. */
  output(stream: 'stdout' | 'stderr', bytes: Buffer): boolean
}

/** Told what a branch does. Calls come in order; none comes after `exited` has resolved. */
export interface BranchListener extends OutputListener {
  events(list: AgentEvent[]): void
  write(path: string, seq: number, pre: PreImage, mode: number | null): void
  /** The program stands still for a checkpoint, and all its output from before has been handed over. */
  cut(stdinConsumed: number): void
  /**
   * After a `cut`, and the branch may wait for this to resolve; or the message is `quiet`: nothing was printed since the
   * checkpoint before, nor read from stdin, and the branch goes on already.
   */
  checkpoint(image: AnyImage, message: CheckpointMessage): Promise<void>
  /**
   * @param asked somebody waits for this checkpoint
   * @param sandbox in a sandbox there might be one
   */
  refused(why: string | null, asked: boolean, sandbox: boolean): void
  /** The agent has sent everything there is to know. */
  end(seq: number, work: number): void
  /** Where the program stands that fails, or was asked; of branches that were restored to be diagnosed. */
  failure?(message: FailureMessage): void
  /** What the interpreter says when a signal ends it. */
  fault?(line: string): void
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
  /** Known at its end: what kept that from being what the program's was; null: nothing. */
  readonly failure?: ThawError | null
  /** Known at its end: what is to be told beside it, in words. */
  readonly notes?: readonly string[]
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
  /** Has a program with an agent say where it stands; the listener learns of it. */
  askStanding?(): Promise<void>
  /** Lets a branch go on that was restored to be held. */
  release?(): void
}

/** A checkpoint, whatever the engine. */
export interface AnyImage {
  readonly engine: 'fork' | 'process' | 'vm'
  /** Whether it can still be restored. */
  readonly alive: boolean
  /** Whether the directory it works in is still the one of that name. */
  readonly inPlace: boolean
}

/** A parked process. */
export interface Image extends AnyImage {
  readonly engine: 'fork'
  readonly pid: number
  /** Of a base: what its interpreter had read by then. */
  readonly start: StartFiles | null
}

export function isParked(image: AnyImage): image is Image {
  return image.engine === 'fork'
}

/** A branch that is about to be. */
export interface StartSpec {
  branch: string
  streams: StreamsSpec
  listener: OutputListener
}

export interface LaunchSpec extends StartSpec {
  argv: string[]
  env: Record<string, string>
  cwd: string
  umask: number
  /** What the daemon itself can give. */
  allowance: Allowance
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

/** How a program with an agent goes on. */
export interface RestoreSpec extends StartSpec {
  /** Variables to set; null unsets. */
  env: Record<string, string | null> | null
  files: FilePatch[]
  stops: readonly StopPlace[]
  /** Which of the branches of one resume it is, from 1; null elsewhere. */
  number: number | null
  /** It is to tell where it stands when it fails. */
  diagnose: RestoreMessage['diagnose']
  /** A copy of the project that it is to see in the project's place. */
  view: RestoreMessage['view']
  /** It goes on only when `Branch.release` is called. */
  hold: boolean
  listener: BranchListener
}

export interface Engine<
  Group,
  Kept extends AnyImage,
  How extends StartSpec,
  Start extends LaunchSpec = LaunchSpec,
> {
  readonly name: Kept['engine']
  /** What works here, and for what does not: why, and what to do. */
  probe(): Promise<Ability[]>
  /** Starts a program without an agent. On failure nothing is left. */
  launch(group: Group, spec: Start, scope: Scope): Promise<Branch>
  /** Prerequisite: the image is alive. On failure the image is as it was. */
  restore(group: Group, image: Kept, spec: How, scope: Scope): Promise<Branch>
  /** Gives an image up. One that is gone is no error. */
  discard(image: Kept): Promise<void>
}

/** An engine whose checkpoints are taken by an agent inside the program. */
export interface AgentEngine<Group> extends Engine<Group, Image, RestoreSpec, LaunchSpec> {
  /** Parks an interpreter before its program's first statement: checkpoint 0. On failure nothing is left. */
  prepare(group: Group, spec: BaseSpec, scope: Scope): Promise<Image>
}

/** An engine that takes checkpoints of any program from outside. */
export interface OutsideEngine<
  Group,
  Kept extends AnyImage,
  How extends StartSpec,
  Start extends LaunchSpec = LaunchSpec,
> extends Engine<Group, Kept, How, Start> {
  /** The branch runs on, also on failure; then nothing is left of the image. */
  checkpoint(group: Group, branch: Branch, scope: Scope): Promise<Kept>
}

/** A parked process cannot go on as asked, and stays as it was: `message` says why. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused'
}
