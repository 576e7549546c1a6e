import type { Service, ServiceStop } from '@thaw/protocol'
import { fields, some, table } from './table.js'
import { bytes, seconds } from './units.js'

export function renderServices(services: readonly Service[]): string {
  if (services.length === 0) return 'No services. `thaw service deploy FILE.py` makes one.\n'
  return table(
    ['SERVICE', 'STATE', 'CODE', 'CALLS', 'RUNNING', 'MEMORY', 'DISK', 'IDLE', 'FROM'],
    services.map((one) => [
      one.name,
      one.state,
      one.version ?? '',
      String(one.calls),
      String(one.running),
      one.memory_bytes === 0 ? '' : bytes(one.memory_bytes),
      one.disk_bytes === 0 ? '' : bytes(one.disk_bytes),
      one.idle_seconds === null ? '' : seconds(one.idle_seconds),
      originOf(one),
    ]),
  )
}

const originOf = ({ source, app }: Service) => source?.file ?? app?.command.join(' ') ?? ''

export function renderStops(stops: readonly ServiceStop[]): string {
  if (stops.length === 0) return 'No call stands at a breakpoint.\n'
  return table(
    ['CALL', 'FUNCTION', 'STANDS IN', 'PLACE', 'WAITED', 'DEBUGGER', 'COPY'],
    stops.map((one) => [
      String(one.call),
      one.fn,
      one.function,
      `${one.file}:${one.line}`,
      seconds(one.waited_seconds),
      one.attached ? 'attached' : '',
      one.uncopied === null ? 'yes' : `no: ${one.uncopied}`,
    ]),
  )
}

export function renderService(one: Service): string {
  const { compute, reload, stale } = one
  const executed = reload?.executed.map(({ file, line, text }) => `${file}:${line}: ${text}`) ?? []
  return fields([
    ['service', one.name],
    ['state', one.state],
    ...some('reason', one.reason),
    [one.app === null ? 'file' : 'command', originOf(one)],
    ...some('class', one.source?.class?.name ?? null),
    ...some('port', one.app === null ? null : `${one.app.port} (network: ${one.app.network})`),
    ...some('directory', one.app?.cwd ?? null),
    ...some('code', one.version),
    ...some('not in use', stale === null ? null : `${stale.message} (the code before it serves)`),
    ...some(
      'callables',
      one.source === null
        ? null
        : one.callables.map(({ name, signature }) => `${name}${signature}`).join(', '),
    ),
    ...some('asked at', one.app === null ? null : `/v1/services/${one.name}/app/`),
    ...some('engine', one.engine),
    ...some(
      'workers',
      one.source === null
        ? null
        : one.workers.map(({ pid, memory_bytes }) => `${pid} (${bytes(memory_bytes)})`).join(' '),
    ),
    ['calls', `${one.calls}, ${one.failed} failed, ${one.running} running, ${one.waiting} waiting`],
    ['memory', bytes(one.memory_bytes)],
    ...some('disk', one.disk_bytes === 0 ? null : bytes(one.disk_bytes)),
    ...some('started in', one.start_seconds === null ? null : seconds(one.start_seconds)),
    ...some('thawed in', one.thaw_seconds === null ? null : seconds(one.thaw_seconds)),
    ...some(
      'rests',
      compute.inactivity_ttl === null
        ? null
        : `${compute.ttl_action} after ${seconds(compute.inactivity_ttl)} without a call`,
    ),
    ...some('edit', reload === null ? null : `${reload.how} in ${seconds(reload.seconds)}, at ${reload.at}`),
    ...some('patched', reload === null || reload.patched.length === 0 ? null : reload.patched.join(' ')),
    ...some('executed', executed.length === 0 ? null : executed.join(', ')),
    ['made', one.created_at],
  ])
}
