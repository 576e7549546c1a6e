import { SERVICE_ERRORS } from './service-errors.js'

/**
 * The closed catalogue of everything that can go wrong in a way users may meet.
 *
 * A code crosses every wire unchanged: API answers, CLI lines, SDK exceptions and reports. Each code has one page
 * in docs/errors, generated from this file.
 */
export interface ErrorEntry {
  /** Whose fault it is: the caller's input, or the system's (thaw, kernel, disk). */
  readonly fault: 'user' | 'system'
  /** Status the HTTP API answers with. */
  readonly status: number
  /** Exit code of the command line. */
  readonly exit: number
  /** One sentence for the page: when this happens. */
  readonly when: string
  /** What to do about it, when the thrower says nothing more precise. */
  readonly hint: string
}

export const ERRORS = {
  USAGE: {
    fault: 'user',
    status: 400,
    exit: 125,
    when: 'The command line has an unknown verb or option, or lacks an argument.',
    hint: 'See `thaw help`.',
  },
  INVALID_REQUEST: {
    fault: 'user',
    status: 400,
    exit: 125,
    when: 'The body or the parameters of an API call do not fit the schema.',
    hint: 'Compare the call with /openapi.json.',
  },
  INVALID_SETTING: {
    fault: 'user',
    status: 400,
    exit: 125,
    when: 'A settings file or a THAW_ variable holds an unknown key, a value of the wrong type, or is not valid TOML.',
    hint: 'Correct the line that is named; `thaw doctor --config` lists every setting.',
  },
  COMMAND_NOT_FOUND: {
    fault: 'user',
    status: 422,
    exit: 127,
    when: 'The command to run is neither a file nor a program on PATH.',
    hint: 'Check the spelling, and PATH.',
  },
  WATCH_LIMIT: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'The kernel allows no further watches of directories to this user.',
    hint: 'Raise fs.inotify.max_user_watches (sysctl), or watch from a smaller project directory.',
  },
  NOT_EXECUTABLE: {
    fault: 'user',
    status: 422,
    exit: 126,
    when: 'The command to run exists, but may not be executed, or its interpreter (first line) is missing.',
    hint: 'Make it executable (chmod +x), or name the interpreter in front of it.',
  },
  DIRECTORY_GONE: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'The directory to run in does not exist any more, or may not be entered.',
    hint: 'Change to a directory that exists.',
  },
  LIMITS_NOT_GIVEN: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'The caller has resource limits, or processors, that the daemon may not give to a program: it was started under narrower ones.',
    hint: 'End it with `thaw daemon stop`; the next command starts one with the limits of its own caller.',
  },
  FILE_UNREADABLE: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'A file that the run depends on is gone, or cannot be read.',
    hint: 'Put it back, or correct its permissions.',
  },
  PLACE_NOT_FOUND: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'A place given with --break names a file, function or line that the project does not have.',
    hint: 'Places are FILE.py:FUNCTION, FILE.py:LINE or MODULE:QUALNAME, each with #N for the Nth time.',
  },
  CHECKPOINT_REFUSED: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'The program cannot be copied at this moment, for the reason that is named; it runs on.',
    hint: 'Try again when that is over.',
  },
  NOT_COPYABLE: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'A process of the program holds something that cannot be put into a checkpoint: the process and what it holds are named. It runs on.',
    hint: 'Take the checkpoint when it is closed, or have the program do without it.',
  },
  OUTSIDE_CONNECTION: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'The program has a connection that leaves its sandbox, whose other end a checkpoint cannot hold. It runs on.',
    hint: 'Pass --tcp close (restored programs find it closed) or --tcp keep (it is restored, for one branch at a time).',
  },
  IMAGE_MISMATCH: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'A checkpoint was made by another version, kernel or kind of processor than what is here now.',
    hint: 'Make a new checkpoint here, or pass --force to try it all the same.',
  },
  IMAGE_BROKEN: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'The files of a checkpoint are damaged, or lack something.',
    hint: 'Remove it (`thaw rm`), and resume from another one.',
  },
  ENGINE_MISSING: {
    fault: 'system',
    status: 501,
    exit: 125,
    when: 'An engine lacks what it needs on this machine; what is missing is named. The fork engine is not affected.',
    hint: '`thaw doctor` says how to get it.',
  },
  SETUP_FAILED: {
    fault: 'system',
    status: 502,
    exit: 125,
    when: 'What an engine needs could not be fetched. Nothing of the system was changed, and nothing half is left.',
    hint: 'Check the network, then run `thaw setup` again.',
  },
  CHECKPOINT_GONE: {
    fault: 'user',
    status: 410,
    exit: 125,
    when: 'The checkpoint was given up to save memory, or ended with its daemon.',
    hint: '`thaw tree` shows what can be restored; run the command again to make new ones.',
  },
  NOT_EXACT: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'An edit reaches back before the checkpoint: what ran up to there would run differently now.',
    hint: 'Resume from the checkpoint that is named, or keep the state with --hot.',
  },
  SYNTAX_ERROR: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'An edited file does not compile. Earlier checkpoints stay, and the next good edit resumes from them.',
    hint: 'Correct the file; nothing was lost.',
  },
  RUN_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No run or branch has this id or prefix.',
    hint: '`thaw ls` shows what exists.',
  },
  CHECKPOINT_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No checkpoint of a run has this id, prefix or name, or no program has stopped yet.',
    hint: '`thaw tree` shows the checkpoints of the last run, `thaw tree RUN` those of another.',
  },
  NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'There is no such path, operation or token.',
    hint: 'Look it up in a listing; /docs lists the paths.',
  },
  UNAUTHORIZED: {
    fault: 'user',
    status: 401,
    exit: 125,
    when: 'A call over TCP carries no token, or one that is wrong, expired or removed.',
    hint: 'Make one with `thaw daemon token create`, and send it as `Authorization: Bearer TOKEN`.',
  },
  FORBIDDEN: {
    fault: 'user',
    status: 403,
    exit: 125,
    when: 'The token does not allow this call, or a page of another origin has made it.',
    hint: 'Use a token with the scope that is named: `thaw daemon token create --scope SCOPE`.',
  },
  TOKEN_REQUIRED: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'Without a token the daemon would listen on an address that others can reach.',
    hint: 'Leave --no-token out, or listen on 127.0.0.1.',
  },
  LISTEN_FAILED: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'The daemon cannot listen on the TCP address, or listens on another one already.',
    hint: 'Choose a free port; `thaw daemon status` names the address in use.',
  },
  TOO_MANY_REQUESTS: {
    fault: 'user',
    status: 429,
    exit: 125,
    when: 'More is under way than the daemon takes on at a time.',
    hint: 'Wait for something to end, then try again.',
  },
  KEY_REUSED: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'An Idempotency-Key was used before, with another request.',
    hint: 'Use a new key for a new request.',
  },
  AMBIGUOUS_ID: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'A shortened id fits more than one run, branch or checkpoint.',
    hint: 'Give more characters of it.',
  },
  RUN_BUSY: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'The run is live, and what was asked needs it to have ended.',
    hint: 'Stop it first (`thaw stop`), or pass --force.',
  },
  IMAGE_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No image has this name or id.',
    hint: '`thaw image ls` shows what exists; `thaw image create` and `thaw image import` make one.',
  },
  IMAGE_REFUSED: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'What was to be imported is damaged, does not match its digests, holds paths that lead out of it, or is larger than allowed. Nothing of it is kept.',
    hint: 'Have it made again by its maker, or import another one.',
  },
  INSTANCE_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No instance, or checkpoint of one, has this name or id.',
    hint: '`thaw instance ls` shows what exists.',
  },
  NAME_TAKEN: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'Another image, instance, snapshot or pool has this name already.',
    hint: 'Choose another name, or remove that one first.',
  },
  SNAPSHOT_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No snapshot has this name or id.',
    hint: '`thaw snapshot ls` shows what exists.',
  },
  SNAPSHOT_FAILED: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'A snapshot could not be made, or what was restored from it did not become ready; the step and the reason are part of the message.',
    hint: '`thaw snapshot logs` tells the steps one by one.',
  },
  POOL_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No pool has this name or id.',
    hint: '`thaw pool ls` shows what exists.',
  },
  NOT_READY: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'An instance ended, or ran out of time, before it was ready; what it printed last is part of the message.',
    hint: 'Look at its logs (`thaw instance logs`), and at the readiness of its image.',
  },
  WRONG_STATE: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'What was asked of an instance cannot be done in its present state, which is named.',
    hint: '`thaw instance show` tells its state and why.',
  },
  PATH_REFUSED: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'A path in an instance does not exist, is not of the kind that is needed, or leads out of it.',
    hint: 'Give the absolute path of a file or directory inside of the instance.',
  },
  PORT_IN_USE: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'A port of this machine that was to be published is in use by another program.',
    hint: 'Choose another one, or 0 for any that is free.',
  },
  NOT_VERIFIABLE: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'There is no recorded outcome that a cold run could be compared with, for the reason that is named.',
    hint: 'Run the command again, then verify it.',
  },
  HAS_EFFECTS: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'A cold run would do again what the run did outside of its project: network traffic, child processes, writes elsewhere.',
    hint: 'Where that does no harm, pass --redo-effects.',
  },
  HAS_DEPENDENTS: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'Something else still depends on what was to be removed.',
    hint: 'Remove that first, or pass --cascade.',
  },
  UNSUPPORTED: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'What was asked for does not work with this engine, interpreter or kernel.',
    hint: '`thaw doctor` says what works here and how to get the rest.',
  },
  UPGRADE_REQUIRED: {
    fault: 'user',
    status: 426,
    exit: 125,
    when: 'A stream was asked for by an ordinary request, or its WebSocket offers none of the protocols that the daemon speaks.',
    hint: 'Open it as a WebSocket with the protocol thaw.v1 (docs/api.md), or with `instances.terminal` of @thaw/sdk.',
  },
  PAYLOAD_TOO_LARGE: {
    fault: 'user',
    status: 413,
    exit: 125,
    when: 'A request or a frame is larger than the daemon accepts.',
    hint: 'Send less at a time.',
  },
  EXPORT_UNWRITABLE: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'The file that a checkpoint is to be exported to cannot be written, or exists already.',
    hint: 'Name a new file in a directory that exists and is writable.',
  },
  IMPORT_REFUSED: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'A file to be imported is not a whole export of a checkpoint: truncated, changed, or made to do harm. Nothing of it is kept.',
    hint: 'Copy it again, or export it again with `thaw checkpoint export`.',
  },
  REPORT_UNWRITABLE: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'The file given with --report cannot be written. It is opened before the program starts.',
    hint: 'Name a file in a directory that exists and is writable.',
  },
  DAEMON_START_FAILED: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'The daemon did not come up; what it said on the way is part of the message.',
    hint: 'Run `thaw doctor`, and look at the daemon log it names.',
  },
  DAEMON_UNREACHABLE: {
    fault: 'system',
    status: 503,
    exit: 125,
    when: 'No daemon answers on the socket, and none was to be started.',
    hint: '`thaw daemon start` starts one.',
  },
  DAEMON_LOST: {
    fault: 'system',
    status: 503,
    exit: 125,
    when: 'The daemon went away while it was working for this command. What the program had done so far stays done.',
    hint: 'Run the command again; a fresh daemon starts by itself.',
  },
  DAEMON_STOPPING: {
    fault: 'system',
    status: 503,
    exit: 125,
    when: 'The daemon is shutting down and takes no new work.',
    hint: 'Run the command again in a moment.',
  },
  VERSION_MISMATCH: {
    fault: 'system',
    status: 409,
    exit: 125,
    when: 'The daemon that runs is of another version than this command line.',
    hint: '`thaw daemon stop`, then run the command again.',
  },
  STATE_UNWRITABLE: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'The directory for state or for sockets cannot be created, is not writable, or belongs to someone else.',
    hint: 'Correct its owner and permissions, or point THAW_HOME to a directory of your own.',
  },
  SOCKET_PATH_TOO_LONG: {
    fault: 'user',
    status: 500,
    exit: 125,
    when: 'The path of the socket is longer than the 107 bytes that the kernel allows.',
    hint: 'Set THAW_HOME to a shorter path.',
  },
  DISK_FULL: {
    fault: 'system',
    status: 507,
    exit: 125,
    when: 'The disk that holds the state is full. A running program goes on, without a record.',
    hint: 'Free some space, or run `thaw gc`.',
  },
  JOURNAL_BROKEN: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'The journal cannot be opened: it is damaged, or was written by a newer thaw.',
    hint: 'Move the file that is named out of the way; runs are then recorded anew.',
  },
  REPAIRER_MISSING: {
    fault: 'user',
    status: 422,
    exit: 125,
    when: 'A program failed under `thaw repair`, and there is nobody to repair it: no command was given, and no key of a model is set.',
    hint: "Give a repairer: --with 'CMD', --interactive, or set OPENAI_API_KEY or ANTHROPIC_API_KEY.",
  },
  REPAIRER_FAILED: {
    fault: 'user',
    status: 502,
    exit: 125,
    when: 'A model cannot be asked any more: its endpoint is not reached, refuses, or a bound on tokens or cost is reached.',
    hint: 'Check the key, the address and the network; `thaw repair --help` names the options.',
  },
  REPAIR_NOT_FOUND: {
    fault: 'user',
    status: 404,
    exit: 125,
    when: 'No repair has this id, or no repair is kept for this directory.',
    hint: '`thaw repair ls` lists what is kept.',
  },
  FILES_CHANGED: {
    fault: 'user',
    status: 409,
    exit: 125,
    when: 'A repair cannot be undone: files that it edited were changed by somebody else since.',
    hint: 'Take the patch that is named out by hand: `patch -R -p1 < FILE`.',
  },
  ENGINE_FAILED: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'An engine could not launch, checkpoint or restore, and no fallback was left.',
    hint: 'Run it again with --fresh; `thaw doctor` says what works here.',
  },
  TIMEOUT: {
    fault: 'system',
    status: 504,
    exit: 125,
    when: 'An operation did not end within its deadline; what it had begun was undone.',
    hint: 'Try again; a busy machine may need more time.',
  },
  CANCELLED: {
    fault: 'user',
    status: 499,
    exit: 125,
    when: 'The caller went away or asked for an end before the operation was done.',
    hint: 'Nothing needs to be done.',
  },
  ...SERVICE_ERRORS,
  NOT_BUILT: {
    fault: 'user',
    status: 500,
    exit: 125,
    when: 'The command was started from a clone that has not been built.',
    hint: 'Run `npm run build` in the clone.',
  },
  INTERNAL: {
    fault: 'system',
    status: 500,
    exit: 125,
    when: 'A defect in thaw.',
    hint: 'Please report it, with the daemon log that `thaw daemon status` names.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof ERRORS

/** An error as it crosses a wire. `details` holds what a program may want to read (file, line, nearest ids). */
export interface ErrorBody {
  code: ErrorCode
  message: string
  hint: string
  details?: Record<string, unknown>
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value)
}

