/** A command of the user's: the bundle on stdin and as a file; it edits its copy of the project, or prints a diff. */
import type { Workshop } from '../../runs/workshop.js'
import type { Scope } from '../../system/index.js'
import { editsOf } from '../diff.js'
import { Refused, type FileEdit } from '../edit.js'
import { runShell } from '../shell.js'
import { noUsage, type Answerer, type Question } from './repairer.js'

export class CommandRepairer implements Answerer {
  readonly usage = noUsage()
  readonly #shop: Workshop
  readonly #command: string
  readonly #env: Record<string, string>

  /** @param env of the run; THAW_BUNDLE is added */
  constructor(shop: Workshop, command: string, env: Record<string, string>) {
    this.#shop = shop
    this.#command = command
    this.#env = env
  }

  async answer({ bundle, file, place, seconds }: Question, scope: Scope): Promise<FileEdit[]> {
    const end = await runShell(
      this.#shop,
      {
        command: this.#command,
        cwd: place.place(bundle.cwd),
        env: { ...this.#env, THAW_BUNDLE: file },
        stdin: `${JSON.stringify(bundle)}\n`,
        view: place.copy,
        seconds,
      },
      scope,
    )
    if (end.ended !== null) throw new Refused(`the repairer was ended: ${end.ended}`)
    if (end.code !== 0) {
      const how = end.signal === null ? `with code ${end.code}` : `by ${end.signal}`
      const said = end.said.trim().split('\n').at(-1) ?? ''
      throw new Refused(`the repairer ended ${how}${said === '' ? '' : `: ${said.slice(0, 300)}`}`)
    }
    const edited = await place.edits()
    if (edited.length > 0) return edited
    if (end.stdout.trim() === '') throw new Refused('the answer is empty')
    return editsOf(end.stdout, bundle.project)
  }
}
