import type { Scope } from '../system/index.js'
import { adaptGeneric } from './generic/adapt.js'
import type { Adapted, CommandContext } from './language.js'
import { adaptPython } from './python/adapt.js'

export type { Adapted, CommandContext } from './language.js'
export { findProgram } from './lookup.js'
export { describeInterpreter, whyNotResumable, type Interpreter } from './python/interpreter.js'

/** What the command is, and how to start it. */
export async function adapt(context: CommandContext, scope: Scope): Promise<Adapted> {
  return (await adaptPython(context, scope)) ?? adaptGeneric(context, 'not a Python program')
}