/** The one error class whose message is meant for users. */
export class ThawError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  readonly details: Record<string, unknown> | undefined

  /**
   * @param message what happened, a sentence with its full stop
   * @param options.hint what to do; the catalogue's hint when left out
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ThawError'
    this.code = code
    this.hint = options.hint ?? ERRORS[code].hint
    this.details = options.details
  }

  get exitCode(): number {
    return ERRORS[this.code].exit
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { code: this.code, message: this.message, hint: this.hint }
    if (this.details !== undefined) body.details = this.details
    return body
  }

  /** Reads what came over a wire; anything that is not an error body becomes INTERNAL. */
  static fromBody(body: unknown): ThawError {
    const b = (typeof body === 'object' && body !== null ? body : {}) as Partial<ErrorBody>
    if (!isErrorCode(b.code) || typeof b.message !== 'string') {
      return new ThawError(
        'INTERNAL',
        `The daemon gave an answer that is not an error body: ${JSON.stringify(body)}.`,
      )
    }
    return new ThawError(b.code, b.message, {
      ...(typeof b.hint === 'string' ? { hint: b.hint } : {}),
      ...(b.details === undefined ? {} : { details: b.details }),
    })
  }

  /** Anything thrown, as a ThawError: unknown errors become INTERNAL, with their cause kept. */
  static from(error: unknown): ThawError {
    if (error instanceof ThawError) return error
    const text = error instanceof Error ? error.message : String(error)
    return new ThawError('INTERNAL', `${text.replace(/\.?$/, '.')}`, { cause: error })
  }
}

/** The line users see: `thaw: CODE: what happened. What to do.` */
export function errorLine(error: ThawError): string {
  return `thaw: ${error.code}: ${error.message} ${error.hint}`
}
