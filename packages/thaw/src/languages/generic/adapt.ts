import type { Adapted, CommandContext } from '../language.js'
import { findProject } from '../../system/project.js'

/** Any command: runs as it is, cold each time. */
export function adaptGeneric(context: CommandContext, reason: string): Adapted {
  return {
    language: 'generic',
    interpreter: null,
    env: context.env,
    project: findProject(context.cwd, null, context.env['HOME']),
    agent: null,
    plainReason: reason,
  }
}
