import type { Service, ServiceRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { dirname, join, relative, resolve } from 'node:path'
import type { Client } from '@thaw/sdk'
import { hostname } from 'node:os'
import { findProject } from '../../system/project.js'
import { askProducts as ask, askSameBuild, remoteTransport } from '../client.js'
import { execAt, shellAt } from '../inside.js'
import { outputTo } from '../output.js'
import { print } from '../print.js'
import { renderService, renderServices } from '../render/services.js'
import { asArguments } from '../service-arguments.js'

interface Json {
  json?: boolean
}

interface DeployOptions extends Json {
  name?: string
  root?: string
  fn?: string[]
  class?: string
  arg?: string[]
  python?: string
  env?: string[]
  launchTimeout?: string
  ttl?: string
  ttlAction?: 'freeze' | 'stop'
  concurrency?: string
  workers?: string
  queue?: string
  timeout?: string
  debugTimeout?: string
  isolation?: 'service' | 'call'
  reload?: 'hot' | 'exact'
  sync?: 'call' | 'deploy'
  engine?: 'auto' | 'process' | 'plain'
  pickle?: boolean
  repair?: string
  replace?: boolean
  app?: boolean
  port?: string
  ready?: string
  net?: 'private' | 'private+out' | 'host'
  upload?: boolean
}

export async function deploy(words: string[], options: DeployOptions): Promise<number> {
  const [file = '', ...more] = words
  if (options.app === true) return deployApp(words, options)
  if (more.length > 0)
    throw new ThawError('USAGE', `${more.join(' ')}: one file is deployed, or a command with --app.`)
  const path = resolve(file)
  const name = options.name ?? (path.split('/').at(-1) ?? '').replace(/\.\w+$/, '')
  const made = asArguments(options.arg ?? [])
  const isSent = options.upload === true || (await remoteTransport()) !== null
  const compute = {
    python: options.python ?? null,
    env: environment(options.env ?? [], isSent),
    ...some('launch_timeout', options.launchTimeout),
    ...some('inactivity_ttl', options.ttl),
    ...some('ttl_action', options.ttlAction),
    ...some('concurrency', numberOf(options.concurrency)),
    ...some('workers', numberOf(options.workers)),
    ...some('queue', numberOf(options.queue)),
    ...some('timeout', options.timeout),
    ...some('debug_timeout', options.debugTimeout),
    ...some('isolation', options.isolation),
    ...some('reload', options.reload),
    ...some('sync', options.sync),
    ...some('engine', options.engine),
    ...some('pickle', options.pickle),
    ...some('repair', repairBy(options.repair)),
  }
  const request = {
    name,
    source: {
      file: path,
      root: options.root === undefined ? null : resolve(options.root),
      callables: options.fn ?? null,
      class: options.class === undefined ? null : { name: options.class, ...made },
    },
    compute,
    replace: options.replace ?? false,
  }
  const service = isSent
    ? await ask((client) => deploySent(client, request))
    : await askSameBuild((client) => client.services.deploy(request))
  await print(service, options.json, (one) => `${summaryOf(one)}\n`)
  return 0
}

/** What is said of functions only. */
const OF_FUNCTIONS = [
  'fn',
  'class',
  'arg',
  'python',
  'workers',
  'isolation',
  'reload',
  'pickle',
  'repair',
] as const

async function deployApp(command: string[], options: DeployOptions): Promise<number> {
  const wrong = OF_FUNCTIONS.find((name) => options[name] !== undefined)
  if (wrong !== undefined) throw new ThawError('USAGE', `--${wrong} is for functions, not for an app.`)
  const { name, port } = options
  if (name === undefined || port === undefined)
    throw new ThawError('USAGE', 'An app needs --name and --port.')
  const request = {
    name,
    app: {
      command,
      port: numberOf(port),
      cwd: resolve(options.root ?? '.'),
      ...some('ready', options.ready),
      ...some('network', options.net),
    },
    compute: {
      env: environment(options.env ?? [], (await remoteTransport()) !== null),
      ...some('launch_timeout', options.launchTimeout),
      ...some('inactivity_ttl', options.ttl),
      ...some('ttl_action', options.ttlAction),
      ...some('timeout', options.timeout),
      ...some('concurrency', numberOf(options.concurrency)),
      ...some('queue', numberOf(options.queue)),
      ...some('sync', options.sync),
      ...some('engine', options.engine),
    },
    replace: options.replace ?? false,
  }
  const service = await askSameBuild((client) => client.services.deployApp(request))
  const took = (service.start_seconds ?? 0).toFixed(2)
  await print(
    service,
    options.json,
    (one) => `${one.name} is ${one.state} (started in ${took} s): /v1/services/${one.name}/app/\n`,
  )
  return 0
}

/** Of what the daemon has of the code already nothing travels. */
async function deploySent(client: Client, request: ServiceRequestInput): Promise<Service> {
  const { codeIn } = await import('../code.js')
  const { name, source } = request
  const top = source.root ?? findProject(dirname(source.file), source.file)
  const { root, sent } = await client.services.upload(name, `${hostname()}:${top}`, codeIn(top))
  const bytes = sent.reduce((sum, one) => sum + one.bytes, 0)
  process.stderr.write(`thaw: sent ${sent.length} files, ${bytes} bytes.\n`)
  const file = join(root, relative(top, source.file))
  return await client.services.deploy({ ...request, source: { ...source, file, root } })
}

/** A line for /bin/sh. */
function repairBy(command: string | undefined) {
  return command === undefined ? undefined : { repairer: { kind: 'command' as const, command } }
}

/** The environment of the one who deploys, as a program would have it that he started; on another machine only what is given. */
function environment(given: readonly string[], isSent: boolean): Record<string, string> {
  const own = Object.entries(isSent ? {} : process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('THAW_'),
  )
  const more = given.map((one) => {
    const at = one.indexOf('=')
    if (at < 1) throw new ThawError('USAGE', `${one} is no NAME=VALUE.`)
    return [one.slice(0, at), one.slice(at + 1)] as const
  })
  return Object.fromEntries([...own, ...more])
}

function summaryOf({ name, callables, version, state, start_seconds: seconds }: Service): string {
  const names = callables.map((one) => `${one.name}${one.signature}`).join(', ')
  const took = seconds === null ? '' : ` (started in ${seconds.toFixed(2)} s)`
  return `${name} is ${state}, code ${version ?? '-'}${took}: ${names}`
}

export async function ls({ json }: Json): Promise<number> {
  await print(await ask((client) => client.services.list()), json, renderServices)
  return 0
}

export async function show(name: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.services.get(name)), json, renderService)
  return 0
}

