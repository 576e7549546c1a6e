import { findPaths } from '../../system/paths.js'
import { ask, askIfRunning } from '../client.js'
import { print } from '../print.js'
import { bytes, seconds } from '../render/units.js'
import { startDaemon, stopDaemon } from '../start-daemon.js'

export async function start(options: { json?: boolean }): Promise<number> {
  const { started } = await startDaemon(findPaths())
  const status = await ask((client) => client.daemon.status())
  await print({ started, pid: status.pid }, options.json, () =>
    started ? `Started, pid ${status.pid}.\n` : `Runs already, pid ${status.pid}.\n`,
  )
  return 0
}

export async function stop(options: { json?: boolean; force?: boolean }): Promise<number> {
  const pid = await askIfRunning((client) => client.daemon.stop({ force: options.force ?? false }))
  if (pid !== null) await stopDaemon(findPaths(), pid)
  await print({ stopped: pid }, options.json, () =>
    pid === null ? 'No daemon runs.\n' : `Stopped, pid ${pid}.\n`,
  )
  return 0
}

export async function status(options: { json?: boolean }): Promise<number> {
  const found = await askIfRunning((client) => client.daemon.status())
  if (found === null) {
    const { socket, state, log } = findPaths()
    await print({ pid: null, socket, state, log }, options.json, () => {
      return `No daemon runs; the next command starts one.\nsocket ${socket}\nstate  ${state}\nlog    ${log}\n`
    })
    return 0
  }
  await print(found, options.json, (one) => {
    const ends =
      one.idle_exit_seconds === null
        ? one.busy
          ? 'not while it keeps checkpoints'
          : 'not by itself'
        : `in ${seconds(one.idle_exit_seconds)} without work`
    return [
      `pid     ${one.pid}, thaw ${one.version}, up ${seconds(one.uptime_seconds)}`,
      `socket  ${one.socket}`,
      `state   ${one.state}`,
      `log     ${one.log}`,
      `running ${one.live}`,
      `memory  ${bytes(one.memory_bytes)} in parked checkpoints`,
      `ends    ${ends}`,
      '',
    ].join('\n')
  })
  return 0
}
