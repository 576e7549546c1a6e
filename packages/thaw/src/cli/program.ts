import { API_VERSION } from '@thaw/protocol/api'
import { ThawError } from '@thaw/protocol/errors'
import { Argument, Command, CommanderError } from 'commander'
import { VERSION } from '../version.js'
import { print } from './print.js'

const AFTER_HELP = `
First steps:
  thaw run python3 app.py     the first time: as always
  (edit app.py)
  thaw run python3 app.py     runs only what the edit changed
  thaw tree                   what it could go on from
  thaw watch python3 app.py   the same at every save

IDs may be shortened; \`last\` is the run used last. thaw help COMMAND tells more.
`

/** The command line: its verbs, and the exit code of the one that was carried out. */
export function describeProgram(): { thaw: Command; code: () => number } {
  let code = 0
  const thaw = new Command('thaw')
  /** Loads a verb's file when it is asked for, and keeps its exit code. */
  const to =
    <A extends unknown[]>(load: () => Promise<(...given: A) => Promise<number>>) =>
    async (...given: unknown[]) => {
      // Commander adds itself as the last argument.
      code = await (await load())(...(given.slice(0, -1) as A))
    }
  thaw
    .description('Run a program once; from then on, run only what your edit changed.')
    .version(VERSION, '-V, --version', 'show the version')
    .addHelpText('after', AFTER_HELP)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .showHelpAfterError(false)
    .helpOption('-h, --help', 'show this help')

  // `run` and `watch` are served before this file is loaded; they stand here for the list of commands and `thaw help`.
  thaw
    .command('run')
    .description('run a command; after an edit, only what the edit changed')
    .usage('[options] [--] COMMAND...')
    .helpOption(false)
    .allowUnknownOption()
    .argument('[words...]')
  thaw
    .command('watch')
    .description('run a command at once, and again at every save')
    .usage('[options] [--] COMMAND...')
    .helpOption(false)
    .allowUnknownOption()
    .argument('[words...]')
  thaw
    .command('repair')
    .description('run a command; when it fails, have it edited, and go on with the edit in effect')
    .usage('[options] [--] COMMAND...')
    .helpOption(false)
    .allowUnknownOption()
    .argument('[words...]')
  const verb = (usage: string, about: string) =>
    thaw
      .command(usage)
      .description(about)
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
  const listing = () => import('./commands/listing.js')
  const ending = () => import('./commands/ending.js')
  const daemonVerbs = () => import('./commands/daemon.js')
  const json = ['--json', 'print JSON, for programs'] as const

  verb('ls', 'list all runs')
    .option(...json)
    .action(to(async () => (await listing()).ls))
  verb('tree [run]', 'draw the checkpoints of a run: what each comes before, its time, memory and state')
    .option('--all', 'those that are gone one by one')
    .option(...json)
    .action(to(async () => (await listing()).tree))
  verb('show <id>', 'tell all about a run, branch or checkpoint')
    .option(...json)
    .action(to(async () => (await listing()).show))
  verb('logs <id>', 'print the recorded output of a run')
    .option('-f, --follow', 'go on until it ends')
    .option('--stdout', 'only what went to stdout')
    .option('--stderr', 'only what went to stderr')
    .action(to(async () => (await import('./commands/logs.js')).logs))
  verb('attach <id>', 'show the output of a run that is live, until it ends').action(
    to(async () => {
      const { attach } = await import('./commands/attach.js')
      return (id: string) => attach(id)
    }),
  )
  const each = (value: string, before: string[]) => [...before, value]
  verb('resume <checkpoint>', 'go on from a checkpoint, as often as wanted, with the code as it is now')
    .option('-n, --count <N>', 'so many branches at once, each with its own output and exit')
    .option('--exact', 'refuse when an edit reaches back before the checkpoint (the default)')
    .option('--hot', 'keep the state, and use the new code from here on')
    .option('--break <place>', 'stop again at a place (see `thaw help run`)', each, [])
    .option('--break-output <regex>', 'stop again when the program prints this (process engine)')
    .option('--break-listen <port>', 'stop again when the program listens there (process engine)')
    .option('--every <time>', 'take checkpoints by time as well, as `5s`')
    .option('--force', 'also where the machine differs from the one that made it (process engine)')
    .option('--report <file>', 'write what came of it, as JSON')
    .option('-t, --terminal', 'the program has a terminal: this one')
    .option('-q, --quiet', 'no line of its own at the end')
    .action(to(async () => (await import('./commands/resume.js')).resume))
  verb('checkpoint <run>', 'take a checkpoint of a live run at its next safe moment')
    .option('--name <name>', 'what to call it; names work wherever ids do')
    .option(...json)
    .action(to(async () => (await import('./commands/checkpoint.js')).checkpoint))
  verb('verify <run>', 'run it cold in a private copy of the project, and compare')
    .option('--redo-effects', 'also when network traffic, children and writes elsewhere then happen again')
    .option(...json)
    .action(to(async () => (await import('./commands/verify.js')).verify))
  verb('stop <id...>', 'end what is live of a run')
    .option(...json)
    .action(to(async () => (await ending()).stop))
  verb('rm <id...>', 'forget a run or a checkpoint, with all that is kept of it')
    .option('--cascade', 'with what depends on it')
    .option('--force', 'stop it first when it is live')
    .option(...json)
    .action(to(async () => (await ending()).rm))
  verb('gc', 'remove what is kept and not needed')
    .option(...json)
    .action(to(async () => (await ending()).gc))
  verb('setup', 'fetch what engines lack on this machine; nothing of the system is changed')
    .option(...json)
    .action(to(async () => (await import('./commands/setup.js')).setup))
  verb('doctor', 'say what works on this machine, and how to get the rest')
    .option('--config', 'instead: every setting in force, and where it comes from')
    .option(...json)
    .action(to(async () => (await import('./commands/doctor.js')).doctor))
  const daemon = verb('daemon', 'the process in the background that keeps the checkpoints (starts by itself)')
  const daemonVerb = (name: string, about: string) =>
    daemon
      .command(name)
      .description(about)
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .option(...json)
  daemonVerb('start', 'start it').action(to(async () => (await daemonVerbs()).start))
  daemonVerb('stop', 'end it, and all checkpoints with it')
    .option('--force', 'also while commands are running')
    .action(to(async () => (await daemonVerbs()).stop))
  daemonVerb('status', 'say what it does').action(to(async () => (await daemonVerbs()).status))
  verb('version', 'show the version')
    .option(...json)
    .action(
      to(async () => async (options: { json?: boolean }) => {
        await print({ version: VERSION, api: API_VERSION }, options.json, () => `thaw ${VERSION}\n`)
        return 0
      }),
    )

  verb('completion', 'print what a shell needs to complete commands, options and ids')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(to(async () => (await import('./commands/completion.js')).completion))
  return { thaw, code: () => code }
}

/** Every verb but `run` and `watch`. Returns the exit code. */
export async function program(argv: readonly string[]): Promise<number> {
  const { thaw, code } = describeProgram()
  if (argv[0] === 'help' && argv[1] === 'run') {
    process.stdout.write((await import('./run-help.js')).RUN_HELP)
    return 0
  }
  if (argv[0] === 'help' && argv[1] === 'watch') {
    process.stdout.write((await import('./watch/help.js')).WATCH_HELP)
    return 0
  }
  if (argv[0] === 'help' && argv[1] === 'repair') {
    return (await import('./repair/repair.js')).repair(['--help'])
  }
  if (argv.length === 0) {
    thaw.outputHelp()
    return 0
  }
  try {
    await thaw.parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return 0
    const what = error.message
      .replace(/^error: /, '')
      .replace(/\n/g, ' ')
      .replace(/[^.)?]$/, '$&.')
    throw new ThawError('USAGE', what === '(outputHelp)' ? 'A verb is missing.' : what, { cause: error })
  }
  return code()
}
