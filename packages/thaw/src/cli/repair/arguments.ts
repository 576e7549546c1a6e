import { ThawError } from '@thaw/protocol/errors'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'

export interface RepairOptions {
  verbose: boolean
  log: string | null
  normalRun: boolean
  workingDir: string | null
  /** -1: endless, up to the budget. */
  maxSaves: number
  /** An image, or a directory. */
  docker: string | null
  with: string | null
  openai: boolean
  anthropic: boolean
  model: string | null
  url: string | null
  prices: [number, number] | null
  interactive: boolean
  hot: boolean
  candidates: number
  check: string | null
  onStderr: string | null
  timeLimit: string | null
  every: string | null
  at: string[]
  rounds: number
  answerTime: string | null
  maxTime: string | null
  maxLines: number | null
  maxTokens: number | null
  maxCost: number | null
  verify: boolean
  keep: boolean
  engine: 'auto' | 'fork' | 'process' | null
  effects: 'redo' | 'keep' | null
  report: string | null
  terminal: boolean
  quiet: boolean
}

export type RepairArguments =
  | { verb: 'help'; text: string }
  | { verb: 'ls'; json: boolean }
  | { verb: 'show'; id: string; json: boolean }
  | { verb: 'undo'; id: string; options: { workingDir: string | null } }
  | { verb: 'run'; command: string[]; options: RepairOptions }

const EXAMPLES = `
Also:
  thaw repair undo [ID]       give the files what they held before a repair (the last one here)
  thaw repair ls [--json]     the repairs that are kept
  thaw repair show ID         the report of one

  thaw repair src/my_folder/my_faulty_code.py
  thaw repair --with 'my-agent --fix' --check 'pytest -q' python3 job.py --all
  thaw repair --interactive pytest -x tests/

The command's own options stand behind it; -- ends those of thaw. Exit code: the program's last
one; 124 when it had to be ended for --time-limit, 125 when thaw itself failed.
`

function describe(): Command {
  const whole = (text: string) => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError('a whole number is wanted.')
    return value
  }
  const number = (text: string) => {
    const value = Number(text)
    if (text === '' || !Number.isFinite(value)) throw new InvalidArgumentError('a number is wanted.')
    return value
  }
  const pair = (text: string) => {
    const values = text.split(',').map(number)
    if (values.length !== 2) throw new InvalidArgumentError('two numbers with a comma are wanted.')
    return values
  }
  const each = (text: string, before: string[]) => [...before, text]
  return (
    new Command('thaw repair')
      .description(
        'Runs a program under checkpoints; when it fails, has it edited, and goes on with the edit in effect.',
      )
      .usage('[options] [--] COMMAND... | SCRIPT.py ...')
      .argument('[command...]')
      .passThroughOptions()
      .exitOverride()
      .configureOutput({ writeErr: () => {}, writeOut: () => {} })
      // Defaults that matter stand in the texts.
      .configureHelp({ optionDescription: ({ description }) => description })
      .helpOption('-h, --help', 'this text (also -?)')
      .addHelpText('after', EXAMPLES)
      .option('-v, --verbose', 'say all that is done', false)
      .option(
        '-l, --log <file>',
        'what is done, with times; in the working directory when -D is given',
        orNull,
        null,
      )
      .option('-n, --normal-run', 'run the program, and nothing else', false)
      .option('-D, --working-dir <dir>', 'keep checkpoints, images and logs there', orNull, null)
      .option(
        '-m, --max-saves <n>',
        'most checkpoints kept; -1, the default: as many as fit the budget',
        whole,
        -1,
      )
      .option('-d, --docker <image>', 'run it in an image, or a root file system (./dir)', orNull, null)
      .option(
        '--with <cmd>',
        'who edits: a command; it gets a bundle on stdin and in $THAW_BUNDLE',
        orNull,
        null,
      )
      .option('--openai', 'who edits: a model of an OpenAI-compatible endpoint (OPENAI_API_KEY)', false)
      .option('--anthropic', "who edits: one of Anthropic's models (ANTHROPIC_API_KEY)", false)
      .option('--model <name>', 'which model', orNull, null)
      .option('--url <url>', 'address of the endpoint', orNull, null)
      .option('--prices <read,written>', 'dollars for a million tokens', pair, null)
      .option('-i, --interactive', 'who edits: you, in $EDITOR or a shell', false)
      .option('--hot', 'go on with the state as it is before the failing call', false)
      .option('--candidates <n>', 'ask for so many edits at once, and try them side by side', whole, 1)
      .option('--check <cmd>', 'it has succeeded when this ends with 0 as well', orNull, null)
      .option('--on-stderr <regex>', 'it has failed when stderr matches', orNull, null)
      .option('--time-limit <time>', 'it hangs when it takes longer, as 30s', orNull, null)
      .option('--every <time>', 'checkpoints by time as well, as 5s', orNull, null)
      .option('--at <place>', 'checkpoints before the calls of module:function', each, [])
      .option('--rounds <n>', 'ask at most so often (5)', whole, 5)
      .option('--answer-time <time>', 'for one answer (300s)', orNull, null)
      .option('--max-time <time>', 'for everything (1h)', orNull, null)
      .option('--max-lines <n>', 'lines that all edits together may change (400)', whole, null)
      .option('--max-tokens <n>', 'tokens of a model, read and written (500000)', whole, null)
      .option('--max-cost <dollars>', 'of a model; needs --prices', number, null)
      .option('--verify', 'compare the repaired program with a cold run', false)
      .option('--keep', 'keep the edits of a repair that has not succeeded', false)
      .addOption(
        new Option('--engine <name>', 'auto, fork or process, as for thaw run')
          .choices(['auto', 'fork', 'process'])
          .default(null),
      )
      .addOption(
        new Option('--effects <choice>', 'redo or keep, as for thaw run')
          .choices(['redo', 'keep'])
          .default(null),
      )
      .option('--report <file>', 'write what came of it, as JSON', orNull, null)
      .option('-t, --terminal', 'give the program a terminal', false)
      .option('-q, --quiet', 'no lines of its own', false)
  )
}

