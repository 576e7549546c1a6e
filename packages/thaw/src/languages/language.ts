/** What code means, seen from the runs. */
import type { AgentSetup } from '@thaw/protocol/agent'

/** A command as a language understands it. */
export interface Adapted {
  language: 'python' | 'generic'
  /** Absolute path of the interpreter; part of the run's identity. Null for a program of its own. */
  interpreter: string | null
  /** What the program finds around it: what was given, or what a version manager's shim makes of that. */
  env: Record<string, string>
  /** Directory whose files are the project. */
  project: string
  /** How to start it with an agent; null: it runs plainly. */
  agent: {
    argv: (stub: string) => string[]
    main: AgentSetup['main']
    origArgv: string[]
    /** The level at which its code is compiled, as -O gives it: code is compared as it runs. */
    optimize: number
  } | null
  /** Why it runs plainly, cold each time; null with an agent. */
  plainReason: string | null
}

export interface CommandContext {
  command: string[]
  cwd: string
  env: Record<string, string>
  /** Where it is to run; left out: on this machine as it is. */
  inside?: Inside
}

/** A root file system of its own, seen from here. */
export interface Inside {
  /** Differs where what it answers may differ. */
  key: string
  /** The file of this machine that a path is there; null: there is none. */
  real(path: string): string | null
  /** What a command prints there, without its last line's end; null when it fails. */
  ask(command: string[], env: Record<string, string>): Promise<string | null>
}
