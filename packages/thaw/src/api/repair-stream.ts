/** POST /v1/repairs/stream: a RepairRequest first, then as the stream of a run, with notes and questions. */
import { RepairRequest, type RepairReport } from '@thaw/protocol'
import { ThawError } from '../system/index.js'
import { parseBreak } from './breaks.js'
import type { ApiContext } from './context.js'
import type { AnswerTo, Handle, RepairStart } from './ports.js'
import { repairLine } from './repair-summary.js'
import { findRoot } from './root.js'
import { resolveSettings, runSettings } from './settings.js'
import { checkPattern } from './launching.js'
import { parse } from './parse.js'
import { follow, type Stream } from './stream.js'

/** Most checkpoints of one run; each is a process. */
const ENDLESS = 4096

export async function startRepair(
  first: unknown,
  stream: Stream,
  context: ApiContext,
): Promise<Handle<RepairReport>> {
  const request = parse(RepairRequest, first)
  checkPattern(request.stderr)
  checkBounds(request)
  const { image: _, ...run } = request.run
  const { effects, quiet } = run
  const scope = { signal: stream.gone, log: context.log }
  const { root, env, engine } = await findRoot(request.run, context, scope)
  const resolved = resolveSettings({
    env: run.env,
    cwd: run.cwd,
    userFile: context.paths.settings,
    flags: { engine, effects, quiet },
  })
  const settings = { ...runSettings(resolved), checkpoints: request.max_saves ?? ENDLESS }
  const notices = context.takeNotices()
  const questions: ((answer: AnswerTo) => void)[] = []
  const output = stream.sink((ids) => stream.send({ t: 'started', ...ids, quiet: settings.quiet, notices }))
  const start: RepairStart = {
    ...request,
    env: run.env,
    run: {
      ...run,
      env,
      root,
      engine: settings.engine,
      effects: settings.effects,
      settings,
      breaks: run.break.map(parseBreak),
      saves: request.at.map(parseBreak),
      flags: [],
    },
  }
  const handle = context.repairs.start(
    start,
    {
      ...output,
      note: (text, detail) => stream.send({ t: 'note', text, detail }),
      ask: (bundle, directory) => {
        stream.send({ t: 'question', bundle, directory })
        return new Promise((resolve) => questions.push(resolve))
      },
    },
    scope,
  )
  const answer = (given: AnswerTo) => questions.shift()?.(given)
  const asked = { ...handle, answer }
  return follow(asked, stream, run.stdin, (report) => ({
    t: 'repaired',
    report,
    summary: repairLine(report),
  }))
}

function checkBounds({ bounds, repairer }: RepairRequest): void {
  if (bounds.dollars === null) return
  if ('prices' in repairer && repairer.prices !== null) return
  throw new ThawError('INVALID_REQUEST', 'A bound on cost needs the prices of a model.', {
    hint: 'Give --prices READ,WRITTEN: dollars for a million tokens.',
  })
}