export async function logs(name: string, { follow = false }: { follow?: boolean }): Promise<number> {
  const outputs = outputTo(1)
  try {
    await ask(async (client) => {
      for await (const chunk of client.services.logs(name, { follow })) await outputs.write(chunk)
    })
    await outputs.flush()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 141
    throw error
  }
  return 0
}

/** In its environment: its files, its variables, beside its processes. */
export function shell(name: string): Promise<number> {
  return shellAt(execStream(name))
}

export function exec(name: string, command: string[], { terminal = false }: { terminal?: boolean }) {
  return execAt(execStream(name), command, { terminal })
}

const execStream = (name: string) => `/v1/services/${encodeURIComponent(name)}/exec/stream`

const verb =
  (which: 'reset' | 'restart' | 'freeze' | 'thaw' | 'stop') =>
  async (names: string[], { json }: Json): Promise<number> => {
    const done: Service[] = []
    for (const name of names) done.push(await ask((client) => client.services[which](name)))
    await print(done, json, (all) => all.map((one) => `${one.name} is ${one.state}\n`).join(''))
    return 0
  }
export const reset = verb('reset')
export const restart = verb('restart')
export const freeze = verb('freeze')
export const thaw = verb('thaw')
export const stop = verb('stop')

export async function rm(names: string[], { json }: Json): Promise<number> {
  for (const name of names) await ask((client) => client.services.remove(name))
  await print({ removed: names }, json, () => names.map((name) => `removed ${name}\n`).join(''))
  return 0
}

interface CallVerbOptions extends Json {
  timeout?: string
  codeVersion?: string
  isolation?: 'service' | 'call'
}

/** What it prints goes where this prints; its result, as JSON, comes last on stdout. */
export async function call(
  name: string,
  fn: string,
  words: string[],
  { timeout, codeVersion, isolation, json }: CallVerbOptions,
): Promise<number> {
  const gone = new AbortController()
  process.once('SIGINT', () => gone.abort())
  const streams = { stdout: outputTo(1), stderr: outputTo(2) }
  const options = {
    ...some('timeout', timeout === undefined ? undefined : numberOf(timeout)),
    ...some('version', codeVersion),
    ...some('isolation', isolation),
    signal: gone.signal,
    onOutput: (stream: 'stdout' | 'stderr', text: string) => streams[stream].write(Buffer.from(text)),
  }
  try {
    const answer = await ask((client) => client.services.answer(name, fn, asArguments(words), options))
    await streams.stdout.flush()
    await streams.stderr.flush()
    const { result, stale } = answer
    if (result instanceof Uint8Array && json !== true) {
      await streams.stdout.write(result)
      await streams.stdout.flush()
    } else await print(answer, json, () => (result === null ? '' : `${JSON.stringify(result)}\n`))
    if (stale !== null) process.stderr.write(`thaw: ${stale.message} The code before it answered.\n`)
    return 0
  } catch (error) {
    if (gone.signal.aborted) return 130
    if (!(error instanceof ThawError) || error.code !== 'CALL_RAISED') throw error
    await streams.stdout.flush()
    const { traceback, version } = (error.details ?? {}) as { traceback?: string; version?: string }
    process.stderr.write(traceback ?? `${error.message}\n`)
    process.stderr.write(`thaw: CALL_RAISED: ${fn} of ${name} raised an error (code ${version ?? '-'}).\n`)
    return 1
  }
}

function numberOf(text: string): number
function numberOf(text: string | undefined): number | undefined
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || (text !== '' && Number.isFinite(Number(text))))
    return text === undefined ? text : Number(text)
  throw new ThawError('USAGE', `${text} is no number.`)
}

function some<K extends string, V>(name: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [key in K]?: V })
}
