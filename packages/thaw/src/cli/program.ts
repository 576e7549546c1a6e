import { API_VERSION } from '@thaw/protocol/api'
import { ThawError } from '@thaw/protocol/errors'
import { Argument, Command, CommanderError, Option } from 'commander'
import { VERSION } from '../version.js'
import { describeProducts } from './products.js'
import { describeServices } from './services.js'
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
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .enablePositionalOptions()
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
  const json = ['--json', 'print JSON, for programs'] as const
  const below = (parent: Command, usage: string, about: string) =>
    parent
      .command(usage)
      .description(about)
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .option(...json)
  const listing = () => import('./commands/listing.js')
  const ending = () => import('./commands/ending.js')
  const daemonVerbs = () => import('./commands/daemon.js')

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
  verb('logs [id]', 'print the recorded output of a run')
    .option('-f, --follow', 'go on until it ends')
    .option('--daemon', 'instead: the log of the daemon')
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
  const productEngine = () =>
    new Option('--engine <engine>', 'what its instances live in; vm: machines of their own').choices([
      'process',
      'vm',
    ])
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
  const checkpoints = () => import('./commands/checkpoint.js')
  const checkpoint = verb('checkpoint <run>', 'take a checkpoint of a live run at its next safe moment')
    .option('--name <name>', 'what to call it; names work wherever ids do')
    .option(...json)
    .action(to(async () => (await checkpoints()).checkpoint))
  below(
    checkpoint,
    'export <checkpoint> <file>',
    'write one into a file, for another machine of the same kind',
  ).action(to(async () => (await checkpoints()).exportTo))
  below(checkpoint, 'import <file>', 'make one of such a file').action(
    to(async () => (await checkpoints()).importFrom),
  )
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
  const group = (name: string, about: string) => {
    const under = verb(name, about)
    return (usage: string, what: string) =>
      under
        .command(usage)
        .description(what)
        .exitOverride()
        .configureOutput({ writeErr: () => {} })
  }
  describeProducts(group, to, json)
  describeServices(verb, group, to, json)
  const images = () => import('./commands/image.js')
  const image = group('image', 'how something starts: a command in a directory, or a root file system')
  image('create <file>', 'make one of a definition (JSON)')
    .option(...json)
    .action(to(async () => (await images()).create))
  image(
    'import <source> [command...]',
    'import a root file system: directory, tar, OCI layout, docker save; - for stdin',
  )
    .requiredOption('--name <tag>', 'what to call it, as nginx:alpine')
    .option('--reference <name>', 'which of several images in the source')
    .option('--user <user>', 'as whom it runs')
    .option('-p, --port <port>', 'a port that instances publish', each, [])
    .option(...json)
    .addOption(productEngine())
    .action(to(async () => (await images()).importImage))
  image('build <name> [command...]', 'build a root file system of packages of Debian')
    .option('--docker', 'instead: a machine whose Docker engine runs containers')
    .addOption(productEngine())
    .option('--package <name>', 'a package besides a minimal system', each, [])
    .option('--memory <size>', 'of its machines, as 512MB')
    .option('-p, --port <port>', 'a port that instances publish', each, [])
    .option(...json)
    .action(to(async () => (await images()).build))
  image('ls', 'list all images')
    .option(...json)
    .action(to(async () => (await images()).ls))
  image('show <image>', 'tell all about one')
    .option(...json)
    .action(to(async () => (await images()).show))
  image('rm <image...>', 'remove images that nothing lives on')
    .option(...json)
    .action(to(async () => (await images()).rm))
  const instances = () => import('./commands/instance.js')
  const instance = group('instance', 'what was started from an image, in a sandbox of its own')
  instance('create <image>', 'start one, and return when it is ready')
    .option('--name <name>', 'what to call it; its host name, too')
    .option('--container <image>', 'what the Docker engine of its machine is to run')
    .option('-e, --env <name=value>', 'a variable', each, [])
    .option('-p, --publish <port>', 'PORT, or HERE:PORT: a port of it on 127.0.0.1', each, [])
    .option('--file <file:path>', 'put a file into it before it starts', each, [])
    .addOption(new Option('--net <net>', 'its network').choices(['private', 'private+out', 'host']))
    .option('--user <user>', 'as whom it runs, as USER or USER:GROUP')
    .option('--cpus <N>', 'so many processors at most, as 0.5')
    .option('--memory <size>', 'so much memory at most, as 512MB')
    .option('--pids <N>', 'so many processes and threads at most')
    .option('--ttl <time>', 'delete it after so long')
    .option('--idle-ttl <time>', 'delete it when nobody has used it for so long')
    .option('--no-wait', 'return at once')
    .option(...json)
    .action(to(async () => (await instances()).create))
  instance('ls', 'list all instances')
    .option(...json)
    .action(to(async () => (await instances()).ls))
  instance('show <instance>', 'tell all about one, with its checkpoints')
    .option(...json)
    .action(to(async () => (await instances()).show))
  instance('exec <instance> <command...>', 'run a command in it, with these streams and its exit code')
    .passThroughOptions()
    .option('-e, --env <name=value>', 'a variable', each, [])
    .option('--cwd <path>', 'where')
    .option('--user <user>', 'as whom')
    .option('-t, --terminal', 'it has a terminal: this one')
    .action(to(async () => (await instances()).exec))
  instance('shell <instance>', 'a shell in it')
    .option('--user <user>', 'as whom')
    .action(to(async () => (await instances()).shell))
  instance('cp <from> <to>', 'copy a file into it or out of it; one side is NAME:/PATH').action(
    to(async () => (await instances()).cp),
  )
  instance('logs <instance>', 'print what it printed')
    .option('-f, --follow', 'go on until it ends')
    .option('--tail <bytes>', 'only so many of the last bytes')
    .action(to(async () => (await instances()).logs))
  instance('stats <instance>', 'what it uses')
    .option(...json)
    .action(to(async () => (await instances()).stats))
  instance('pause <instance...>', 'have it stand still')
    .option(...json)
    .action(to(async () => (await instances()).pause))
  instance('resume <instance...>', 'have it go on')
    .option(...json)
    .action(to(async () => (await instances()).resume))
  const tcp = () =>
    new Option('--tcp <what>', 'connections that leave it: keep or close').choices(['keep', 'close'])
  instance('checkpoint <instance>', 'take a checkpoint of it; it runs on')
    .option('--name <name>', 'what to call it')
    .addOption(tcp())
    .option(...json)
    .action(to(async () => (await instances()).checkpoint))
  instance('fork <instance>', 'clones of it, as it is now or was at a checkpoint')
    .option('-n, --count <N>', 'how many')
    .option('--checkpoint <id>', 'from this checkpoint')
    .option('--name <name>', 'what to call a clone; once for each', each, [])
    .addOption(tcp())
    .option('--ttl <time>', 'delete them after so long')
    .option('--idle-ttl <time>', 'delete each when nobody has used it for so long')
    .option(...json)
    .action(to(async () => (await instances()).fork))
  instance('stop <instance...>', 'end it; what is known of it stays')
    .option('--time <time>', 'how long it may take to end by itself')
    .option(...json)
    .action(to(async () => (await instances()).stop))
  instance('rm <instance...>', 'forget instances, or checkpoints of them (ic_...)')
    .option('--force', 'also one that lives')
    .option('--cascade', 'with its checkpoints')
    .option(...json)
    .action(to(async () => (await instances()).rm))
  verb('gc', 'remove what is kept and not needed')
    .option(...json)
    .action(to(async () => (await ending()).gc))
  verb('setup', 'fetch what an engine lacks on this machine; nothing of the system is changed')
    .addOption(new Option('--engine <engine>', 'default: process').choices(['process', 'vm']))
    .option(...json)
    .action(to(async () => (await import('./commands/setup.js')).setup))
  verb('doctor', 'say what works on this machine, and how to get the rest')
    .option('--config', 'instead: every setting in force, and where it comes from')
    .option(...json)
    .action(to(async () => (await import('./commands/doctor.js')).doctor))
  const daemon = verb('daemon', 'the process in the background that keeps the checkpoints (starts by itself)')
  below(daemon, 'start', 'start it')
    .option('--tcp <address:port>', 'listen there as well; calls then carry a token')
    .option('--no-token', 'with --tcp on a loopback address: whoever can connect may do everything')
    .action(to(async () => (await daemonVerbs()).start))
  below(daemon, 'stop', 'end it, and all checkpoints with it')
    .option('--force', 'also while commands are running')
    .action(to(async () => (await daemonVerbs()).stop))
  below(daemon, 'status', 'say what it does').action(to(async () => (await daemonVerbs()).status))
  const token = daemon.command('token').description('tokens for calls over TCP')
  const tokens = () => import('./commands/token.js')
  below(token, 'create', 'make one; it is shown this once')
    .option('--scope <scope>', 'read, run or admin, each with what comes before', 'run')
    .option('--name <name>', 'who or what it is for', 'unnamed')
    .option('--expires <time>', 'when it ends by itself, as `30d`')
    .action(to(async () => (await tokens()).create))
  below(token, 'ls', 'list them').action(to(async () => (await tokens()).ls))
  below(token, 'rm <token>', 'make one worthless').action(to(async () => (await tokens()).rm))
  verb('mcp', 'serve tools for AI agents on stdin and stdout (Model Context Protocol)').action(
    to(async () => (await import('./commands/mcp.js')).mcp),
  )
  verb('ssh-server', 'let ssh into services and instances: `ssh -p PORT SERVICE@127.0.0.1`; keys only')
    .option('--port <N>', 'where it listens (2222); 0: any that is free')
    .option('--address <address>', 'on which address (127.0.0.1)')
    .option('--keys <file>', 'public keys that may come in (~/.ssh/authorized_keys)')
    .option(...json)
    .action(to(async () => (await import('./commands/ssh-server.js')).sshServer))
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
