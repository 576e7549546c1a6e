/** What people are told when a program cannot be started, whatever the engine. */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { ThawError, type ErrorCode } from '../system/index.js'

const CODES: Record<string, ErrorCode> = {
  ENOENT: 'COMMAND_NOT_FOUND',
  ENOTDIR: 'COMMAND_NOT_FOUND',
  EACCES: 'NOT_EXECUTABLE',
  EPERM: 'NOT_EXECUTABLE',
  ENOEXEC: 'NOT_EXECUTABLE',
  EISDIR: 'NOT_EXECUTABLE',
}

/**
 * @param where what failed: `chdir`, `exec`, or something else
 * @param name of the error, as ENOENT
 * @returns null where it is not about the directory or the command
 */
export function startError(
  where: string | undefined,
  name: string,
  command: string,
  cwd: string,
  cause: unknown,
): ThawError | null {
  if (where === 'chdir')
    return new ThawError('DIRECTORY_GONE', `${cwd} cannot be entered (${name}).`, { cause })
  const code = where === 'exec' ? CODES[name] : undefined
  if (code === undefined) return null
  if (
    name === 'EACCES' &&
    statSync(resolve(cwd, command), { throwIfNoEntry: false })?.isDirectory() === true
  ) {
    const hint = 'Name a program in it.'
    return new ThawError(code, `${command} is a directory.`, { cause, hint })
  }
  const message =
    code === 'COMMAND_NOT_FOUND' ? `${command} was not found.` : `${command} cannot be executed (${name}).`
  return new ThawError(code, message, { cause })
}
