import {
  BranchNode,
  CheckpointNode,
  Collected,
  DaemonStatus,
  Finding,
  Health,
  IdList,
  Removed,
  RepairList,
  RepairReport,
  RepairUndone,
  RunInputs,
  RunList,
  RunReport,
  RunSummary,
  RunTree,
  SettingInForce,
  SetupReport,
  Stopped,
  ThawError,
  VerifyReport,
  Version,
  type RepairSummary,
} from '@thaw/protocol'
import { z } from 'zod'
import type { Transport } from './transport.js'

const RunDetail = RunSummary.extend({ report: RunReport.nullable() })

/**
 * Every operation of the daemon but the streaming ones. Ids may be shortened to a prefix that fits nothing else.
 * All of them throw ThawError with a code of the catalogue.
 */
export class Client {
  readonly #transport: Transport
  readonly runs: RunsClient
  readonly repairs: RepairsClient
  readonly daemon: DaemonClient

  constructor(transport: Transport) {
    this.#transport = transport
    const call: Call = (method, path, schema, body) => this.#call(method, path, schema, body)
    this.runs = new RunsClient(call, transport)
    this.repairs = new RepairsClient(call)
    this.daemon = new DaemonClient(call)
  }

  async #call<S extends z.ZodType>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    schema: S,
    body?: unknown,
  ): Promise<z.output<S>> {
    const answer = await this.#transport.request(method, path, body)
    if (answer.status < 200 || answer.status > 299) throw ThawError.fromBody(answer.body)
    const parsed = schema.safeParse(answer.body)
    if (parsed.success) return parsed.data
    throw new ThawError(
      'VERSION_MISMATCH',
      `The daemon's answer to ${method} ${path} does not fit this client.`,
      {
        cause: parsed.error,
      },
    )
  }
}

type Call = <S extends z.ZodType>(
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  schema: S,
  body?: unknown,
) => Promise<z.output<S>>

const at = (id: string) => encodeURIComponent(id)

class RunsClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  async list(): Promise<RunSummary[]> {
    return (await this.#call('GET', '/v1/runs', RunList)).runs
  }

  get(id: string): Promise<z.infer<typeof RunDetail>> {
    return this.#call('GET', `/v1/runs/${at(id)}`, RunDetail)
  }

  tree(id: string): Promise<RunTree> {
    return this.#call('GET', `/v1/runs/${at(id)}/tree`, RunTree)
  }

  /** Ids that begin with `prefix`, each with what it stands for. */
  async ids(
    prefix = '',
    kinds: readonly ('run' | 'branch' | 'checkpoint')[] = ['run', 'branch', 'checkpoint'],
  ): Promise<IdList['ids']> {
    const query = `prefix=${encodeURIComponent(prefix)}&kinds=${kinds.join(',')}`
    return (await this.#call('GET', `/v1/ids?${query}`, IdList)).ids
  }

  /** The files that a run read and wrote. */
  inputs(id: string): Promise<RunInputs> {
    return this.#call('GET', `/v1/runs/${at(id)}/inputs`, RunInputs)
  }

  branch(id: string): Promise<BranchNode> {
    return this.#call('GET', `/v1/branches/${at(id)}`, BranchNode)
  }

  checkpoint(id: string): Promise<CheckpointNode> {
    return this.#call('GET', `/v1/checkpoints/${at(id)}`, CheckpointNode)
  }

  /** A checkpoint of what is live of a run or branch, at its next safe moment. */
  takeCheckpoint(id: string, name: string | null = null): Promise<CheckpointNode> {
    return this.#call('POST', `/v1/runs/${at(id)}/checkpoints`, CheckpointNode, { name })
  }

  /** Compares what was recorded of a run or branch with a cold run in a private copy; takes as long as that, or twice. */
  verify(id: string, how: { redoEffects?: boolean } = {}): Promise<VerifyReport> {
    const request = { redo_effects: how.redoEffects ?? false }
    return this.#call('POST', `/v1/runs/${at(id)}/verify`, VerifyReport, request)
  }

  /** Recorded output of the last branch of a run, or of one branch. `both`: stdout, then stderr. */
  logs(id: string, stream: 'stdout' | 'stderr' | 'both' = 'both'): AsyncIterable<Uint8Array> {
    return this.#transport.bytes(`/v1/runs/${at(id)}/logs?stream=${stream}`)
  }

  /** Ends what is live of a run or a branch. Returns the branches that were. */
  async stop(id: string): Promise<string[]> {
    return (await this.#call('POST', `/v1/runs/${at(id)}/stop`, Stopped)).stopped
  }

  /** Forgets a run or a checkpoint. Returns the ids of all that went with it. */
  async remove(id: string, how: { cascade?: boolean; force?: boolean } = {}): Promise<string[]> {
    const query = `cascade=${how.cascade ?? false}&force=${how.force ?? false}`
    return (await this.#call('DELETE', `/v1/runs/${at(id)}?${query}`, Removed)).removed
  }

  collect(): Promise<Collected> {
    return this.#call('POST', '/v1/gc', Collected)
  }
}

class RepairsClient {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  /** The latest first. */
  async list(): Promise<RepairSummary[]> {
    return (await this.#call('GET', '/v1/repairs', RepairList)).repairs
  }

  get(id: string): Promise<RepairReport> {
    return this.#call('GET', `/v1/repairs/${at(id)}`, RepairReport)
  }

  /** Gives the files what they held before a repair. `last`: the last one of the project in which `cwd` lies. */
  undo(id: string, cwd: string | null = null): Promise<RepairUndone> {
    return this.#call('POST', `/v1/repairs/${at(id)}/undo`, RepairUndone, { cwd })
  }
}

class DaemonClient {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  status(): Promise<DaemonStatus> {
    return this.#call('GET', '/v1/daemon', DaemonStatus)
  }

  health(): Promise<z.infer<typeof Health>> {
    return this.#call('GET', '/healthz', Health)
  }

  version(): Promise<Version> {
    return this.#call('GET', '/version', Version)
  }

  /** Returns the pid of the daemon that is ending. */
  async stop(how: { force?: boolean } = {}): Promise<number> {
    const answer = z.object({ pid: z.number() })
    return (await this.#call('POST', '/v1/daemon/stop', answer, { force: how.force ?? false })).pid
  }

  async doctor(): Promise<Finding[]> {
    return (await this.#call('GET', '/v1/doctor', z.object({ findings: z.array(Finding) }))).findings
  }

  /** Fetches what engines lack; takes as long as that takes. */
  async setup(): Promise<SetupReport> {
    return await this.#call('POST', '/v1/setup', SetupReport)
  }

  async settings(cwd: string, env: Record<string, string>): Promise<SettingInForce[]> {
    const answer = z.object({ settings: z.array(SettingInForce) })
    return (await this.#call('POST', '/v1/settings', answer, { cwd, env })).settings
  }
}
