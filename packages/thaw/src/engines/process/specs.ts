/** What the process engine is told of a launch, a checkpoint and a restore. */
import type { LaunchSpec, StartSpec } from '../engine.js'
import type { ProcessBranch } from './branch.js'
import type { Tcp } from './inspect.js'
import type { Network, Sandbox } from './sandbox.js'
import type { Copy, Seen } from './setting.js'

export interface ProcessLaunch extends LaunchSpec {
  /** Default: `host`. */
  network?: Network
  /** Whether the sandbox has a /tmp of its own, which belongs to its checkpoints. Default: yes. */
  ownTemporary?: boolean
  /** What of the real /tmp is to be seen in it besides the directory, the command and PATH. */
  visible?: string[]
  /** Directory that is to be its root; null: the machine's. Default: null. */
  root?: string | null
  /** What it sees of the machine all the same; where it has a root of its own. Default: nothing. */
  seen?: readonly Seen[]
  /** Whether what it writes below its root, or its directory, is its own and belongs to its checkpoints. Default: no. */
  layered?: boolean
  /** Default: the daemon's. */
  user?: { uid: number; gid: number } | null
  /** Its own host name; null: the machine's. Default: null. */
  hostname?: string | null
  /** Called with PID 1 of the sandbox before anything else is started in it. */
  admit?: (initPid: number) => void
  /** Called when everything is mounted as the program will find it, before it is started. */
  prepare?: (initPid: number) => Promise<void>
  /** Whether somebody else keeps account of what it writes: an agent. Default: no. */
  accounted?: boolean
  /** What it is to find in the place of a project, and to write into. */
  instead?: Copy
}

export interface ProcessCheckpoint {
  /** What becomes of connections that leave the sandbox. Default: a refusal. */
  tcp?: Tcp
  /** Whether the program ends once it is copied. Default: it runs on. */
  stop?: boolean
  /** Called while the program stands still and all it had printed has been handed over. */
  cut?: (crossed: { stdin: number }) => void
  /** Called when the program runs again; its image is still being brought to disk. */
  goesOn?: () => void
}

export interface ProcessRestore extends StartSpec {
  /** `private`: what it writes in its directory is its own, and gone with it. Default. */
  view?: 'shared' | 'private'
  /** Restores on a machine that differs from the one that made the image. */
  force?: boolean
  /** Bytes of memory from which on the program goes on before all of it is there. Default: where that wins. */
  lazyFrom?: number
  /** Called when the sandbox is furnished, and the program is not there yet. */
  furnished?: (sandbox: Sandbox) => void
  /** Whether the program finds on stdin what it had not read. Default: yes. */
  unread?: boolean
  /** Files that the program had written and that keep what they hold now. */
  stays?: ReadonlySet<string>
  /** Which of the branches of one resume it is, from 1. */
  number?: number
  accounted?: boolean
  /** As at a launch: it is not part of the image. Default: nothing. */
  seen?: readonly Seen[]
  /** As at a launch; null: what it had. */
  hostname?: string | null
  admit?: (initPid: number) => void
}

/** Called when everything is restored; the program goes on when it resolves. */
export type Standing = (sandbox: Sandbox) => Promise<void>

/** A branch that is restored up to its last step, and stands still there. */
export interface HeldBranch extends AsyncDisposable {
  readonly initPid: number
  /** It goes on. @param hostname null: it keeps the one it has @throws ThawError when it is gone meanwhile */
  release(hostname: string | null): Promise<ProcessBranch>
}
