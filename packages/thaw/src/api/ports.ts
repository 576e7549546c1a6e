import type {
  AttachFrom,
  BreakPlace,
  CheckpointNode,
  Collected,
  Exported,
  Finding,
  ImportedCheckpoint,
  RepairBundle,
  RepairReport,
  RepairRequest,
  RepairSummary,
  RepairUndone,
  ResumeSpec,
  RunInputs,
  RunReport,
  RunSummary,
  RunTree,
  SetupReport,
  SignalName,
  StartRequest,
  VerifyReport,
} from '@thaw/protocol'
import type { Scope } from '../system/index.js'

/** Where a run's output goes. A promise that is not resolved holds the program back. */
export interface Sink {
  started(ids: { run: string; branch: string }): void
  stdout(chunk: Uint8Array): Promise<void>
  stderr(chunk: Uint8Array): Promise<void>
}

export interface Handle<Done = void> {
  stdin(chunk: Uint8Array): Promise<void>
  stdinEnd(): void
  signal(name: SignalName): Promise<void>
  resize(rows: number, cols: number): Promise<void>
  /** To the question of a repair that was asked first. */
  answer?(given: AnswerTo): void
  readonly done: Promise<Done>
}

export interface AnswerTo {
  diff: string | null
  give_up: boolean
}

export interface RepairStart extends Omit<RepairRequest, 'run'> {
  /** Of repairers and checks; the program's may be another one. */
  env: Record<string, string>
  run: StartRequest & { saves: BreakPlace[] }
}

export interface RepairSinks extends Sink {
  note(text: string, detail: boolean): void
  ask(bundle: RepairBundle, directory: string): Promise<AnswerTo>
}

/** What the API needs of the repairs. */
export interface RepairsPort {
  readonly busy: boolean
  start(request: RepairStart, sink: RepairSinks, scope: Scope): Handle<RepairReport>
  list(): RepairSummary[]
  report(id: string): RepairReport
  undo(id: string, cwd: string | null): Promise<RepairUndone>
}

/** What the API needs of engines that fetch what they lack. */
export interface SetupPort {
  findings(scope: Scope): Promise<Finding[]>
  /** @throws ThawError ENGINE_MISSING, SETUP_FAILED */
  setup(engine: 'process' | 'vm', scope: Scope): Promise<SetupReport>
}

/** What the API needs of the runs; ids are whole. */
export interface RunsPort {
  /** @param sinks as many as there are to be branches */
  resume(
    checkpoint: string,
    spec: ResumeSpec,
    sinks: readonly Sink[],
    scope: Scope,
  ): Promise<Handle<RunReport>>
  /** Of what is live of a run or a branch, at its next safe moment. */
  checkpoint(id: string, name: string | null): Promise<CheckpointNode>
  start(request: StartRequest, sink: Sink, scope: Scope): Promise<Handle<RunReport>>
  /** From `start`: what it has printed so far comes first; a branch that has ended is no error then. */
  attach(branch: string, from: AttachFrom, sink: Sink): Promise<Handle>
  /** Of one on disk, into a new file. */
  export(checkpoint: string, file: string): Promise<Exported>
  import(file: string): Promise<ImportedCheckpoint>
  /** A program below a launcher runs as it is. */
  passedBelow(launch: string, command: string[], reason: string): void
  list(): RunSummary[]
  get(id: string): RunSummary | undefined
  tree(run: string): RunTree
  inputs(run: string): RunInputs
  logs(branch: string, stream: 'stdout' | 'stderr'): AsyncIterable<Uint8Array>
  /** Of a run, or of one branch. */
  verify(id: string, redoEffects: boolean, scope: Scope): Promise<VerifyReport>
  stop(id: string): Promise<string[]>
  remove(id: string, how: { cascade: boolean; force: boolean }): Promise<string[]>
  collect(): Promise<Collected>
  doctor(): Promise<Finding[]>
  busy(): boolean
  live(): number
  memory(): number
  /** Checkpoints in memory. */
  parked(): number
}
