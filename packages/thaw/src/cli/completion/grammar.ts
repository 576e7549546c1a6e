import type { Command, Option as CommandOption } from 'commander'

export type IdKind =
  | 'run'
  | 'branch'
  | 'checkpoint'
  | 'instance'
  | 'instance-checkpoint'
  | 'image'
  | 'snapshot'
  | 'pool'
  | 'service'

export interface Candidate {
  word: string
  about: string
}

/** What can stand at a place of a command line. */
export type Answer =
  | { kind: 'words'; words: Candidate[] }
  | { kind: 'ids'; kinds: readonly IdKind[]; words: Candidate[] }
  | { kind: 'files' }
  | { kind: 'command'; at: number }

interface Option {
  names: string[]
  about: string
  /** What its value is; null: it has none. */
  value: string | null
}

/** Verbs that take options of their own and then a command. */
const RUNNERS = new Set(['run', 'watch', 'repair'])
const ARGUMENTS: Record<string, readonly IdKind[]> = {
  run: ['run'],
  checkpoint: ['checkpoint'],
  id: ['run', 'branch', 'checkpoint'],
  token: [],
  instance: ['instance'],
  image: ['image'],
  snapshot: ['snapshot'],
  pool: ['pool'],
  service: ['service'],
}
/** Options whose value is one of these. */
const VALUES: Record<string, readonly IdKind[]> = {
  '--from': ['snapshot'],
  '--checkpoint': ['instance-checkpoint'],
}
/** Verbs whose `id` is not of every kind. */
const IDS: Record<string, readonly IdKind[]> = {
  logs: ['run', 'branch'],
  attach: ['run', 'branch'],
  stop: ['run', 'branch'],
  verify: ['run', 'branch'],
  rm: ['run', 'checkpoint'],
}

/** The options that a help text lists, one a line: names, perhaps a value in capitals, two spaces, what it does. */
export function optionsOf(help: string): Option[] {
  const lines = help.match(/^ {2}-.*$/gm) ?? []
  return lines.flatMap((line) => {
    const [, names = '', value, about = ''] =
      /^ {2}(-[^\s,]+(?:, -[^\s,]+)*)(?: ([A-Z]+|<[\w,]+>))? {2,}(.*)$/.exec(line) ?? []
    const kind = value?.replace(/[<>]/g, '').toUpperCase() ?? null
    return names === '' ? [] : [{ names: names.split(', '), about, value: kind }]
  })
}

/**
 * @param words what was typed, `thaw` first
 * @param at index of the word to be completed
 * @param choices the words an option allows, where they are few
 */
export function answerFor(
  thaw: Command,
  runHelp: string,
  repairHelp: string,
  choices: Record<string, readonly string[]>,
  words: readonly string[],
  at: number,
): Answer {
  const current = words[at] ?? ''
  const verb = words[1] ?? ''
  if (at <= 1) {
    const verbs = thaw.commands.map((one) => ({ word: one.name(), about: one.description() }))
    return fitting(current, [...verbs, { word: 'help', about: 'tell more about a command' }, ...flags(thaw)])
  }
  if (verb === 'help') {
    return fitting(current, at === 2 ? thaw.commands.map((one) => ({ word: one.name(), about: '' })) : [])
  }
  if (RUNNERS.has(verb)) {
    const options = optionsOf(verb === 'repair' ? repairHelp : runHelp)
    return runnerAnswer(options, choices, words, at)
  }
  let first = 2
  let more: Candidate[] = []
  let command = thaw.commands.find((one) => one.name() === verb)
  if (command === undefined) return { kind: 'words', words: [] }
  while (command.commands.length > 0) {
    const below: Command | undefined = command.commands.find((one) => one.name() === words[first])
    const verbs: Candidate[] = command.commands.map((one) => ({ word: one.name(), about: one.description() }))
    if (below === undefined || at <= first) {
      if (command.registeredArguments.length === 0) return fitting(current, verbs)
      if (at === first) more = verbs
      break
    }
    command = below
    first++
  }
  let before = 0
  for (let i = first; i < at; i++) {
    const option = command.options.find(({ short, long }) => [short, long].includes(words[i] ?? ''))
    if (option?.required === true && ++i === at) return optionAnswer(option, current)
    if (option === undefined && words[i]?.startsWith('-') === false) before++
  }
  if (current.startsWith('-')) return fitting(current, flags(command))
  const { registeredArguments: all } = command
  const argument = all[Math.min(before, all.length - 1)]
  if (argument === undefined) return { kind: 'words', words: [] }
  if (argument.argChoices !== undefined) {
    return fitting(
      current,
      argument.argChoices.map((word) => ({ word, about: '' })),
    )
  }
  const kinds = IDS[verb] ?? ARGUMENTS[argument.name()]
  if (kinds === undefined) return { kind: 'files' }
  const last = kinds.includes('run') ? [{ word: 'last', about: 'the run used last' }] : []
  return { kind: 'ids', kinds, words: fitting(current, [...last, ...more]).words }
}

