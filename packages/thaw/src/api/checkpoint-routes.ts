import {
  CheckpointList,
  CheckpointNode,
  CheckpointQuery,
  IdParams,
  Operation,
  Removed,
  RemoveQuery,
  ResumeCheckpoint,
  ResumeRequest,
} from '@thaw/protocol'
import { ThawError } from '../system/index.js'
import type { ApiContext } from './context.js'
import { resolveId } from './ids.js'
import { resumeCheckpoint } from './launching.js'
import { answerOperation, WaitHeaders } from './operation-routes.js'
import { pageOf, timeKey } from './paging.js'
import type { Routes } from './server.js'

const tags = ['checkpoints']

export function checkpointRoutes(app: Routes, context: ApiContext): void {
  const { runs, journal } = context
  const whole = (id: string) => resolveId(journal, id, ['checkpoint'])

  app.get(
    '/v1/checkpoints',
    {
      schema: {
        tags,
        operationId: 'listCheckpoints',
        summary: 'Checkpoints of all runs or of one, the latest first',
        querystring: CheckpointQuery,
        response: { 200: CheckpointList },
      },
    },
    (request) => {
      const { run, state } = request.query
      const ids =
        run === undefined ? journal.listRuns().map(({ id }) => id) : [resolveId(journal, run, ['run'])]
      const all = ids
        .flatMap((id) => runs.tree(id).checkpoints)
        .filter((one) => state === undefined || one.state === state)
      const { items, next } = pageOf(all, request.query, ({ created_at, id }) =>
        timeKey(Date.parse(created_at), id),
      )
      return { checkpoints: items, next }
    },
  )

  app.get(
    '/v1/checkpoints/:id',
    {
      schema: {
        tags,
        operationId: 'getCheckpoint',
        summary: 'One checkpoint',
        params: IdParams,
        response: { 200: CheckpointNode },
      },
    },
    (request) => {
      const id = whole(request.params.id)
      const run = journal.getCheckpoint(id)?.run
      const found = run === undefined ? undefined : runs.tree(run).checkpoints.find((one) => one.id === id)
      if (found === undefined) throw new ThawError('CHECKPOINT_NOT_FOUND', `The checkpoint ${id} is gone.`)
      return found
    },
  )

  app.post(
    '/v1/checkpoints/:id/resume',
    {
      schema: {
        tags,
        operationId: 'resumeCheckpoint',
        summary: 'Go on from a checkpoint, in as many branches as asked for',
        description:
          'Answers once all branches run, or at the end of the last within `Prefer: wait=SECONDS`; what each came to is in `report.branches`.',
        params: IdParams,
        headers: WaitHeaders,
        body: ResumeCheckpoint,
        response: { 200: Operation, 202: Operation },
      },
    },
    async (request, reply) => {
      const { stdin, ...rest } = request.body
      const spec = ResumeRequest.parse({ ...rest, stdin: stdin === null ? 'null' : 'stream' })
      const id = whole(request.params.id)
      const task = await context.operations.begin(
        'resume',
        spec.count,
        (sinks, signal) => resumeCheckpoint(id, spec, () => sinks, context, { signal, log: context.log }),
        stdin,
      )
      return answerOperation(task, request.headers, reply)
    },
  )

  app.delete(
    '/v1/checkpoints/:id',
    {
      schema: {
        tags,
        operationId: 'removeCheckpoint',
        summary: 'Give up a checkpoint, with its process or files',
        params: IdParams,
        querystring: RemoveQuery,
        response: { 200: Removed },
      },
    },
    async (request) => ({ removed: await runs.remove(whole(request.params.id), request.query) }),
  )
}
