/** The verbs of services. */
import { Option, type Command } from 'commander'

type Load = () => Promise<(...given: never[]) => Promise<number>>
type To = (load: Load) => (...given: unknown[]) => Promise<void>

export function describeServices(
  verb: (usage: string, about: string) => Command,
  group: (name: string, about: string) => (usage: string, what: string) => Command,
  to: To,
  json: readonly [string, string],
): void {
  const services = () => import('./commands/service.js')
  const service = group('service', 'functions that are kept warm behind a name')
  const each = (value: string, before: string[] = []) => [...before, value]
  const choice = (flags: string, about: string, ...words: string[]) => new Option(flags, about).choices(words)
  service('deploy <file...>', 'load a file, and keep it ready to be called; or start a command with a port')
    .option('--name <name>', "what to call it; else the file's name")
    .option('--fn <name>', 'what may be called, as often as wanted; else every public function', each)
    .option('--class <name>', 'make an object of this class, and let its methods be called')
    .option('--arg <value>', 'what the class is made with: VALUE or NAME=VALUE', each)
    .option(
      '--root <dir>',
      'directory of the files that belong to it, else the project; where an app runs, else here',
    )
    .option('--python <file>', 'interpreter; else python3 on PATH')
    .option('--env <name=value>', 'a variable for its environment', each)
    .option('--launch-timeout <time>', 'most time until it can be called (60s)')
    .option('--ttl <time>', 'rest after so long without a call')
    .addOption(choice('--ttl-action <action>', 'how it rests', 'freeze', 'stop'))
    .option('--concurrency <N>', 'calls of one worker at a time (16), or requests of an app (100)')
    .option('--workers <N>', 'processes, forked after loading (1)')
    .option('--queue <N>', 'calls or requests that may wait (100)')
    .option('--timeout <time>', 'most time of a call')
    .option('--debug-timeout <time>', 'how long a call waits at a breakpoint for a debugger (60s)')
    .addOption(
      choice('--isolation <what>', 'call: every call has a fresh copy of the state', 'service', 'call'),
    )
    .addOption(choice('--reload <how>', 'exact: after an edit the state is that of a load', 'hot', 'exact'))
    .addOption(choice('--sync <when>', 'when it is looked for edits', 'call', 'deploy'))
    .addOption(
      choice('--engine <engine>', 'in a sandbox that can be frozen, or plain', 'auto', 'process', 'plain'),
    )
    .option('--repair <command>', 'edits the code when a call raises an error, which is then made again')
    .option('--pickle', 'let calls on this machine carry pickled objects')
    .option('--app', 'what is given is a command with a port, which is reached through the daemon')
    .option('--port <N>', 'port that the command listens on; it is told PORT')
    .option('--ready <path>', 'path that answers when the app is ready; else it is when the port is open')
    .addOption(choice('--net <network>', 'of the app (private)', 'private', 'private+out', 'host'))
    .option('--upload', "send the code, as is done where THAW_URL names another machine's daemon")
    .option('--replace', 'take the place of a service of this name for other code')
    .option(...json)
    .action(to(async () => (await services()).deploy))
  service('ls', 'list all services')
    .option(...json)
    .action(to(async () => (await services()).ls))
  service('show <service>', 'tell all about one')
    .option(...json)
    .action(to(async () => (await services()).show))
  service('logs <service>', 'print what it has printed')
    .option('-f, --follow', 'go on while it is there')
    .action(to(async () => (await services()).logs))
  service('shell <service>', 'a shell in its environment, which it is kept up for').action(
    to(async () => (await services()).shell),
  )
  service(
    'exec <service> <command...>',
    'run a command in its environment, with these streams and its exit code',
  )
    .passThroughOptions()
    .option('-t, --terminal', 'it has a terminal: this one')
    .action(to(async () => (await services()).exec))
  const verbs = {
    reset: 'go back to the state right after loading',
    restart: 'load everything anew',
    freeze: 'put it on disk with its state, and give its memory back',
    thaw: 'bring it back',
    stop: 'end its processes; the next call starts it',
  } as const
  for (const name of ['reset', 'restart', 'freeze', 'thaw', 'stop'] as const) {
    service(`${name} <service...>`, verbs[name])
      .option(...json)
      .action(to(async () => (await services())[name]))
  }
  service('rm <service...>', 'end it, and forget its state')
    .option(...json)
    .action(to(async () => (await services()).rm))
  verb(
    'debug <service>',
    'attach to a call that stands at breakpoint(), or `debugger` in Node; the end of input detaches',
  )
    .option('--call <number>', 'which call; else the one that waits longest')
    .option('--list', 'instead: which calls stand where')
    .option('--dap', 'instead: a port for an editor, by debugpy, or the inspector of Node')
    .option(
      '--again',
      'instead: the call that stopped last goes on once more from there, with the code of now',
    )
    .option(...json)
    .action(to(async () => (await import('./commands/debug.js')).debug))
  verb(
    'call <service> <function> [arguments...]',
    'call a function: values are JSON or texts, NAME=VALUE names one',
  )
    .option('--timeout <seconds>', 'cancel it after so long')
    .option('--code-version <version>', 'only if this version of the code serves')
    .addOption(choice('--isolation <what>', 'call: in a fresh copy of the state', 'service', 'call'))
    .option(...json)
    .action(to(async () => (await services()).call))
}
