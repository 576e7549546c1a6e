import type { TcpAddress } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { findPaths } from '../../system/paths.js'
import { ask, askIfRunning, askSameBuild } from '../client.js'
import { print } from '../print.js'
import { bytes, seconds } from '../render/units.js'
import { startDaemon, stopDaemon } from '../start-daemon.js'

export async function start(options: { json?: boolean; tcp?: string; token: boolean }): Promise<number> {
  if (!options.token && options.tcp === undefined) {
    throw new ThawError('USAGE', '--no-token is of use with --tcp only.')
  }
  const address = options.tcp === undefined ? null : parseAddress(options.tcp)
  const { started } = await startDaemon(findPaths())
  const tcp =
    address === null
      ? null
      : await askSameBuild((client) => client.daemon.listen({ ...address, tokens: options.token }))
  const { pid } = await ask((client) => client.daemon.status())
  await print({ started, pid, tcp }, options.json, () => {
    const where = tcp === null ? '' : ` It listens on ${addressText(tcp)}.`
    return `${started ? 'Started' : 'Runs already'}, pid ${pid}.${where}\n`
  })
  return 0
}

function parseAddress(text: string): { host: string; port: number } {
  const [, host, port] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535) {
    throw new ThawError('USAGE', `--tcp wants ADDRESS:PORT, as 127.0.0.1:18080; not ${text}.`)
  }
  return { host, port: Number(port) }
}

function addressText({ host, port, tokens }: TcpAddress): string {
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  return `${url} ${tokens ? 'with tokens' : 'without a token: whoever can connect may do everything'}`
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
        ? one.tcp !== null
          ? 'not while it listens on TCP'
          : one.busy
            ? 'not while it keeps checkpoints'
            : 'not by itself'
        : `in ${seconds(one.idle_exit_seconds)} without work`
    return [
      `pid     ${one.pid}, thaw ${one.version}, up ${seconds(one.uptime_seconds)}`,
      `socket  ${one.socket}`,
      ...(one.tcp === null ? [] : [`tcp     ${addressText(one.tcp)}`]),
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
