import {
  BranchList,
  BranchNode,
  CheckpointList,
  CheckpointNode,
  Collected,
  Comparison,
  Exported,
  ImportedCheckpoint,
  DaemonStatus,
  Finding,
  Health,
  IdList,
  NewToken,
  Operation,
  OperationList,
  Removed,
  RunDetail,
  RepairList,
  RepairReport,
  RepairUndone,
  RunInputs,
  RunList,
  RunTree,
  SettingInForce,
  SetupReport,
  Stopped,
  TcpAddress,
  TokenList,
  VerifyReport,
  Version,
  type ResumeCheckpointInput,
  type RunSummary,
  type StartRunInput,
  type Token,
  type TokenRequestInput,
  type RepairSummary,
} from '@thaw/protocol'
import { z } from 'zod'
import { all, at, callOver, pages, query, type Call } from './call.js'
import { ImagesClient } from './images.js'
import { InstancesClient } from './instances.js'
import { PoolsClient } from './pools.js'
import { ServiceHandle, ServicesClient, type ServiceInput } from './services.js'
import { SnapshotsClient } from './snapshots.js'
import { OperationHandle, type StartOptions } from './operation.js'
import { settled, type SettledBranch } from './settled.js'
import type { Transport } from './transport.js'

/**
 * Every operation of the daemon but the streaming ones. Ids may be shortened to a prefix that fits nothing else.
 * All of them throw ThawError with a code of the catalogue.
 */
export class Client {
  readonly runs: RunsClient
  readonly branches: BranchesClient
  readonly checkpoints: CheckpointsClient
  readonly operations: OperationsClient
  readonly repairs: RepairsClient
  readonly daemon: DaemonClient
  readonly tokens: TokensClient
  readonly images: ImagesClient
  readonly instances: InstancesClient
  readonly snapshots: SnapshotsClient
  readonly pools: PoolsClient
  readonly services: ServicesClient

  constructor(transport: Transport) {
    const call = callOver(transport)
    this.runs = new RunsClient(call, transport)
    this.branches = new BranchesClient(call, transport)
    this.checkpoints = new CheckpointsClient(call, transport)
    this.operations = new OperationsClient(call, transport)
    this.repairs = new RepairsClient(call)
    this.daemon = new DaemonClient(call)
    this.tokens = new TokensClient(call)
    this.images = new ImagesClient(call)
    this.instances = new InstancesClient(call, transport)
    this.snapshots = new SnapshotsClient(call, transport)
    this.pools = new PoolsClient(call)
    this.services = new ServicesClient(call, transport)
  }

  /** Makes a service of a file, and returns what calls it. @throws ThawError as ServicesClient.deploy */
  async service({
    name,
    module,
    inactivityTtl,
    launchTimeout,
    compute,
  }: ServiceInput): Promise<ServiceHandle> {
    const more = {
      ...compute,
      ...(inactivityTtl === undefined ? {} : { inactivity_ttl: inactivityTtl }),
      ...(launchTimeout === undefined ? {} : { launch_timeout: launchTimeout }),
    }
    await this.services.deploy({ name, source: { file: module }, compute: more })
    return new ServiceHandle(this.services, name)
  }
}

function begin(
  call: Call,
  transport: Transport,
  path: string,
  body: unknown,
  { idempotencyKey, wait = 0, signal }: StartOptions,
): Promise<OperationHandle> {
  const headers: Record<string, string> = {
    ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    ...(wait === 0 ? {} : { prefer: `wait=${wait}` }),
  }
  const options = { body, headers, ...(signal === undefined ? {} : { signal }) }
  return call('POST', path, Operation, options).then((begun) => new OperationHandle(call, transport, begun))
}

class RunsClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /**
   * Runs a command, exactly, skipping what an earlier run already did. Returns once its program runs.
   *
   * @throws ThawError what the catalogue says for `thaw run`
   */
  start(request: StartRunInput, options: StartOptions = {}): Promise<OperationHandle> {
    return begin(this.#call, this.#transport, '/v1/runs', request, options)
  }

  /** All runs, the latest first. */
  list(): Promise<RunSummary[]> {
    return all(this.each())
  }

  /** The same, page by page. */
  each(): AsyncGenerator<RunSummary> {
    return pages(async (cursor) => {
      const { runs, next } = await this.#call('GET', `/v1/runs${query({ limit: 1000, cursor })}`, RunList)
      return { items: runs, next }
    })
  }

  get(id: string): Promise<RunDetail> {
    return this.#call('GET', `/v1/runs/${at(id)}`, RunDetail)
  }

  tree(id: string): Promise<RunTree> {
    return this.#call('GET', `/v1/runs/${at(id)}/tree`, RunTree)
  }

  /** Ids that begin with `prefix`, each with what it stands for. @param kinds also `instance`, `image`, `snapshot`, `pool`: their names */
  async ids(prefix = '', kinds: readonly string[] = ['run', 'branch', 'checkpoint']): Promise<IdList['ids']> {
    const query = `prefix=${encodeURIComponent(prefix)}&kinds=${kinds.join(',')}`
    return (await this.#call('GET', `/v1/ids?${query}`, IdList)).ids
  }

  /** The files that a run read and wrote. */
  inputs(id: string): Promise<RunInputs> {
    return this.#call('GET', `/v1/runs/${at(id)}/inputs`, RunInputs)
  }

  /** A checkpoint of what is live of a run or branch, at its next safe moment. */
  takeCheckpoint(id: string, name: string | null = null): Promise<CheckpointNode> {
    return this.#call('POST', `/v1/runs/${at(id)}/checkpoints`, CheckpointNode, { body: { name } })
  }

  /** Writes a checkpoint into a new file on the daemon's machine. The file holds the program's memory and environment. */
  export(id: string, file: string): Promise<Exported> {
    return this.#call('POST', `/v1/checkpoints/${at(id)}/export`, Exported, { body: { file } })
  }

  /** Makes a checkpoint of a file that `export` has written, on the daemon's machine. */
  import(file: string): Promise<ImportedCheckpoint> {
    return this.#call('POST', '/v1/checkpoints/import', ImportedCheckpoint, { body: { file } })
  }

  /** Compares what was recorded of a run or branch with a cold run in a private copy; takes as long as that, or twice. */
  verify(id: string, how: { redoEffects?: boolean } = {}): Promise<VerifyReport> {
    const request = { redo_effects: how.redoEffects ?? false }
    return this.#call('POST', `/v1/runs/${at(id)}/verify`, VerifyReport, { body: request })
  }

  /** Recorded output of the last branch of a run, or of one branch. `both`: stdout, then stderr. @param tail so many of the last bytes of each */
  logs(id: string, stream: 'stdout' | 'stderr' | 'both' = 'both', tail?: number): AsyncIterable<Uint8Array> {
    return this.#transport.bytes(`/v1/runs/${at(id)}/logs${query({ stream, tail })}`)
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
    return this.#call('POST', `/v1/repairs/${at(id)}/undo`, RepairUndone, { body: { cwd } })
  }
}

class BranchesClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /** The branches of a run, the latest first. */
  list(run: string): Promise<BranchNode[]> {
    return all(
      pages(async (cursor) => {
        const path = `/v1/branches${query({ run, limit: 1000, cursor })}`
        const { branches, next } = await this.#call('GET', path, BranchList)
        return { items: branches, next }
      }),
    )
  }

  /** A branch, or the last one of a run. */
  get(id: string): Promise<BranchNode> {
    return this.#call('GET', `/v1/branches/${at(id)}`, BranchNode)
  }

  /** All that it printed, what came before its checkpoint included. @param tail so many of the last bytes of each */
  logs(id: string, stream: 'stdout' | 'stderr' | 'both' = 'both', tail?: number): AsyncIterable<Uint8Array> {
    return this.#transport.bytes(`/v1/branches/${at(id)}/logs${query({ stream, tail })}`)
  }

  /** How the output and the exit of two branches differ. */
  compare(a: string, b: string): Promise<Comparison> {
    return this.#call('GET', `/v1/compare${query({ a, b })}`, Comparison)
  }
}

class CheckpointsClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /** The latest first. */
  list(which: { run?: string; state?: CheckpointNode['state'] } = {}): Promise<CheckpointNode[]> {
    return all(
      pages(async (cursor) => {
        const path = `/v1/checkpoints${query({ ...which, limit: 1000, cursor })}`
        const { checkpoints, next } = await this.#call('GET', path, CheckpointList)
        return { items: checkpoints, next }
      }),
    )
  }

  get(id: string): Promise<CheckpointNode> {
    return this.#call('GET', `/v1/checkpoints/${at(id)}`, CheckpointNode)
  }

  /**
   * Goes on from a checkpoint, in `count` branches. Returns once all of them run; when one cannot, none does.
   *
   * @throws ThawError NOT_EXACT, CHECKPOINT_GONE and what else the catalogue says for `thaw resume`
   */
  start(id: string, how: ResumeCheckpointInput = {}, options: StartOptions = {}): Promise<OperationHandle> {
    return begin(this.#call, this.#transport, `/v1/checkpoints/${at(id)}/resume`, how, options)
  }

  /**
   * The same, to the end of each branch: what came of it, in order, or why that cannot be told. Like
   * Promise.allSettled, it fails only when no branch was begun.
   */
  async resume(
    id: string,
    how: ResumeCheckpointInput = {},
    options: StartOptions = {},
  ): Promise<SettledBranch[]> {
    return settled(await this.start(id, how, options), options.signal)
  }

  /** Gives it up, with its process or files. Returns the ids of all that went with it. */
  async remove(id: string, how: { cascade?: boolean; force?: boolean } = {}): Promise<string[]> {
    return (await this.#call('DELETE', `/v1/checkpoints/${at(id)}${query(how)}`, Removed)).removed
  }
}

class OperationsClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /** Those that the daemon remembers, the latest first. */
  list(which: { state?: Operation['state'] } = {}): Promise<Operation[]> {
    return all(
      pages(async (cursor) => {
        const path = `/v1/operations${query({ ...which, limit: 1000, cursor })}`
        const { operations, next } = await this.#call('GET', path, OperationList)
        return { items: operations, next }
      }),
    )
  }

  /** One that was begun before, to be waited for or followed. */
  async get(id: string): Promise<OperationHandle> {
    const found = await this.#call('GET', `/v1/operations/${at(id)}`, Operation)
    return new OperationHandle(this.#call, this.#transport, found)
  }
}

class TokensClient {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  async list(): Promise<Token[]> {
    return (await this.#call('GET', '/v1/tokens', TokenList)).tokens
  }

  /** The token itself is in the answer this once. */
  create(request: TokenRequestInput): Promise<NewToken> {
    return this.#call('POST', '/v1/tokens', NewToken, { body: request })
  }

  async remove(id: string): Promise<void> {
    await this.#call('DELETE', `/v1/tokens/${at(id)}`, z.object({}))
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
    return (await this.#call('POST', '/v1/daemon/stop', answer, { body: { force: how.force ?? false } })).pid
  }

  /** Listens on a TCP address as well. @throws ThawError LISTEN_FAILED, TOKEN_REQUIRED */
  listen(address: { host: string; port: number; tokens?: boolean }): Promise<TcpAddress> {
    return this.#call('PUT', '/v1/daemon/tcp', TcpAddress, { body: address })
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
    return (await this.#call('POST', '/v1/settings', answer, { body: { cwd, env } })).settings
  }
}
