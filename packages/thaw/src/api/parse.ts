import type { z } from 'zod'
import { ThawError } from '../system/index.js'

/** A message of a stream. @throws ThawError INVALID_REQUEST with the place that does not fit */
export function parse<T extends z.ZodType>(schema: T, message: unknown): z.output<T> {
  const parsed = schema.safeParse(message)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const where = issue?.path.join('.') ?? ''
  throw new ThawError('INVALID_REQUEST', `${where}: ${issue?.message ?? 'does not fit'}.`)
}
