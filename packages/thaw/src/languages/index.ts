import type { Scope } from '../system/index.js'
import { adaptGeneric } from './generic/adapt.js'
import { isPythonLauncher } from './generic/launcher.js'
import type { Adapted, CommandContext } from './language.js'
import { adaptPython } from './python/adapt.js'

export type { Adapted, CommandContext, Inside } from './language.js'
export { launcherEnvironment, withoutLauncher } from './generic/launcher.js'
export { findProgram } from './lookup.js'
export { findProject } from '../system/project.js'
export { describeInterpreter, whyNotResumable, type Interpreter } from './python/interpreter.js'

/** What the command is, and how to start it. */
export async function adapt(context: CommandContext, scope: Scope): Promise<Adapted> {
  if (isPythonLauncher(context.command)) return adaptGeneric(context, 'it starts other programs')
  return (await adaptPython(context, scope)) ?? adaptGeneric(context, 'not a Python program')
}
