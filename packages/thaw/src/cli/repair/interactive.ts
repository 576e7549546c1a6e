/** A person is the repairer: an editor or a shell in a copy of the project, which the answer is taken from. */
import type { RepairBundle } from '@thaw/protocol'
import { join } from 'node:path'
import { runInPlace } from '../../system/spawn.js'
import { say } from '../output.js'
import { ownStart } from '../run.js'

type Answer = { diff: string | null } | { giveUp: true }

/** Variables shown of the innermost frame. */
const SHOWN = 12

export async function answerByHand(bundle: RepairBundle, directory: string): Promise<Answer> {
  const frame = bundle.failure.exceptions[0]?.frames.findLast(({ project }) => project)
  say(`thaw: ${bundle.failure.summary}`)
  for (const [name, text] of Object.entries(frame?.locals ?? {}).slice(0, SHOWN))
    say(`thaw:   ${name} = ${text}`)
  if (bundle.frozen !== null) {
    say(`thaw: thaw resume ${bundle.frozen} opens pdb on the frames as they stood, as often as wanted`)
  }
  const { env, openFiles } = ownStart()
  const editor = env['VISUAL'] || env['EDITOR']
  const file = frame?.file ?? bundle.files[0]?.path
  const place = { ...env, THAW_FAILURE: bundle.frozen ?? '' }
  // An editor's variable may hold options: a shell takes it apart, and is handed the rest as arguments.
  const argv =
    editor && file !== undefined
      ? [
          '/bin/sh',
          '-c',
          `cd "$0" && ${editor} "$@"`,
          directory,
          `+${frame?.line ?? 1}`,
          join(directory, file),
        ]
      : ['/bin/sh', '-c', 'cd "$0" && exec "$1"', directory, env['SHELL'] || '/bin/sh']
  if (!editor) say('thaw: edit in this shell; exit 0 tries it, exit 1 gives up')
  const { code } = await runInPlace(argv, [], { env: place, openFiles })
  return code === 0 ? { diff: null } : { giveUp: true }
}
