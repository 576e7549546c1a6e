import type { Verdict } from '@thaw/protocol'
import { ask } from '../client.js'
import { print } from '../print.js'
import { renderVerification } from '../render/verification.js'

const CODES: Record<Verdict, number> = { equal: 0, different: 1, undetermined: 3 }

/** Compares a recorded run with a cold one. */
export async function verify(
  id: string,
  options: { redoEffects?: boolean; json?: boolean },
): Promise<number> {
  const report = await ask((client) => client.runs.verify(id, { redoEffects: options.redoEffects ?? false }))
  await print(report, options.json, renderVerification)
  return CODES[report.verdict]
}