export function repairHelp(): string {
  let text = ''
  describe()
    .configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 100 })
    .outputHelp()
  return text
}

const orNull = (text: string): string | null => text

/** @throws ThawError USAGE */
export function parseRepairArguments(argv: readonly string[]): RepairArguments {
  const [first, second] = argv
  const words = argv.filter((word) => word !== '--json')
  const json = words.length < argv.length
  if (first === 'ls' && words.length === 1) return { verb: 'ls', json }
  if (first === 'show' && second !== undefined && words.length === 2)
    return { verb: 'show', id: second, json }
  if (first === 'undo') {
    const options = new Command()
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .argument('[id]')
    options.option('-D, --working-dir <dir>', '', orNull, null)
    parsed(options, argv.slice(1))
    return { verb: 'undo', id: options.args[0] ?? 'last', options: options.opts() }
  }
  const end = argv.findIndex((word) => !word.startsWith('-') || word === '--')
  const help = argv.slice(0, end < 0 ? undefined : end).some((word) => ['-?', '-h', '--help'].includes(word))
  if (help) {
    return { verb: 'help', text: repairHelp() }
  }
  const program = describe()
  parsed(program, argv)
  const options: RepairOptions = program.opts()
  const command = program.args
  if (command.length === 0) throw usage('There is no command to run.')
  const chosen = [options.with !== null, options.openai, options.anthropic, options.interactive].filter(
    Boolean,
  )
  if (chosen.length > 1) throw usage('One of --with, --openai, --anthropic and --interactive is enough.')
  if (options.maxSaves !== -1 && options.maxSaves < 1) throw usage('-m is -1, or 1 and more.')
  return { verb: 'run', command: interpreted(command), options }
}

function parsed(program: Command, argv: readonly string[]): void {
  try {
    program.parse([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    throw usage(error.message.replace(/^error: /, '').replace(/[^.)?]$/, '$&.'))
  }
}

/** A bare script is run with python3. */
function interpreted(command: string[]): string[] {
  return (command[0] ?? '').endsWith('.py') ? ['python3', ...command] : command
}

function usage(message: string): ThawError {
  return new ThawError('USAGE', message, { hint: 'See `thaw repair --help`.' })
}