/** What an option of a verb wants: one of few words, a name, a file, or anything. */
function optionAnswer({ long = '', argChoices, flags: usage }: CommandOption, current: string): Answer {
  if (argChoices !== undefined) {
    return fitting(
      current,
      argChoices.map((word) => ({ word, about: '' })),
    )
  }
  const kinds = VALUES[long]
  if (kinds !== undefined) return { kind: 'ids', kinds, words: [] }
  return usage.includes('<file') ? { kind: 'files' } : { kind: 'words', words: [] }
}

function runnerAnswer(
  options: Option[],
  choices: Record<string, readonly string[]>,
  words: readonly string[],
  at: number,
): Answer {
  const valued = new Map(
    options
      .filter((one) => one.value !== null)
      .flatMap((one) => one.names.map((name) => [name, one] as const)),
  )
  for (let i = 2; i < at; i++) {
    const word = words[i] ?? ''
    if (word === '--') return { kind: 'command', at: i + 1 }
    if (!word.startsWith('-')) return { kind: 'command', at: i }
    // bash takes the equals sign for a word.
    const equals = words[i + 1] === '='
    if (valued.has(word)) i += equals ? 2 : 1
    if (i >= at)
      return valueAnswer(
        word,
        valued.get(word),
        choices,
        equals && words[at] === '=' ? '' : (words[at] ?? ''),
      )
  }
  const current = words[at] ?? ''
  if (!current.startsWith('-')) return { kind: 'command', at }
  const [name, given] = current.split('=', 2)
  if (given !== undefined && name !== undefined && valued.has(name)) {
    const answer = valueAnswer(name, valued.get(name), choices, given)
    if (answer.kind !== 'words') return answer
    return {
      kind: 'words',
      words: answer.words.map(({ word, about }) => ({ word: `${name}=${word}`, about })),
    }
  }
  return fitting(
    current,
    options.flatMap((one) => one.names.map((word) => ({ word, about: one.about }))),
  )
}

function valueAnswer(
  name: string,
  option: Option | undefined,
  choices: Record<string, readonly string[]>,
  current: string,
): Answer & { kind: 'words' | 'files' } {
  const allowed = choices[name.replace(/^--/, '')]
  if (allowed !== undefined) {
    return fitting(
      current,
      allowed.map((word) => ({ word, about: '' })),
    )
  }
  return option?.value === 'FILE' ? { kind: 'files' } : { kind: 'words', words: [] }
}

function flags(command: Command): Candidate[] {
  return command.options.flatMap((option) =>
    [option.short, option.long].flatMap((word) =>
      word === undefined || word === null ? [] : [{ word, about: option.description }],
    ),
  )
}

function fitting(current: string, words: readonly Candidate[]): Answer & { kind: 'words' } {
  return { kind: 'words', words: words.filter(({ word }) => word.startsWith(current)) }
}
