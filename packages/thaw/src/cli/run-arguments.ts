import { ThawError } from '@thaw/protocol/errors'
import { resolve } from 'node:path'

export interface RunArguments {
  command: string[]
  fresh: boolean
  engine: string | null
  effects: string | null
  report: string | null
  /** Where to stop. */
  break: string[]
  /** Time between checkpoints, as `5s`. */
  every: string | null
  breakOutput: string | null
  breakListen: number | null
  net: string
  tcp: string | null
  /** An image, or a directory by its whole path. */
  image: string | null
  /** Of a machine, as `2GB`. */
  memory: string | null
  cpus: number | null
  terminal: boolean
  quiet: boolean
  help: boolean
}

export const CHOICES: Record<string, readonly string[]> = {
  engine: ['auto', 'fork', 'process', 'vm'],
  effects: ['redo', 'keep'],
  net: ['host', 'private', 'private+out'],
  tcp: ['keep', 'close'],
}

/**
 * The arguments of `thaw run`. Options end at the first word that is none, or at `--`: what follows belongs to the
 * command, whatever it looks like.
 *
 * @throws ThawError USAGE
 */
export function parseRunArguments(argv: readonly string[]): RunArguments {
  const parsed: RunArguments = {
    command: [],
    fresh: false,
    engine: null,
    effects: null,
    report: null,
    break: [],
    every: null,
    breakOutput: null,
    breakListen: null,
    net: 'host',
    tcp: null,
    image: null,
    memory: null,
    cpus: null,
    terminal: false,
    quiet: false,
    help: false,
  }
  let at = 0
  for (; at < argv.length; at++) {
    const word = argv[at] as string
    if (word === '--') {
      at++
      break
    }
    if (!word.startsWith('-') || word === '-') break
    const equals = word.startsWith('--') ? word.indexOf('=') : -1
    const name = equals < 0 ? word : word.slice(0, equals)
    const value = (): string => {
      const given = equals < 0 ? argv[++at] : word.slice(equals + 1)
      if (given === undefined || given === '') throw usage(`${name} wants a value.`)
      return given
    }
    const choice = (key: 'engine' | 'effects' | 'net' | 'tcp'): string => {
      const given = value()
      const allowed = CHOICES[key] as readonly string[]
      if (!allowed.includes(given)) throw usage(`${name} is one of ${allowed.join(', ')}; not ${given}.`)
      return given
    }
    switch (name) {
      case '--engine':
        parsed.engine = choice('engine')
        continue
      case '--effects':
        parsed.effects = choice('effects')
        continue
      case '--net':
        parsed.net = choice('net')
        continue
      case '--tcp':
        parsed.tcp = choice('tcp')
        continue
      case '--image':
        parsed.image = imageOf(value())
        continue
      case '--memory':
        parsed.memory = value()
        continue
      case '--cpus':
        parsed.cpus = parseCpus(value())
        continue
      case '--break-output':
        parsed.breakOutput = value()
        continue
      case '--break-listen':
        parsed.breakListen = parsePort(value())
        continue
      case '--report':
        parsed.report = value()
        continue
      case '--break':
        parsed.break.push(value())
        continue
      case '--every':
        parsed.every = value()
        continue
    }
    if (equals >= 0) throw usage(`${name} is not an option with a value.`)
    const flags = word.startsWith('--') ? [word] : Array.from(word.slice(1), (letter) => `-${letter}`)
    for (const flag of flags) setFlag(parsed, flag)
  }
  parsed.command = argv.slice(at)
  if (parsed.command.length === 0 && !parsed.help) throw usage('There is no command to run.')
  return parsed
}

function setFlag(parsed: RunArguments, flag: string): void {
  switch (flag) {
    case '--fresh':
      parsed.fresh = true
      return
    case '-t':
    case '--terminal':
      parsed.terminal = true
      return
    case '-q':
    case '--quiet':
      parsed.quiet = true
      return
    case '-h':
    case '--help':
      parsed.help = true
      return
    default:
      throw usage(`thaw run has no option ${flag}.`)
  }
}

/** What begins as a path is a directory; all else is the name of an image. */
export function imageOf(text: string): string {
  return /^\.{0,2}(\/|$)/.test(text) ? resolve(text) : text
}

/** @throws ThawError USAGE */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw usage(`${text} is no port.`)
  return port
}

function parseCpus(text: string): number {
  const count = /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (count < 1) throw usage(`${text} is no number of processors.`)
  return count
}

function usage(message: string): ThawError {
  return new ThawError('USAGE', message, { hint: 'See `thaw run --help`.' })
}
