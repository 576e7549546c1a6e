/** Requests as the daemon's parts hand them on: validated, with the settings in force. */
import type { ResumeRequest, RunRequest } from './run.js'
import type { RunSettings } from './settings.js'

/** A place at which a program is to stop. */
export interface BreakPlace {
  text: string
  file: string | null
  /** Dotted; null where a file is given. */
  module: string | null
  /** A function; null where a line is given. */
  name: string | null
  line: number | null
  /** Which time, from 1. */
  count: number
}

/** A root file system that stands in the machine's place. Nobody changes it while it is used. */
export interface RootFiles {
  directory: string
  /** Differs where its content does. */
  key: string
}

export interface StartRequest extends Omit<RunRequest, 'engine' | 'effects' | 'quiet' | 'break' | 'image'> {
  engine: RunSettings['engine']
  effects: RunSettings['effects']
  settings: RunSettings
  breaks: BreakPlace[]
  /** Options as the caller gave them, for the commands below this one. */
  flags: string[]
  /** A program that fails is asked where it stands; `freeze`: and leaves a checkpoint there. */
  diagnose?: 'tell' | 'freeze'
  /** Null: the machine's own. */
  root: RootFiles | null
  /** Before the calls of these functions a checkpoint is taken. */
  saves?: BreakPlace[]
}

export interface ResumeSpec extends Omit<ResumeRequest, 'break' | 'quiet'> {
  diagnose?: 'tell' | 'freeze'
  breaks: BreakPlace[]
  settings: RunSettings
}
