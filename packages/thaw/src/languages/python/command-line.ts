/** Python's command line, as far as it decides what runs. */

export interface PythonCommand {
  /** Options before the program, as given. */
  flags: string[]
  main: { kind: 'script' | 'module' | 'command'; name: string }
  args: string[]
}

/** Options without a value that change nothing about which code runs. */
const KEPT = new Set('bBdEIOPqRsSu')
const INTERACTIVE = 'an interactive interpreter'

/** Reads the arguments after the interpreter; a string says why the program cannot run under the agent. */
export function parsePythonArguments(args: readonly string[]): PythonCommand | string {
  const flags: string[] = []
  let i = 0
  for (; i < args.length; i++) {
    const arg = args[i] as string
    if (arg === '-') return 'the program comes from stdin'
    if (!arg.startsWith('-')) break
    if (arg === '--') {
      i++
      break
    }
    if (arg.startsWith('--')) {
      if (arg !== '--check-hash-based-pycs') return `the option ${arg}`
      flags.push(arg, args[++i] ?? '')
      continue
    }
    let kept = ''
    for (let k = 1; k < arg.length; k++) {
      const option = arg[k] as string
      const attached = arg.slice(k + 1)
      if (option === 'c' || option === 'm') {
        if (kept !== '') flags.push(`-${kept}`)
        const name = attached === '' ? args[++i] : attached
        if (name === undefined) return `nothing after -${option}`
        return { flags, main: { kind: option === 'c' ? 'command' : 'module', name }, args: args.slice(i + 1) }
      }
      if (option === 'W' || option === 'X') {
        const value = attached === '' ? args[++i] : attached
        if (value === undefined) return `nothing after -${option}`
        if (option === 'X' && value === 'importtime')
          return 'the option -X importtime, which times every import'
        if (kept !== '') flags.push(`-${kept}`)
        kept = ''
        flags.push(`-${option}`, value)
        break
      }
      if (option === 'i') return INTERACTIVE
      if (!KEPT.has(option)) return `the option -${option}`
      kept += option
    }
    if (kept !== '') flags.push(`-${kept}`)
  }
  const script = args[i]
  if (script === undefined) return INTERACTIVE
  if (script === '-') return 'the program comes from stdin'
  return { flags, main: { kind: 'script', name: script }, args: args.slice(i + 1) }
}

/** The interpreter that a script's first lines name. */
export interface Shebang {
  interpreter: string
  /** Looked up on PATH (`/usr/bin/env`). */
  lookup: boolean
  flags: string[]
}

const PYTHON_NAME = /^(python|pypy)\d*(\.\d+)?$/

export function isPythonName(path: string): boolean {
  return PYTHON_NAME.test(path.slice(path.lastIndexOf('/') + 1))
}

/** @param head the beginning of the file */
export function parseShebang(head: string): Shebang | null {
  const [first = '', second = ''] = head.split('\n')
  if (!first.startsWith('#!')) return null
  const match = /^#!\s*(\S+)\s*(.*?)\s*$/.exec(first)
  const program = match?.[1] ?? ''
  const rest = match?.[2] ?? ''
  if (isPythonName(program)) return { interpreter: program, lookup: false, flags: rest === '' ? [] : [rest] }
  if (program.endsWith('/env')) {
    const words = rest.replace(/^-S\s*/, '').split(/\s+/)
    const [name = '', ...flags] = rest.startsWith('-S') ? words : [rest]
    return isPythonName(name) ? { interpreter: name, lookup: !name.includes('/'), flags } : null
  }
  // What pip writes where the interpreter's path is too long, or has spaces, for a first line.
  const trampoline = /^'''exec'\s+(?:"([^"]+)"|(\S+))\s+"\$0"\s+"\$@"/.exec(second)
  const target = trampoline?.[1] ?? trampoline?.[2]
  return program.endsWith('/sh') && target !== undefined && isPythonName(target)
    ? { interpreter: target, lookup: false, flags: [] }
    : null
}
