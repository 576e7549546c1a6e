/** Programs that run as they are: no agent, no sandbox, cold each time. */
import type { Allowance, StartRequest } from '@thaw/protocol'
import type { Branch, StreamsSpec } from '../engines/engine.js'
import { Family } from '../engines/fork/family.js'
import { launcherEnvironment } from '../languages/index.js'
import type { Scope } from '../system/index.js'
import { seconds, type Launch, type Started } from './launch.js'
import type { Root } from './lineage.js'
import type { Begun } from './report.js'
import type { Run } from './run.js'
import type { Workshop } from './workshop.js'

export interface PlainStart {
  root: Root
  /** What the daemon can give of the caller's allowance. */
  given: Allowance
  /** Whether the command is of no language: Python programs below it are runs of their own. */
  generic: boolean
  reason: string | null
  /** When the caller asked, as performance.now() tells it. */
  began: number
}

export async function startPlain(
  shop: Workshop,
  run: Run,
  launch: Launch,
  request: StartRequest,
  how: PlainStart,
  scope: Scope,
): Promise<Started> {
  const planned = seconds(how.began)
  const { runtime, cache } = shop.paths
  const family = await Family.open(await shop.anyPython(scope), runtime, cache, 0, scope)
  const record = launch.newRecord(how.root, request.env, null, { engine: 'fork', watched: false })
  const execution = launch.newExecution(record)
  const { stdin, joined, terminal, command, cwd, umask } = request
  const streams: StreamsSpec = { stdin, joined, terminal }
  const from = performance.now()
  let branch: Branch
  try {
    branch = await shop.engine.launch(
      family,
      {
        branch: launch.id,
        argv: command,
        env: how.generic ? environment(shop, launch, request) : request.env,
        cwd,
        umask,
        allowance: how.given,
        streams,
        listener: execution,
      },
      scope,
    )
  } catch (error) {
    await family[Symbol.asyncDispose]()
    execution.recorded.close()
    throw error
  }
  launch.announce()
  void launch.flow.lead([])
  execution.attach(branch, 0)
  shop.began(run, execution, branch)
  const begun: Begun = {
    outcome: 'cold',
    checkpoint: null,
    changed: [],
    reason: how.reason,
    effects: [],
    planned,
    restored: seconds(from),
  }
  launch.counted(begun)
  const done = branch.exited.then(async (exit) => {
    execution.finish(exit)
    await launch.flow.finished()
    await family[Symbol.asyncDispose]()
    shop.ended(run, execution, exit)
    return launch.report(begun, exit, seconds(from), null)
  })
  return launch.started(execution, done)
}

function environment(shop: Workshop, launch: Launch, request: StartRequest): Record<string, string> {
  const { env, typed, flags, settings } = request
  if (!settings.launchers) return env
  const { socket } = shop.paths
  return launcherEnvironment(env, { token: launch.opened(), socket, daemon: process.pid, typed, flags })
}
