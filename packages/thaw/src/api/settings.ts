import {
  DaemonSettings,
  RunSettings,
  Settings,
  type SettingInForce,
  type SettingName,
  type SettingSource,
} from '@thaw/protocol'
import { lstatSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { ThawError } from '../system/index.js'

type Env = Record<string, string | undefined>

interface Found {
  value: unknown
  source: SettingSource
  where: string | null
}

export interface ResolvedSettings {
  values: Settings
  found: Record<SettingName, Found>
}

const NAMES = Object.keys(Settings.shape) as SettingName[]
/** Variables that begin with THAW_ and are no settings: thaw's own, and those of its Python client. */
const OTHER_VARIABLES = new Set([
  'THAW_HOME',
  'THAW_AGENT',
  'THAW_LAUNCHER',
  'THAW_NOFILE',
  'THAW_COMMAND',
  'THAW_URL',
  'THAW_TOKEN',
  'THAW_FIRECRACKER',
  'THAW_MACHINE',
])

/**
 * The settings in force: flags over environment over the project's thaw.toml over the user's over defaults.
 *
 * @param from.cwd where the search for the project's thaw.toml begins; it goes upwards
 * @param from.flags values given on the command line; null and undefined count as not given
 * @throws ThawError INVALID_SETTING naming file and line, or the variable
 */
export function resolveSettings(from: {
  env: Env
  userFile: string
  cwd?: string
  flags?: Partial<Record<SettingName, unknown>>
}): ResolvedSettings {
  const found = new Map<SettingName, Found>()
  readFile(from.userFile, 'user', found)
  const project = from.cwd === undefined ? undefined : findProjectFile(from.cwd)
  if (project !== undefined && project !== from.userFile) readFile(project, 'project', found)
  readEnvironment(from.env, found)
  for (const [name, value] of Object.entries(from.flags ?? {})) {
    if (value !== null && value !== undefined) {
      found.set(name as SettingName, {
        value: check(name as SettingName, value, `--${name}`),
        source: 'flag',
        where: `--${name}`,
      })
    }
  }
  const values = Settings.parse({})
  const all = {} as Record<SettingName, Found>
  for (const name of NAMES) {
    all[name] = found.get(name) ?? { value: values[name], source: 'default', where: null }
    Object.assign(values, { [name]: all[name].value })
  }
  return { values, found: all }
}

export function runSettings(resolved: ResolvedSettings): RunSettings {
  return pick(RunSettings.shape, resolved.values)
}

export function daemonSettings(resolved: ResolvedSettings): DaemonSettings {
  return pick(DaemonSettings.shape, resolved.values)
}

/** For `thaw doctor --config`. */
export function describeSettings(resolved: ResolvedSettings): SettingInForce[] {
  return NAMES.map((name) => ({
    name,
    ...resolved.found[name],
    help: Settings.shape[name].description ?? '',
  }))
}

function pick<T>(shape: object, values: Settings): T {
  return Object.fromEntries(Object.keys(shape).map((name) => [name, values[name as SettingName]])) as T
}

function check(name: SettingName, value: unknown, where: string): unknown {
  const result = Settings.shape[name].safeParse(value)
  if (result.success) return result.data
  const why = result.error.issues[0]?.message ?? 'it does not fit'
  throw new ThawError('INVALID_SETTING', `${where}: ${name} = ${JSON.stringify(value)}: ${why}.`)
}

function readEnvironment(env: Env, found: Map<SettingName, Found>): void {
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('THAW_') || text === undefined || OTHER_VARIABLES.has(variable)) continue
    const name = variable.slice(5).toLowerCase()
    if (!isName(name)) {
      throw new ThawError('INVALID_SETTING', `The variable ${variable} is not a setting.${nearest(name)}`, {
        hint: 'Unset it; `thaw doctor --config` lists every setting.',
      })
    }
    if (text === '') continue
    found.set(name, {
      value: check(name, fromText(name, text), variable),
      source: 'environment',
      where: variable,
    })
  }
}

/** Text as the type the setting wants: what fits first of text, number, boolean. */
function fromText(name: SettingName, text: string): unknown {
  const candidates: unknown[] = [text]
  if (/^-?\d+(\.\d+)?$/.test(text)) candidates.push(Number(text))
  if (/^(1|true|yes|on)$/i.test(text)) candidates.push(true)
  if (/^(0|false|no|off)$/i.test(text)) candidates.push(false)
  const fitting = candidates.find((candidate) => Settings.shape[name].safeParse(candidate).success)
  // A number that does not fit is refused as a number: the range is what its caller has to know.
  return fitting ?? candidates.find((candidate) => typeof candidate === 'number') ?? text
}

function readFile(file: string, source: 'user' | 'project', found: Map<SettingName, Found>): void {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return
    throw new ThawError('INVALID_SETTING', `${file} cannot be read (${code}).`, { cause: error })
  }
  let table: Record<string, unknown>
  try {
    table = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? 'not TOML'
    throw new ThawError('INVALID_SETTING', `${file}:${error.line}:${error.column}: ${what}.`, {
      cause: error,
    })
  }
  for (const [name, value] of Object.entries(table)) {
    const where = `${file}:${lineOf(text, name)}`
    if (!isName(name))
      throw new ThawError('INVALID_SETTING', `${where}: unknown setting ${name}.${nearest(name)}`)
    if (source === 'project' && name in DaemonSettings.shape) {
      throw new ThawError('INVALID_SETTING', `${where}: ${name} is the daemon's, one for all projects.`, {
        hint: "Set it in the user's thaw.toml or in the environment of the daemon.",
      })
    }
    found.set(name, { value: check(name, value, where), source, where })
  }
}

function lineOf(text: string, key: string): number {
  const lines = text.split('\n')
  const at = lines.findIndex((line) => {
    const bare = line
      .trim()
      .replace(/^\[+\s*/, '')
      .replace(/^["']/, '')
    return bare.startsWith(key) && /^["']?\s*([=.\]]|$)/.test(bare.slice(key.length))
  })
  return at < 0 ? 1 : at + 1
}

function isName(name: string): name is SettingName {
  return Object.hasOwn(Settings.shape, name)
}

function nearest(name: string): string {
  const near = NAMES.find(
    (known) => known.startsWith(name.slice(0, 3)) || known.includes(name) || name.includes(known),
  )
  return near === undefined ? '' : ` Perhaps ${near} was meant.`
}

/** The nearest thaw.toml upwards. One that belongs to another user (other than root) is passed over. */
function findProjectFile(cwd: string): string | undefined {
  const uid = process.getuid?.()
  for (let directory = cwd; ; directory = dirname(directory)) {
    const file = join(directory, 'thaw.toml')
    const owner = ownerOf(file)
    if (owner !== undefined && (owner === uid || owner === 0)) return file
    if (dirname(directory) === directory) return undefined
  }
}

function ownerOf(file: string): number | undefined {
  try {
    return lstatSync(file).uid
  } catch {
    return undefined
  }
}
